"""Data sets: small files written in each format come back pixel for pixel; what does not belong is refused in words."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsodenet.data.datasets import Dataset, fit_images, load_dataset, stratified_test_mask
from dsodenet.data.images import read_image
from dsodenet.data.pickles import read_data_pickle
from dsodenet.errors import InputError
from dsodenet.spec.specification import Network


def network(channels: int, height: int, width: int, classes: int) -> Network:
    return Network(channels, height, width, (4,), classes, "conv3x3", "none", "none", 5)


CIFAR = network(3, 32, 32, 10)
MNIST = network(1, 28, 28, 10)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# digits


def test_digits_are_whole_stratified_and_fixed():
    data = load_dataset("digits", network(1, 16, 16, 10))
    assert data.train_images.shape[1:] == (1, 16, 16)
    assert len(data.train_images) + len(data.test_images) == 1797
    everything = np.concatenate([data.train_labels, data.test_labels])
    share = np.bincount(data.test_labels) / np.bincount(everything)
    assert share == pytest.approx(0.2, abs=0.004)
    again = load_dataset("digits", network(1, 16, 16, 10))
    assert np.array_equal(data.test_images, again.test_images)
    # Ink: a zero is a ring, so its middle is darker than the ring; true of the mean image only if labels follow images.
    zero, one = (data.train_images[data.train_labels == label, 0].mean(axis=0) for label in (0, 1))
    assert zero[7:9, 7:9].mean() < 60 < 150 < one[7:9, 7:9].mean()


def test_digits_at_their_own_size_are_the_pixels_of_scikit_learn():
    from sklearn.datasets import load_digits

    data = load_dataset("digits", network(1, 8, 8, 10))
    images, labels = load_digits(return_X_y=True)
    expected = {(tuple(np.rint(image * 255 / 16).astype(int)), label) for image, label in zip(images, labels)}
    for image, label in zip(data.test_images, data.test_labels):
        assert (tuple(image.ravel().astype(int)), label) in expected
    assert np.unique(data.train_images).tolist() == np.unique(np.rint(np.arange(17) * 255 / 16)).astype(int).tolist()


def test_grey_is_repeated_over_the_channels_of_the_network():
    data = load_dataset("digits", network(4, 16, 12, 10))
    assert data.train_images.shape[1:] == (4, 16, 12)
    assert (data.train_images == data.train_images[:, :1]).all()


def test_the_split_takes_a_share_of_each_class():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    mask = stratified_test_mask(labels)
    assert [int(mask[labels == label].sum()) for label in range(3)] == [20, 2, 1]


# CIFAR-10


def python2_pickle(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 wrote it (protocol 2, byte strings), opcode by opcode."""
    rows, columns = images.reshape(len(images), -1).shape
    text = lambda s: b"U" + bytes([len(s)]) + s  # noqa: E731
    number = lambda n: b"M" + struct.pack("<H", n)  # noqa: E731
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85q\x08U\x01b\x87Rq\t(K\x01"
        + (number(rows) + number(columns) + b"\x86q\n")
        + b"cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"T" + struct.pack("<i", images.size) + images.tobytes() + b"tb")
    )
    label_list = b"]q\x05(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = text(b"batch_label") + text(b"training batch 1 of 5") + text(b"labels") + label_list + text(b"data") + array
    return b"\x80\x02}q\x01(" + items + b"u."


@pytest.fixture
def batches() -> list[tuple[np.ndarray, list[int]]]:
    return [(pixels(20, 3, 32, 32, seed=i), [(j + i) % 10 for j in range(20)]) for i in range(6)]


def check_cifar(data: Dataset, batches) -> None:
    assert np.array_equal(data.train_images, np.concatenate([images for images, _ in batches[:5]]))
    assert data.train_labels.tolist() == [label for _, labels in batches[:5] for label in labels]
    assert np.array_equal(data.test_images, batches[5][0])
    assert data.test_labels.tolist() == batches[5][1]
    assert data.class_names[:2] == ("airplane", "automobile")


CIFAR_NAMES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


