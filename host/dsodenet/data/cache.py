"""Folders of many pictures, kept as arrays once they were read: decoding 60,000 of them takes longer than an epoch."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

import dsodenet
from dsodenet.data.dataset import Dataset
from dsodenet.errors import InputError
from dsodenet.files import atomic_file, user_cache
from dsodenet.spec import Network, Preparation

FEWEST = 2000  # files: fewer are read as fast as a cache
KEPT = 4  # data sets: older ones make room
ARRAYS = tuple(field.name for field in fields(Dataset) if field.name.startswith(("train_", "test_")))


def cached(folder: Path, network: Network, how: Preparation, read: Callable[[], Dataset]) -> Dataset:
    """What `read` makes of a folder, or what it made of it last time.

    A picture that was added, removed or changed since, another image size or another release makes it read again.
    """
    key = _key(folder, network, how)
    if key is None:
        return read()
    place = user_cache("data") / f"{key}.npz"
    try:
        with np.load(place, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ARRAYS}
            names, split = tuple(map(str, arrays["class_names"])), str(arrays["split"])
        os.utime(place)
        return Dataset(folder.name, **found, class_names=names, split=split)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, InputError):
        pass  # not there, or damaged: read the pictures
    data = read()
    parts = {name: getattr(data, name) for name in ARRAYS}
    try:
        with atomic_file(place) as beside, open(beside, "wb") as file:
            np.savez(file, **parts, class_names=np.array(data.class_names), split=np.array(data.split))
        for old in sorted(place.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        pass  # a cache that cannot be written is none
    return data


def _key(folder: Path, network: Network, how: Preparation) -> str | None:
    """A hash of all that decides the arrays, or None for a small folder."""
    digest, count = hashlib.sha256(), 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            try:
                about = path.stat()
            except OSError:
                return None  # a link to nowhere: reading says so
            digest.update(
                f"{path.relative_to(folder)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "replace")
            )
            count += 1
    if count < FEWEST:
        return None
    digest.update(f"{folder.resolve()} {network.image_shape} {how} {dsodenet.__version__}".encode())
    return digest.hexdigest()[:32]
