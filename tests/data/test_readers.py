"""USPS, SVHN and STL-10: small files in their formats come back pixel for pixel.

And the domains that are made from digits.
"""

from __future__ import annotations

import bz2
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import io as matlab

from dsodenet.data import limits as data_read
from dsodenet.data.datasets import GENERATED, load_dataset
from dsodenet.data.domains import ANGLE, PHOTO_SCALE, blended, rotated
from dsodenet.data.readers import STL10_CLASSES
from dsodenet.errors import InputError
from dsodenet.spec.specification import Network


def network(channels: int, side: int) -> Network:
    return Network(channels, side, side, (4,), 10, "conv3x3", "none", "none", 5)


def pixels(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


LABELS = np.arange(10)


# USPS


def libsvm(images: np.ndarray, labels: np.ndarray) -> bytes:
    """As the public file is written: label + 1, then every number from -1 to 1."""
    rows = images.reshape(len(images), -1) / 127.5 - 1
    lines = (f"{y + 1} " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(row, 1)) for row, y in zip(rows, labels))
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture
def usps(tmp_path: Path) -> Path:
    for seed, name in enumerate(("usps.bz2", "usps.t.bz2")):
        (tmp_path / name).write_bytes(bz2.compress(libsvm(pixels(10, 16, 16, seed=seed), LABELS)))
    return tmp_path


def test_usps(usps):
    data = load_dataset(usps, network(1, 16))
    assert np.array_equal(data.train_images[:, 0], pixels(10, 16, 16, seed=0))
    assert np.array_equal(data.test_images[:, 0], pixels(10, 16, 16, seed=1))
    assert data.train_labels.tolist() == data.test_labels.tolist() == LABELS.tolist()


GOOD = libsvm(pixels(10, 16, 16, seed=0), LABELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not bzip2", "cannot be read"),
        (bz2.compress(GOOD)[:-40], "cannot be read"),
        (bz2.compress(b""), "not libsvm text|at least one image"),
        (bz2.compress(b"hello"), "not libsvm text"),
        (bz2.compress(GOOD.replace(b" 256:", b" 257:")), "not libsvm text"),
        (bz2.compress(GOOD.replace(b" 256:0", b" 256:9")), "numbers from -1 to 1"),
        (bz2.compress(b"1 1:0.5 2:1\n"), "too few for 1 images"),
        (bz2.compress(GOOD.replace(b"10 1:", b"12 1:")), "labels must be whole numbers from 1 to 10"),
        (bz2.compress(GOOD.replace(b"10 1:", b"1.5 1:")), "labels must be whole numbers from 1 to 10"),
    ],
)
def test_odd_usps_files_are_refused(usps, content, message):
    (usps / "usps.t.bz2").write_bytes(content)
    with pytest.raises(InputError, match=rf"usps\.t\.bz2: .*({message})"):
        load_dataset(usps, network(1, 16))


def test_a_file_that_unpacks_to_too_much_is_refused(usps, monkeypatch):
    monkeypatch.setattr(data_read, "MAX_FILE_BYTES", len(GOOD) - 1)
    with pytest.raises(InputError, match=r"usps\.bz2: unpacks to more"):
        load_dataset(usps, network(1, 16))


# SVHN


def write_mat(path: Path, compressed: bool = True, **arrays: object) -> None:
    matlab.savemat(path, arrays, do_compression=compressed)


@pytest.fixture
def svhn(tmp_path: Path) -> Path:
    for seed, split in enumerate(("train", "test")):
        images = pixels(10, 3, 32, 32, seed=seed)
        y = np.where(LABELS == 0, 10, LABELS).astype(np.uint8)[:, None]
        write_mat(tmp_path / f"{split}_32x32.mat", compressed=bool(seed), X=images.transpose(2, 3, 1, 0), y=y)
    return tmp_path


def test_svhn(svhn):
    data = load_dataset(svhn, network(3, 32))
    assert np.array_equal(data.train_images, pixels(10, 3, 32, 32, seed=0))
    assert np.array_equal(data.test_images, pixels(10, 3, 32, 32, seed=1))
    assert data.train_labels.tolist() == data.test_labels.tolist() == LABELS.tolist()


