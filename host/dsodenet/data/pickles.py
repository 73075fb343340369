"""Pickles of plain data from outside, as CIFAR-10 comes in: read without executing anything."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.limits import read_bytes
from dsodenet.errors import InputError

# What a dictionary of strings, lists, numbers and one NumPy array consists of; nothing that a pickle could run or swell with.
PICKLE_OPCODES = frozenset([
    "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NONE", "NEWTRUE", "NEWFALSE", "BININT",
    "BININT1", "BININT2", "LONG1", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "SHORT_BINUNICODE",
    "BINUNICODE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MEMOIZE",
])  # fmt: skip
MAX_MEMO = 1 << 20
READ_ERRORS = (
    pickle.UnpicklingError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    OverflowError,
    AssertionError,
    struct.error,
)


class _PickledArray:
    """Stands in for numpy.ndarray while a pickle is read: keeps the state that the pickle gives it and allocates nothing."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else ()

    def array(self) -> NDArray[np.uint8]:
        """The array, if it is a C-ordered one of uint8."""
        match self.state:
            case (_, (int(rows), int(columns)), _PickledDtype(code=("u1" | b"u1")), False, bytes(data)) if (
                rows * columns == len(data)
            ):
                return np.frombuffer(data, np.uint8).reshape(rows, columns)
        raise pickle.UnpicklingError("its data is no two-dimensional array of uint8")


class _PickledDtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """The byte order of uint8 says nothing."""


def _encode(text: Any, encoding: Any) -> bytes:
    """Stands in for _codecs.encode, with which Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("it encodes something else than latin1 text")
    return text.encode("latin1")


def _reconstruct(*_: Any) -> _PickledArray:
    return _PickledArray()


PICKLE_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): _encode,
}


_PythonUnpickler: Any = pickle._Unpickler


class _DataUnpickler(_PythonUnpickler):
    """In Python, not in C, so that keys are seen before they are hashed and states before they are set."""

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PICKLE_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module!r:.80} {name!r:.80}, which is no data")
        return PICKLE_GLOBALS[module, name]

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], (_PickledArray, _PickledDtype)):
            raise pickle.UnpicklingError("it sets the state of something else than an array")
        super().load_build()

    dispatch |= {pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems, pickle.BUILD[0]: load_build}


def _check_keys(keys: list[Any]) -> None:
    """A tuple of tuples of tuples would be hashed without end."""
    if not all(isinstance(key, (str, bytes)) for key in keys):
        raise pickle.UnpicklingError("a key of its dictionary is no text")


def read_data_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of plain data; its NumPy arrays must be uint8 in two dimensions. Executes nothing from the file."""
    data = read_bytes(path)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in PICKLE_OPCODES or ("PUT" in opcode.name and int(argument or 0) > MAX_MEMO):
                raise pickle.UnpicklingError(f"opcode {opcode.name} {argument!r:.20} has no place in a data file")
        content = _DataUnpickler(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError("it holds no dictionary")
        return {
            key.decode("latin1") if isinstance(key, bytes) else str(key): value.array()
            if isinstance(value, _PickledArray)
            else value
            for key, value in content.items()
        }
    except READ_ERRORS as error:
        raise InputError(f"{path}: not a pickle of plain data ({' '.join(str(error).split())[:200]})") from None
