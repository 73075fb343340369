"""The standard files of public data sets, read from a folder as data: no pickle is ever executed, every size is checked first."""

from __future__ import annotations

import gzip
import io
import math
import pickle
import pickletools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import InputError

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (count, channels, height, width), labels (count,)
Parts = tuple[Part, Part, tuple[str, ...]]  # train, test, class names

MAX_IMAGE_BYTES = 4 << 30
MAX_FILE_BYTES = 256 << 20
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_SHAPE = (3, 32, 32)
CIFAR_PIXELS = math.prod(CIFAR_SHAPE)
IDX_IMAGES, IDX_LABELS = 0x00000803, 0x00000801  # magic number: uint8 in 3 dimensions, in 1


def inside(folder: Path, relative: str | Path) -> Path:
    """folder / relative, unless a link or `..` leads out of the folder."""
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path}: leads out of the data folder to {path.resolve()}")
    return path


def _read_bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, but at most {MAX_FILE_BYTES} are read")
    return path.read_bytes()


# CIFAR-10 ---------------------------------------------------------------------------------------------------------------------

# What a dictionary of strings, lists, numbers and one NumPy array consists of; nothing that a pickle could run or swell with.
PICKLE_OPCODES = frozenset([
    "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NONE", "NEWTRUE", "NEWFALSE", "BININT",
    "BININT1", "BININT2", "LONG1", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "SHORT_BINUNICODE",
    "BINUNICODE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MEMOIZE",
])  # fmt: skip
MAX_MEMO = 1 << 20


class _PickledArray:
    """Stands in for numpy.ndarray while a pickle is read: keeps the state that the pickle gives it and allocates nothing."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else ()

    def array(self) -> NDArray[np.uint8]:
        """The array, if it is a C-ordered one of uint8."""
        match self.state:
            case (_, (int(rows), int(columns)), _PickledDtype(code=("u1" | b"u1")), False, bytes(data)) if rows * columns == len(
                data
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


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PICKLE_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no data")
        return PICKLE_GLOBALS[module, name]


def read_data_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of plain data; its NumPy arrays must be uint8 in two dimensions. Executes nothing from the file."""
    data = _read_bytes(path)
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
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError) as error:
        raise InputError(f"{path}: not a pickle of plain data ({error})") from None


def _read_cifar_pickle(path: Path) -> Part:
    content = read_data_pickle(path)
    data, labels = content.get("data"), content.get("labels")
    if not isinstance(data, np.ndarray) or not isinstance(labels, list) or data.shape != (len(labels), CIFAR_PIXELS):
        raise InputError(f"{path}: needs `data` of {CIFAR_PIXELS} uint8 per image and as many `labels`")
    return data.reshape(-1, *CIFAR_SHAPE), _cifar_labels(path, labels)


def _read_cifar_binary(path: Path) -> Part:
    data = np.frombuffer(_read_bytes(path), np.uint8)
    if not len(data) or len(data) % (1 + CIFAR_PIXELS):
        raise InputError(f"{path}: {len(data)} bytes are no whole number of records of {1 + CIFAR_PIXELS} bytes")
    records = data.reshape(-1, 1 + CIFAR_PIXELS)
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), _cifar_labels(path, records[:, 0])


def _cifar_labels(path: Path, labels: Any) -> NDArray[np.int64]:
    result = np.asarray(labels)
    if result.dtype.kind not in "iu" or result.ndim != 1 or result.min() < 0 or result.max() >= len(CIFAR_CLASSES):
        raise InputError(f"{path}: labels must be whole numbers from 0 to {len(CIFAR_CLASSES) - 1}")
    return result.astype(np.int64)


def _cifar_reader(suffix: str, read: Callable[[Path], Part]) -> Callable[[Path], Parts]:
    def read_folder(folder: Path) -> Parts:
        names = [f"data_batch_{i}{suffix}" for i in range(1, 6) if (folder / f"data_batch_{i}{suffix}").is_file()]
        test = inside(folder, f"test_batch{suffix}")
        if not test.is_file():
            raise InputError(f"{folder}: CIFAR-10 without {test.name}")
        batches = [read(inside(folder, name)) for name in names]
        return (np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])), read(test), CIFAR_CLASSES

    return read_folder


# MNIST ------------------------------------------------------------------------------------------------------------------------


def read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """An IDX file of uint8, plain or gzip: its header says the size, and no more than that is read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            dimensions = magic & 0xFF
            header = file.read(4 + 4 * dimensions)
            if len(header) != 4 + 4 * dimensions or struct.unpack(">I", header[:4])[0] != magic:
                raise InputError(f"{path}: not an IDX file with {dimensions} dimensions of uint8")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            if size > MAX_FILE_BYTES:
                raise InputError(f"{path}: its header says {size} bytes, but at most {MAX_FILE_BYTES} are read")
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if len(data) != size:
        raise InputError(f"{path}: its header says {size} bytes, but it holds {'more' if len(data) > size else len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _idx_file(folder: Path, split: str, kind: str) -> Path | None:
    for name in (f"{split}-{kind}-ubyte", f"{split}-{kind.replace('-', '.')}-ubyte"):
        for suffix in ("", ".gz"):
            if (folder / f"{name}{suffix}").is_file():
                return inside(folder, f"{name}{suffix}")
    return None


def _read_mnist(folder: Path) -> Parts:
    parts: list[Part] = []
    for split in ("train", "t10k"):
        images, labels = _idx_file(folder, split, "images-idx3"), _idx_file(folder, split, "labels-idx1")
        if images is None or labels is None:
            raise InputError(f"{folder}: MNIST without {split}-images-idx3-ubyte or {split}-labels-idx1-ubyte")
        parts.append((read_idx(images, IDX_IMAGES)[:, None], read_idx(labels, IDX_LABELS).astype(np.int64)))
    if not all(len(images) == len(labels) for images, labels in parts):
        raise InputError(f"{folder}: the counts of images and labels differ")
    return parts[0], parts[1], tuple("0123456789")


# Which files make a folder which data set: (where the files are, or None; the reader) -------------------------------------------


def _holds(file: str, *subfolders: str) -> Callable[[Path], Path | None]:
    def find(folder: Path) -> Path | None:
        return next((folder / sub for sub in ("", *subfolders) if (folder / sub / file).is_file()), None)

    return find


STANDARD_FILES: tuple[tuple[Callable[[Path], Path | None], Callable[[Path], Parts]], ...] = (
    (_holds("data_batch_1", "cifar-10-batches-py"), _cifar_reader("", _read_cifar_pickle)),
    (_holds("data_batch_1.bin", "cifar-10-batches-bin"), _cifar_reader(".bin", _read_cifar_binary)),
    (lambda folder: folder if _idx_file(folder, "train", "images-idx3") else None, _read_mnist),
)