X, Y = pixels(32, 32, 3, 4, seed=0), np.ones((4, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X}, "y"),
        ({"X": X[:, :, :2], "y": Y}, "X is uint8"),
        ({"X": X.astype(float), "y": Y}, "X is float64"),
        ({"X": X, "y": Y[:3]}, "y is uint8"),
        ({"X": X, "y": np.array([[1], ["a"], [2], [3]], object)}, "KeyError: 'y'"),
        ({"X": X, "y": {"a": 1}}, "KeyError: 'y'"),
        ({"X": X, "y": 11 * Y}, "labels must be whole numbers from 1 to 10"),
        ({"X": X, "y": 1.5 * Y}, "labels must be whole numbers from 1 to 10"),
    ],
)
def test_odd_mat_files_are_refused(svhn, arrays, message):
    write_mat(svhn / "test_32x32.mat", **arrays)
    with pytest.raises(InputError, match=rf"test_32x32\.mat: .*{message}"):
        load_dataset(svhn, network(3, 32))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_mat_file_is_refused_or_harmless(svhn, damaged, compressed):
    path = svhn / "test_32x32.mat"
    write_mat(path, compressed, X=X, y=Y)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"test_32x32\.mat: not a MATLAB 5 file"):
        load_dataset(svhn, network(3, 32))
    refused = 0
    for copy in damaged(content, 60):
        path.write_bytes(copy)
        try:
            load_dataset(svhn, network(3, 32))
        except InputError:
            refused += 1
    assert refused > 10
    path.unlink()
    with pytest.raises(InputError, match=r"SVHN without test_32x32\.mat"):
        load_dataset(svhn, network(3, 32))


# STL-10


@pytest.fixture
def stl10(tmp_path: Path) -> Path:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for seed, split in enumerate(("train", "test")):
        planes = pixels(10, 3, 96, 96, seed=seed).transpose(0, 1, 3, 2)  # column by column
        (folder / f"{split}_X.bin").write_bytes(planes.tobytes())
        (folder / f"{split}_y.bin").write_bytes((LABELS + 1).astype(np.uint8).tobytes())
    return tmp_path


def test_stl10(stl10):
    data = load_dataset(stl10, network(3, 96))
    assert np.array_equal(data.train_images, pixels(10, 3, 96, 96, seed=0))
    assert np.array_equal(data.test_images, pixels(10, 3, 96, 96, seed=1))
    assert data.test_labels.tolist() == LABELS.tolist()
    assert data.class_names == STL10_CLASSES


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test_X.bin", b"", "no whole number of images"),
        ("test_X.bin", bytes(27649), "no whole number of images"),
        ("test_X.bin", bytes(27648), "test_y.bin: 10 labels, but test_X.bin has 1 images"),
        ("test_y.bin", bytes(10), "labels must be whole numbers from 1 to 10"),
        ("test_y.bin", None, "STL-10 without test_y.bin"),
    ],
)
def test_odd_stl10_files_are_refused(stl10, file, content, message):
    path = stl10 / "stl10_binary" / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_dataset(stl10, network(3, 96))


# domains made from digits


@pytest.mark.parametrize("kind", ["blend", "rotated", "inverted"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_domain_keeps_labels_and_says_that_it_is_generated(kind, channels):
    digits, data = (load_dataset(name, network(channels, 16)) for name in ("digits", f"digits-{kind}"))
    assert data.name == f"digits-{kind}{GENERATED}"
    assert np.array_equal(data.train_labels, digits.train_labels)
    assert np.array_equal(data.test_labels, digits.test_labels)
    assert data.test_images.shape == digits.test_images.shape
    again = load_dataset(data.name, network(channels, 16))
    assert np.array_equal(again.train_images, data.train_images)


def test_the_blend_is_the_difference_to_a_patch_of_a_photo():
    from sklearn.datasets import load_sample_images

    images = load_dataset("digits", network(3, 16)).train_images[:40]
    patches = blended(np.zeros_like(images), seed=0)
    assert np.array_equal(blended(images, seed=0), np.abs(patches.astype(int) - images))
    small = [
        np.asarray(Image.fromarray(photo).reduce(PHOTO_SCALE)).transpose(2, 0, 1)
        for photo in load_sample_images().images
    ]
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (3, 16, 16)) for photo in small]
    assert all(any((patch == w).all(axis=(3, 4, 5)).any() for w in windows) for patch in patches[:5])


def test_inversion_and_rotation():
    digits, inverse = (load_dataset(name, network(1, 16)) for name in ("digits", "digits-inverted"))
    assert np.array_equal(
        digits.test_images.astype(int) + inverse.test_images, np.full_like(digits.test_images, 255, int)
    )
    image = np.zeros((1, 1, 33, 33), np.uint8)
    image[0, 0, 16, 20:] = 255  # a line from the centre to the right
    y, x = np.nonzero(rotated(image, 0)[0, 0] > 100)
    assert np.degrees(np.arctan2(16 - y, x - 16)).mean() == pytest.approx(ANGLE, abs=3)


def test_verify_takes_the_test_split_of_a_generated_domain(tmp_path, make_spec):

    from dsodenet.evaluation import sample_images
    from dsodenet.spec.synthetic import random_params

    params = random_params(make_spec(channels=(4,), height=8, width=8), 0)
    name = f"digits-inverted{GENERATED}"
    (tmp_path / "metrics.json").write_text(json.dumps({"data": {"name": name}}))
    images, source = sample_images("3", tmp_path, params)
    assert np.array_equal(images, load_dataset(name, params.spec.network).test_images[:3])
    assert source == f"3 of the {name} test split"
