"""The standard files of public data sets, read from a folder as data: nothing is executed, every size is checked first.

CIFAR-10 (pickles or binary), MNIST (IDX), USPS (libsvm text, bzip2), SVHN (MATLAB 5), STL-10 (binary). Office-31 is a
folder of images.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.limits import MAX_FILE_BYTES, MAX_IMAGE_BYTES, Part, Parts, checked_labels, inside, read_bytes
from dsodenet.data.matlab import read_arrays
from dsodenet.data.pickles import read_data_pickle
from dsodenet.errors import InputError, ToolError
from dsodenet.outside import guard

DIGIT_CLASSES = tuple("0123456789")
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_SHAPE = (3, 32, 32)
CIFAR_PIXELS = math.prod(CIFAR_SHAPE)
IDX_IMAGES, IDX_LABELS = 0x00000803, 0x00000801  # magic number: uint8 in 3 dimensions, in 1
USPS_SIDE = 16
STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
STL10_SHAPE = (3, 96, 96)
STL10_PIXELS = math.prod(STL10_SHAPE)

# CIFAR-10


def _read_cifar_pickle(path: Path) -> Part:
    content = read_data_pickle(path)
    data, labels = content.get("data"), content.get("labels")
    if not isinstance(data, np.ndarray) or not isinstance(labels, list) or data.shape != (len(labels), CIFAR_PIXELS):
        raise InputError(f"{path}: needs `data` of {CIFAR_PIXELS} uint8 per image and as many `labels`")
    if not all(type(label) is int for label in labels):  # NumPy would follow a list within a list without end
        raise InputError(f"{path}: labels must be whole numbers from 0 to {len(CIFAR_CLASSES) - 1}")
    return data.reshape(-1, *CIFAR_SHAPE), checked_labels(path, labels, 0, len(CIFAR_CLASSES))


def _read_cifar_binary(path: Path) -> Part:
    data = np.frombuffer(read_bytes(path), np.uint8)
    if not len(data) or len(data) % (1 + CIFAR_PIXELS):
        raise InputError(f"{path}: {len(data)} bytes are no whole number of records of {1 + CIFAR_PIXELS} bytes")
    records = data.reshape(-1, 1 + CIFAR_PIXELS)
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), checked_labels(path, records[:, 0], 0, len(CIFAR_CLASSES))


def _cifar_reader(suffix: str, read: Callable[[Path], Part]) -> Callable[[Path], Parts]:
    def read_folder(folder: Path) -> Parts:
        names = [f"data_batch_{i}{suffix}" for i in range(1, 6) if (folder / f"data_batch_{i}{suffix}").is_file()]
        test = inside(folder, f"test_batch{suffix}")
        if not test.is_file():
            raise InputError(f"{folder}: CIFAR-10 without {test.name}")
        batches = [read(inside(folder, name)) for name in names]
        return (
            (np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])),
            read(test),
            CIFAR_CLASSES,
        )

    return read_folder


# MNIST


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
        raise InputError(
            f"{path}: its header says {size} bytes, but it holds {'more' if len(data) > size else len(data)}"
        )
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
        pixels = read_idx(images, IDX_IMAGES)
        if not pixels.size:
            raise InputError(
                f"{images}: {pixels.shape[0]} images of {pixels.shape[1]} x {pixels.shape[2]} pixels hold nothing"
            )
        parts.append((pixels[:, None], checked_labels(labels, read_idx(labels, IDX_LABELS), 0, len(DIGIT_CLASSES))))
    if not all(len(images) == len(labels) for images, labels in parts):
        raise InputError(f"{folder}: the counts of images and labels differ")
    return parts[0], parts[1], DIGIT_CLASSES


# USPS: libsvm text, 16 x 16 numbers in [-1, 1], digit d labelled d + 1


def _read_usps(folder: Path) -> Parts:
    train, test = (_read_libsvm(inside(folder, f"{name}.bz2")) for name in ("usps", "usps.t"))
    return train, test, DIGIT_CLASSES


def _read_libsvm(path: Path) -> Part:
    if not path.is_file():
        raise InputError(f"{path.parent}: USPS without {path.name}")
    try:
        from sklearn.datasets import load_svmlight_file
    except ImportError:
        raise ToolError("USPS files need scikit-learn; install dsodenet[train]") from None
    try:
        values, labels = load_svmlight_file(io.BytesIO(read_bytes(path)), n_features=USPS_SIDE**2, zero_based=False)
    except (ValueError, OverflowError, IndexError) as error:
        raise InputError(f"{path}: not libsvm text of {USPS_SIDE} x {USPS_SIDE} numbers ({error})") from None
    if not values.shape[0] or not np.abs(values.data).max(initial=0.0) <= 1.0:
        raise InputError(f"{path}: needs numbers from -1 to 1 for at least one image")
    if values.nnz < 0.5 * values.shape[0] * USPS_SIDE**2:  # background is -1: zero is a rare grey
        raise InputError(f"{path}: {values.nnz} numbers are too few for {values.shape[0]} images; is it cut short?")
    images = np.rint((values.toarray() + 1) * 127.5).astype(np.uint8).reshape(-1, 1, USPS_SIDE, USPS_SIDE)
    return images, checked_labels(path, labels, 1, 10) - 1


# SVHN: MATLAB 5 files, X (32, 32, 3, count) and y (count, 1), the digit 0 labelled 10


def _read_svhn(folder: Path) -> Parts:
    train, test = (_read_mat(inside(folder, f"{split}_32x32.mat")) for split in ("train", "test"))
    return train, test, DIGIT_CLASSES


def _read_mat(path: Path) -> Part:
    if not path.is_file():
        raise InputError(f"{path.parent}: SVHN without {path.name}")
    data = read_bytes(path)
    with guard(path, "a MATLAB 5 file with X of uint8 (32, 32, 3, N) and y (N, 1)"):
        found = read_arrays(data, MAX_IMAGE_BYTES + 1024)
        images, labels = found["X"], found["y"]
        if images.dtype != np.uint8 or images.shape[:3] != (32, 32, 3) or images.ndim != 4 or not images.size:
            raise ValueError(f"X is {images.dtype}{images.shape}")
        if labels.shape != (images.shape[3], 1) or images.size > MAX_IMAGE_BYTES:
            raise ValueError(f"y is {labels.dtype}{labels.shape}, X has {images.size} bytes")
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), checked_labels(path, labels[:, 0], 1, 10) % 10


# STL-10: bytes of 3 x 96 x 96 images, each plane column by column, labels from 1


def _read_stl10(folder: Path) -> Parts:
    train, test = (_read_stl10_part(folder, split) for split in ("train", "test"))
    return train, test, STL10_CLASSES


def _read_stl10_part(folder: Path, split: str) -> Part:
    paths = [inside(folder, f"{split}_{kind}.bin") for kind in "Xy"]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{folder}: STL-10 without {path.name}")
    pixels, labels = (np.frombuffer(read_bytes(path), np.uint8) for path in paths)
    if not len(pixels) or len(pixels) % STL10_PIXELS:
        raise InputError(f"{paths[0]}: {len(pixels)} bytes are no whole number of images of {STL10_PIXELS} bytes")
    if len(labels) != len(pixels) // STL10_PIXELS:
        raise InputError(
            f"{paths[1]}: {len(labels)} labels, but {paths[0].name} has {len(pixels) // STL10_PIXELS} images"
        )
    images = pixels.reshape(-1, *STL10_SHAPE).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(images), checked_labels(paths[1], labels, 1, len(STL10_CLASSES)) - 1


# Which files make a folder which data set: (where the files are, or None; the reader)


def _holds(file: str, *subfolders: str) -> Callable[[Path], Path | None]:
    def find(folder: Path) -> Path | None:
        return next((folder / sub for sub in ("", *subfolders) if (folder / sub / file).is_file()), None)

    return find


STANDARD_FILES: tuple[tuple[Callable[[Path], Path | None], Callable[[Path], Parts]], ...] = (
    (_holds("data_batch_1", "cifar-10-batches-py"), _cifar_reader("", _read_cifar_pickle)),
    (_holds("data_batch_1.bin", "cifar-10-batches-bin"), _cifar_reader(".bin", _read_cifar_binary)),
    (lambda folder: folder if _idx_file(folder, "train", "images-idx3") else None, _read_mnist),
    (_holds("usps.bz2"), _read_usps),
    (_holds("train_32x32.mat"), _read_svhn),
    (_holds("train_X.bin", "stl10_binary"), _read_stl10),
)
