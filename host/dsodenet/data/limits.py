"""What every reader of data files shares: types, limits, and reading that stays inside the folder and the limits."""

from __future__ import annotations

import bz2
import gzip
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


def inside(folder: Path, relative: str | Path) -> Path:
    """folder / relative, unless a link or `..` leads out of the folder."""
    path = folder / relative
    try:
        place = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError before Python 3.13
        raise InputError(f"{path}: a link that leads in a circle") from None
    except ValueError as error:
        raise InputError(f"{folder}: {str(relative)[:200]!r} is no name of a file ({error})") from None
    if not place.is_relative_to(folder.resolve()):
        raise InputError(f"{path}: leads out of the data folder to {place}")
    return path


def read_bytes(path: Path) -> bytes:
    """A whole file, which gzip or bzip2 may have packed (.gz, .bz2).

    No more than MAX_FILE_BYTES before and after unpacking.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, but at most {MAX_FILE_BYTES} are read")
    unpacked: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
    try:
        with unpacked.get(path.suffix, open)(path, "rb") as file:
            data: bytes = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: unpacks to more than the {MAX_FILE_BYTES} bytes that are read")
    return data


def checked_labels(path: Path, labels: object, first: int, count: int) -> NDArray[np.int64]:
    """Labels from a file that are whole numbers from `first` to first + count - 1."""
    result = np.asarray(labels)
    whole = result.dtype.kind in "iuf" and np.array_equal(result, np.rint(result))
    if not whole or result.ndim != 1 or not len(result) or result.min() < first or result.max() >= first + count:
        raise InputError(f"{path}: labels must be whole numbers from {first} to {first + count - 1}")
    return result.astype(np.int64)