@pytest.mark.parametrize("subfolder", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("python", [2, 3])
def test_cifar_pickles(tmp_path, batches, python, subfolder):
    folder = tmp_path / subfolder
    folder.mkdir(exist_ok=True)
    for name, (images, labels) in zip(CIFAR_NAMES, batches):
        modern = pickle.dumps({"labels": labels, "data": images.reshape(20, -1)}, protocol=2)
        (folder / name).write_bytes(python2_pickle(images, labels) if python == 2 else modern)
    check_cifar(load_dataset(tmp_path, CIFAR), batches)


def test_cifar_binary(tmp_path, batches):
    for name, (images, labels) in zip(CIFAR_NAMES, batches):
        records = np.concatenate([np.array(labels, np.uint8)[:, None], images.reshape(20, -1)], axis=1)
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    check_cifar(load_dataset(tmp_path, CIFAR), batches)
    (tmp_path / "test_batch.bin").write_bytes(records.tobytes()[:-1])
    with pytest.raises(InputError, match="no whole number of records"):
        load_dataset(tmp_path, CIFAR)
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" + records.tobytes()[1:])
    with pytest.raises(InputError, match="from 0 to 9"):
        load_dataset(tmp_path, CIFAR)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(InputError, match=r"without test_batch\.bin"):
        load_dataset(tmp_path, CIFAR)


class _Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


HUGE_ARRAY = b"\x80\x02}U\x04datacnumpy\nndarray\n\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x01\x85Rs."
HUGE_MEMO = b"\x80\x02}r\xff\xff\xff\x7f."
HUGE_BYTES = b"\x80\x04}B\xff\xff\xff\x7fabc."
UNICODE_ARRAY = pickle.dumps({"data": np.array([["a"]])}, protocol=2)
OBJECT_ARRAY = pickle.dumps({"data": np.array([[{}]], dtype=object)}, protocol=2)
BYTE_ARRAY = pickle.dumps({"data": bytearray(9)}, protocol=5)
LONG_NUMBER = pickle.dumps({"data": 1 << 5000}, protocol=2)
SHORT_ARRAY = python2_pickle(pixels(2, 3, 32, 32), [0, 1]).replace(b"M\x02\x00", b"M\x03\x00")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        HUGE_ARRAY,
        HUGE_MEMO,
        HUGE_BYTES,
        UNICODE_ARRAY,
        OBJECT_ARRAY,
        BYTE_ARRAY,
        LONG_NUMBER,
        SHORT_ARRAY,
        pickle.dumps([1]),
        b"\x80\x02u.",
    ],
)
def test_a_pickle_that_is_not_plain_data_is_refused(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(InputError, match="not a pickle of plain data"):
        read_data_pickle(tmp_path / "batch")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_runs_nothing(tmp_path, protocol):
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": _Attack(tmp_path / "executed")}, protocol=protocol))
    with pytest.raises(InputError, match="not a pickle of plain data"):
        read_data_pickle(tmp_path / "batch")
    assert not (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_a_damaged_pickle_is_refused_or_harmless(tmp_path, damaged):
    refused = 0
    for content in damaged(python2_pickle(pixels(1, 1, 2, 2), [0]), 500):
        (tmp_path / "batch").write_bytes(content)
        try:
            read_data_pickle(tmp_path / "batch")
        except InputError:
            refused += 1
    assert refused > 250


# MNIST


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path) -> Path:
    for seed, (split, count) in enumerate((("train", 30), ("t10k", 10))):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(pixels(count, 28, 28, seed=seed)))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return tmp_path


