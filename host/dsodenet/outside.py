"""Data from outside: text, JSON and arrays, each read by one function that ends in the data or in one clear line.

A parser may raise anything that a damaged file leads it to. `guard` is the one place where that becomes a sentence.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import MAX_VALUE, DsodenetError, InputError

MAX_TEXT_BYTES = 16 << 20
Order = Literal["C", "F"]
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # the same layout, its text in UTF-8
}


@contextmanager
def guard(source: object, what: str, error: type[DsodenetError] = InputError) -> Iterator[None]:
    """Around a parser of data from outside: whatever it raises becomes `error`, "SOURCE: not WHAT (why)".

    Errors of this package pass: they name what is wrong already. An interrupt passes, too.
    """
    try:
        yield
    except DsodenetError:
        raise
    except (OSError, UnicodeError) as problem:
        raise error(f"{source}: cannot be read as {what} ({problem})") from None
    except Exception as problem:
        why = " ".join(str(problem).split())
        raise error(f"{source}: not {what} ({type(problem).__name__}: {why[:MAX_VALUE]})") from None


def read_text(path: Path) -> str:
    """The text of a small UTF-8 file, with or without a byte-order mark; InputError or OSError where it has none."""
    try:
        return _text(path)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def read_json(path: Path, what: str, error: type[DsodenetError] = InputError) -> Any:
    """The decoded JSON of a small file; `error` in words where it is no JSON. what: what the file should be."""
    with guard(path, what, error):
        return json.loads(_text(path))


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: no file that can be read")
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, but at most {MAX_TEXT_BYTES} are read")
    return path.read_text(encoding="utf-8-sig")


def check_npy(file: IO[bytes], held: int) -> tuple[tuple[int, ...], np.dtype[Any], int, Order]:
    """Shape, dtype, place and order of the data of a .npy file.

    ValueError where its header promises another size than it holds: NumPy takes memory by the header.
    held: bytes of the file.
    """
    version = np.lib.format.read_magic(file)
    if version not in NPY_HEADERS:
        raise ValueError(f"it has version {version} of that format, but {', '.join(map(str, NPY_HEADERS))} are read")
    shape, fortran, dtype = NPY_HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are no data")
    size, start = math.prod(shape) * dtype.itemsize, file.tell()
    if min(shape, default=1) < 0 or size != held - start:
        raise ValueError(f"its header says {dtype}{shape}, {size} bytes, but it holds {held - start}")
    return shape, dtype, start, "F" if fortran else "C"


def npy_array(data: bytes) -> NDArray[Any]:
    """The array of a .npy file in memory; raises whatever NumPy's reader does, so call it within `guard`."""
    shape, dtype, start, order = check_npy(io.BytesIO(data), len(data))
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order).copy()


def read_npy(path: Path, what: str, max_items: int) -> NDArray[Any]:
    """The array of a .npy file of version 1 to 3, mapped into memory; InputError in words for anything else."""
    if not path.is_file():
        raise InputError(f"{path}: not {what} ({'no file' if path.exists() else 'no such file'})")
    with guard(path, what):
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                raise InputError(f"{path}: an archive of arrays, but one .npy array is needed")
            file.seek(0)
            shape, dtype, start, order = check_npy(file, path.stat().st_size)
        if math.prod(shape) > max_items:
            raise ValueError(f"{math.prod(shape)} items, but at most {max_items} are read")
        if not math.prod(shape):
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", start, shape, order)
