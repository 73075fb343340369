"""Arrays of numbers out of a MATLAB 5 file. SciPy's reader ends the process on some damaged files.

Layout: MathWorks, "MAT-File Format": a header of 128 bytes, then elements, each a tag (type, bytes) and data padded to
eight bytes. An array is an element of type miMATRIX that holds flags, dimensions, a name and its numbers.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES, MATRIX, COMPRESSED = 128, 14, 15
KINDS = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
CLASSES = {6: "<f8", 9: "<u1"}  # mxDOUBLE_CLASS, mxUINT8_CLASS


def read_arrays(data: bytes, most_bytes: int) -> dict[str, NDArray[np.generic]]:
    """The arrays of doubles and of uint8 of a little-endian file, in MATLAB's order; ValueError where damaged."""
    if len(data) < HEADER_BYTES or data[124:128] != b"\x00\x01IM":
        raise ValueError("it has no header of a little-endian MATLAB 5 file")
    arrays = {}
    for kind, content in _elements(data[HEADER_BYTES:]):
        if kind == COMPRESSED:
            unpacked = zlib.decompressobj()
            content = unpacked.decompress(content, most_bytes)
            if not unpacked.eof:
                raise ValueError(f"an array takes more than {most_bytes} bytes, or is cut short")
            ((kind, content),) = _elements(content)
        if kind == MATRIX:
            (_, flags), (_, dims), (_, name), (stored, numbers), *_ = _elements(content)
            matrix_class, shape = flags[0], struct.unpack(f"<{len(dims) // 4}i", dims)
            if matrix_class not in CLASSES or stored not in KINDS or min(shape, default=-1) < 0:
                continue
            values = np.frombuffer(numbers, KINDS[stored])
            if values.size != math.prod(shape):
                raise ValueError(f"an array of {shape} holds {values.size} numbers")
            arrays[name.decode("ascii")] = values.astype(CLASSES[matrix_class]).reshape(shape, order="F")
    return arrays


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:  # a small element: its data stand in the tag
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
        else:
            start, step = place + 8, 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data) or (step == 8 and start == place + 4 and size > 4):
            raise ValueError("an element is longer than the file")
        yield kind, data[start : start + size]
        place += step