@pytest.mark.parametrize("compressed", [False, True])
def test_mnist(mnist, compressed):
    if compressed:
        for path in list(mnist.iterdir()):
            Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    data = load_dataset(mnist, MNIST)
    assert np.array_equal(data.train_images[:, 0], pixels(30, 28, 28, seed=0))
    assert np.array_equal(data.test_images[:, 0], pixels(10, 28, 28, seed=1))
    assert data.test_labels.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (idx(np.zeros(10, np.uint8)), "not an IDX file with 3 dimensions"),
        (idx(pixels(10, 28, 28))[:-1], "says 7840 bytes, but it holds 7839"),
        (idx(pixels(10, 28, 28)) + b"0", "says 7840 bytes, but it holds more"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 1 << 31, 1 << 31, 1 << 31), "but at most"),
        (idx(pixels(9, 28, 28)), "counts of images and labels differ"),
    ],
)
def test_odd_idx_files_are_refused(mnist, content, message):
    (mnist / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_dataset(mnist, MNIST)


def test_broken_gzip_and_missing_files_are_refused(mnist):
    (mnist / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(InputError, match="MNIST without t10k"):
        load_dataset(mnist, MNIST)
    (mnist / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels(10, 28, 28)))[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset(mnist, MNIST)


# folders of images


def write_images(folder: Path, count: int, shape: tuple[int, ...] = (8, 8, 3), suffix: str = "png") -> np.ndarray:
    folder.mkdir(parents=True)
    images = pixels(count, *shape, seed=len(folder.name))
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.{suffix}")
    return images


def test_a_folder_with_train_and_test(tmp_path):
    images = {
        (split, name): write_images(tmp_path / split / name, 3)
        for split in ("train", "test")
        for name in ("cat", "bird")
    }
    data = load_dataset(tmp_path, network(3, 8, 8, 2))
    assert data.class_names == ("bird", "cat")
    for split, got, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        assert np.array_equal(got.transpose(0, 2, 3, 1), np.concatenate([images[split, "bird"], images[split, "cat"]]))
        assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_folder_without_a_split_is_split_by_class(tmp_path):
    for name in ("a", "bb"):
        write_images(tmp_path / name, 10)
    data = load_dataset(tmp_path, network(3, 8, 8, 2))
    assert np.bincount(data.test_labels).tolist() == [2, 2]
    assert np.bincount(data.train_labels).tolist() == [8, 8]


def test_images_of_any_size_and_kind_are_resized(tmp_path):
    write_images(tmp_path / "grey", 5, (20, 30))
    write_images(tmp_path / "alpha", 5, (7, 9, 4))
    write_images(tmp_path / "jpeg", 5, (64, 64, 3), "jpg")
    for channels in (1, 3):
        assert load_dataset(tmp_path, network(channels, 12, 10, 3)).train_images.shape == (12, channels, 12, 10)
    with pytest.raises(InputError, match="in_channels is 2"):
        load_dataset(tmp_path, network(2, 12, 10, 3))


def test_files_of_every_kind_hold_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for name, how in (("a.bmp", {}), ("a.ppm", {}), ("a.WEBP", {"lossless": True})):
        Image.fromarray(pixels).save(tmp_path / name, **how)
        np.testing.assert_array_equal(read_image(tmp_path / name, network(3, 8, 8, 2)), pixels.transpose(2, 0, 1))
    (tmp_path / "f.ppm").write_bytes(b"Pf\n2 1\n-1.0\n" + np.float32([0.5, 1.5]).tobytes())
    with pytest.raises(InputError, match="pixels are floats"):
        read_image(tmp_path / "f.ppm", network(1, 8, 8, 2))


def test_resizing_keeps_constant_images_and_the_order_of_height_and_width():
    images = np.zeros((1, 1, 8, 8), np.uint8)
    images[:, :, :4] = 200  # the upper half
    out = fit_images(images, network(1, 4, 16, 2))
    assert out.shape == (1, 1, 4, 16)
    assert out[0, 0, 0].tolist() == [200] * 16
    assert out[0, 0, 3].tolist() == [0] * 16


def test_odd_folders_are_refused(tmp_path):
    eight = network(3, 8, 8, 2)
    with pytest.raises(InputError, match=r"must be one of digits, digits-blend, .*, or a folder that is there"):
        load_dataset(tmp_path / "missing", eight)
    with pytest.raises(
        InputError, match="needs the files of CIFAR-10, MNIST, USPS, SVHN or STL-10, or a subfolder of images per class"
    ):
        load_dataset(tmp_path, eight)
    write_images(tmp_path / "a", 4)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=r"no \.png, \.jpg, .*, \.webp file in this class"):
        load_dataset(tmp_path, eight)
    (tmp_path / "b" / "0.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"0\.png: not a readable image"):
        load_dataset(tmp_path, eight)
    (tmp_path / "b" / "0.png").unlink()
    Image.new("L", (20000, 2)).save(tmp_path / "b" / "0.png")
    with pytest.raises(InputError, match="20000 x 2 pixels"):
        load_dataset(tmp_path, eight)
    for number in (0, 1):
        Image.new("L", (8, 8)).save(tmp_path / "b" / f"{number}.png")
    with pytest.raises(InputError, match=r"has 2 classes, but the spec.s network\.num_classes is 5"):
        load_dataset(tmp_path, network(3, 8, 8, 5))


def test_classes_must_agree(tmp_path):
    for path in ("train/a", "train/b", "test/a", "test/c"):
        write_images(tmp_path / path, 2)
    with pytest.raises(InputError, match="train has the classes a, b, but test has a, c"):
        load_dataset(tmp_path, network(3, 8, 8, 2))


def test_no_link_leads_out_of_the_folder(tmp_path):
    write_images(tmp_path / "outside" / "b", 4)
    folder = tmp_path / "folder"
    write_images(folder / "a", 4)
    (folder / "b").symlink_to(tmp_path / "outside" / "b")
    with pytest.raises(InputError, match="leads out of the data folder"):
        load_dataset(folder, network(3, 8, 8, 2))
    (folder / "b").unlink()
    (folder / "b").mkdir()
    (folder / "b" / "0.png").symlink_to(tmp_path / "outside" / "b" / "0.png")
    with pytest.raises(InputError, match="leads out of the data folder"):
        load_dataset(folder, network(3, 8, 8, 2))


def test_a_dataset_checks_itself():
    images, labels = pixels(4, 1, 8, 8), np.array([0, 1, 0, 1])
    Dataset("ok", images, labels, images, labels, ("a", "b"))
    for wrong in (
        {"train_images": images.astype(np.int64)},
        {"train_labels": labels[:3]},
        {"test_labels": labels + 1},
        {"test_labels": labels - 1},
        {"test_images": images[:, :, :7]},
        {"test_images": images[:0], "test_labels": labels[:0]},
    ):
        parts = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels} | wrong
        with pytest.raises(InputError):
            Dataset("wrong", **parts, class_names=("a", "b"))
