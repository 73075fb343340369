"""Pickles of plain data from outside, as CIFAR-10 comes in. Nothing in the file is executed.

A restricted unpickler (the documentation of `pickle`, "Restricting Globals"): NumPy's names mean stand-ins of this
module. The opcodes are looked through first, so that a small file can neither swell nor keep the reader busy.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.limits import read_bytes
from dsodenet.errors import InputError

# What a dictionary of strings, lists, numbers and one NumPy array consists of.
OPCODES = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "EMPTY_DICT",
        "SETITEM",
        "SETITEMS",
        "EMPTY_LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "SHORT_BINSTRING",
        "BINSTRING",
        "SHORT_BINBYTES",
        "BINBYTES",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "MEMOIZE",
    ]
)
MAX_TUPLES = 16  # an array takes seven; to hash a tuple of shared tuples takes a time of two to this power
MAX_MEMO = 1 << 20


class _Dtype:
    """Stands in for numpy.dtype. The byte order of uint8 says nothing, so its state is dropped."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands in for numpy.ndarray and for what reconstructs one. It keeps the state that the pickle gives it."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[np.uint8]:
        """The array, if it is a C-ordered one of uint8 in two dimensions."""
        match self.state:
            case (_, (int(rows), int(columns)), _Dtype(code=("u1" | b"u1")), False, bytes(data)) if (
                rows * columns == len(data)
            ):
                return np.frombuffer(data, np.uint8).reshape(rows, columns)
        raise ValueError("its data is no two-dimensional array of uint8")


class _Latin1(bytes):
    """Stands in for _codecs.encode, with which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: Any, encoding: Any) -> bytes:  # type: ignore[misc]
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise ValueError("it encodes something else than latin1 text")
        return text.encode("latin1")


STAND_INS: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module!r:.80} {name!r:.80}, which is no data")
        return STAND_INS[module, name]


def read_data_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of plain data, whose NumPy arrays must be uint8 in two dimensions.

    InputError for anything else, and for what a data file has no use for.
    """
    data = read_bytes(path)
    try:
        _look_through(data)
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict) or not all(isinstance(key, (str, bytes)) for key in content):
            raise pickle.UnpicklingError("it holds no dictionary with names as keys")
        names = [key.decode("latin1") if isinstance(key, bytes) else key for key in content]
        return {
            name: value.array() if isinstance(value, _Array) else value for name, value in zip(names, content.values())
        }
    except Exception as error:  # the unpickler raises whatever a damaged file leads it to
        raise InputError(f"{path}: not a pickle of plain data ({' '.join(str(error).split())[:200]})") from None


def _look_through(data: bytes) -> None:
    tuples = 0
    for opcode, argument, _ in pickletools.genops(data):
        tuples += opcode.name.startswith("TUPLE")
        too_far = "PUT" in opcode.name and int(argument or 0) > MAX_MEMO
        if opcode.name not in OPCODES or too_far or tuples > MAX_TUPLES:
            raise pickle.UnpicklingError(f"opcode {opcode.name} {argument!r:.20} has no place in a data file")
