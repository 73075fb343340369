"""A folder of pictures is read once, and again when anything about it changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsodenet.data import cache, datasets, load_dataset
from dsodenet.spec import Network, Spec


@pytest.fixture
def network() -> Network:
    return replace(Spec.named("xs").network, height=8, width=8, num_classes=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "FEWEST", 4)
    for label, name in enumerate("ab"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(3):
            save(tmp_path / "pictures" / name / f"{number}.png", 60 * label + number)
    return tmp_path / "pictures"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose pictures were read."""
    found: list[Path] = []
    read = datasets._load_image_folder

    def counted(folder: Path, *others: object) -> datasets.Dataset:
        found.append(folder)
        return read(folder, *others)

    monkeypatch.setattr(datasets, "_load_image_folder", counted)
    return found


def save(path: Path, value: int) -> None:
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)


def test_a_second_reading_gives_the_same_arrays(folder: Path, reads: list[Path], network: Network) -> None:
    first, second = load_dataset(folder, network), load_dataset(folder, network)
    assert len(reads) == 1
    for name in cache.ARRAYS:
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert (first.class_names, first.split, first.name) == (second.class_names, second.split, second.name)


def test_a_change_is_seen(folder: Path, reads: list[Path], network: Network) -> None:
    load_dataset(folder, network)
    save(folder / "a" / "3.png", 9)
    data = load_dataset(folder, network)
    assert len(data.train_images) + len(data.test_images) == 7
    about = (folder / "a" / "0.png").stat()
    save(folder / "a" / "0.png", 200)
    os.utime(folder / "a" / "0.png", ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    data = load_dataset(folder, network)
    assert 200 in {*data.train_images[:, 0, 0, 0].tolist(), *data.test_images[:, 0, 0, 0].tolist()}
    load_dataset(folder, replace(network, height=16, width=16))
    assert len(reads) == 4


def test_a_damaged_or_forbidden_cache_is_read_past(folder: Path, reads: list[Path], network: Network) -> None:
    load_dataset(folder, network)
    (kept,) = cache.user_cache("data").glob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    load_dataset(folder, network)
    assert len(reads) == 2
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file where the folder should be")
    load_dataset(folder, network)
    assert len(reads) == 3


def test_only_a_few_are_kept(folder: Path, reads: list[Path], network: Network) -> None:
    for side in (8, 10, 12, 14, 16, 18):
        load_dataset(folder, replace(network, height=side, width=side, channels=(4,)))
    assert len(list(cache.user_cache("data").glob("*.npz"))) == cache.KEPT
