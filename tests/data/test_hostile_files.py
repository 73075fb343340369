"""Odd and hostile data files give the right pixels, or one sentence that names the file, soon and in little memory."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsodenet.data.datasets import load_dataset
from dsodenet.data.images import fit, read_image
from dsodenet.data.pickles import read_data_pickle
from dsodenet.errors import InputError
from dsodenet.spec.specification import Network


def network(channels: int = 1, height: int = 8, width: int = 8, classes: int = 2) -> Network:
    return Network(channels, height, width, (4,), classes, "conv3x3", "none", "none", 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, `a` dark and `b` light, of four images each."""
    for name, level in (("a", 10), ("b", 200)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), level).save(tmp_path / "set" / name / f"{number}.png")
    return tmp_path / "set"


# pixels


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_grey_of_16_bits_is_scaled_to_8(tmp_path: Path, channels: int, mode: str) -> None:
    levels = np.array([[0, 100, 256, 257, 32768, 65279, 65407, 65535]] * 8, np.uint16)
    image = Image.fromarray(levels if mode == "I;16" else levels.astype(np.int32))
    assert image.mode == mode
    if mode == "I":  # as Pillow before 12 opened such a file
        found = fit(image, network(channels))
    else:
        image.save(tmp_path / "g.png")
        found = read_image(tmp_path / "g.png", network(channels))
    assert found.shape == (channels, 8, 8)
    assert (found == np.rint(levels / 257)).all()


def test_every_mode_of_a_file_gives_its_own_grey(tmp_path: Path) -> None:
    grey = Image.new("L", (8, 8), 100)
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([0] * 9 + [100] * 3)
    images = {
        "L.png": grey,
        "LA.png": Image.merge("LA", (grey, grey)),
        "RGB.png": grey.convert("RGB"),
        "RGBA.png": Image.merge("RGBA", (grey, grey, grey, grey)),
        "P.png": palette,
        "L.jpg": grey,
        "CMYK.jpg": grey.convert("RGB").convert("CMYK"),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
    palette.save(tmp_path / "transparent.png", transparency=bytes([255, 255, 255, 9]))
    grey.save(tmp_path / "animated.png", save_all=True, append_images=[Image.new("L", (8, 8), 250)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (*images, "transparent.png", "animated.png"):
            for channels in (1, 3):
                found = read_image(tmp_path / name, network(channels)).astype(int)
                assert abs(found - 100).max() <= (3 if name.endswith("jpg") else 0), name


def test_black_and_white_of_1_bit_is_grey_for_any_number_of_channels(tmp_path: Path) -> None:
    Image.new("1", (8, 8), 1).save(tmp_path / "w.png")
    assert (read_image(tmp_path / "w.png", network(4)) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_photo_is_turned_as_its_camera_was_held(tmp_path: Path, suffix: str) -> None:
    image = Image.new("L", (16, 8), 0)
    image.paste(255, (8, 0, 16, 8))  # light on the right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be seen
    image.save(tmp_path / f"p.{suffix}", exif=exif)
    found = read_image(tmp_path / f"p.{suffix}", network(1, 16, 8))[0]
    assert found[2:6].max() < 20
    assert found[10:14].min() > 235


def test_unreadable_exif_says_nothing(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "p.png", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(40))
    assert (read_image(tmp_path / "p.png", network()) == 77).all()


# what is no image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


BOMBS = {
    "10 thousand million pixels": png(100_000, 100_000, chunk(b"IDAT", zlib.compress(bytes(1 << 20)))),
    "over Pillow's warning": png(10_000, 10_000, chunk(b"IDAT", zlib.compress(bytes(1 << 20)))),
    "text": png(
        8, 8, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))] * 80, chunk(b"IDAT", zlib.compress(bytes(72)))
    ),
    "no row": png(8, 0, chunk(b"IDAT", zlib.compress(b""))),
    "no data": png(8, 8),
    "cut": png(8, 8, chunk(b"IDAT", zlib.compress(bytes(72))[:-6])),
    "empty": b"",
    "another format": b"GIF89a" + bytes(100),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_small_whole_image_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / "b" / "3.png").write_bytes(BOMBS[name])
    with warnings.catch_warnings(record=True) as told, pytest.raises(InputError, match=r"b/3\.png: "):
        load_dataset(folder, network())
    assert not told


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_image_is_refused_or_harmless(tmp_path: Path, damaged, suffix: str) -> None:
    path = tmp_path / f"i.{suffix}"
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path)
    for content in damaged(path.read_bytes(), 200):
        path.write_bytes(content)
        try:
            assert read_image(path, network()).shape == (1, 8, 8)
        except InputError as error:
            assert "i." in str(error)  # noqa: PT017


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


ODD = {
    "fifo": make_fifo,
    "socket": make_socket,
    "folder": Path.mkdir,
    "loop": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_refused_by_name_and_never_waited_for(folder: Path, kind: str) -> None:
    ODD[kind](folder / "b" / "9.png")
    start = time.monotonic()
    with pytest.raises(InputError, match=r"b/9\.png: .*(no file|leads)"):
        load_dataset(folder, network())
    assert time.monotonic() - start < 5


def test_a_class_that_is_a_loop_of_links_is_named(folder: Path) -> None:
    (folder / "train").symlink_to("train")
    (folder / "c").symlink_to(".")  # a class that is the folder itself: no image lies in it
    with pytest.raises(InputError, match=r"train: |c: no "):
        load_dataset(folder, network(classes=3))


def test_hidden_files_are_no_images(folder: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "._0.png", ".hidden.jpg"):
        (folder / "a" / name).write_bytes(b"no image")
        (folder / name).write_bytes(b"no image")
    (folder / ".cache").mkdir()
    data = load_dataset(folder, network())
    assert len(data.train_images) + len(data.test_images) == 8


def test_a_class_without_a_training_image_is_named(folder: Path) -> None:
    for number in (1, 2, 3):
        (folder / "b" / f"{number}.png").unlink()
    with pytest.raises(InputError, match=r"set/b: 1 image, but .* at least 2"):
        load_dataset(folder, network())


def test_a_single_class_is_refused(folder: Path) -> None:
    for path in (folder / "b").iterdir():
        path.unlink()
    (folder / "b").rmdir()
    with pytest.raises(InputError, match="found 1"):
        load_dataset(folder, network())


# pickles

ROWS = pickle.dumps(np.zeros((2, 3072), np.uint8), protocol=2)[2:-1]  # without PROTO and STOP


def batch(labels: bytes) -> bytes:
    return b"\x80\x02}(U\x04data" + ROWS + b"U\x06labels" + labels + b"u."


def doubled(opcode: bytes, depth: int) -> bytes:
    """A value that holds twice a value that holds twice ...: small in a file, endless to whoever walks it."""
    levels = b"".join(
        b"h" + bytes([100 + n]) + b"h" + bytes([100 + n]) + opcode + b"q" + bytes([101 + n]) for n in range(depth)
    )
    return b"K\x00q\x64" + levels


HOSTILE_LABELS = {
    "ragged": b"](](K\x00e](K\x00K\x01ee",
    "nested": b"](](K\x00e](K\x01ee",
    "text": b"](U\x010U\x011e",
    "truth": b"](\x88\x89e",
    "itself": b"]q\x64(h\x64h\x64e",
    "doubled": doubled(b"\x86", 60).replace(b"K\x00q", b"](K\x00K\x00eq", 1),
    "an array": b"](" + ROWS + ROWS + b"e",
}


@pytest.mark.parametrize("kind", HOSTILE_LABELS)
def test_labels_are_whole_numbers_and_nothing_else(tmp_path: Path, kind: str) -> None:
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(batch(HOSTILE_LABELS[kind]))
    with pytest.raises(InputError, match="data_batch_1: "):
        load_dataset(tmp_path, network(3, 32, 32, 10))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}(" + doubled(b"\x86", 60) + b"K\x00u.",  # a key whose hash takes for ever
        b"\x80\x02}" + doubled(b"\x86", 60) + b"K\x00s.",
        b"\x80\x02}(](K\x00eK\x00u.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01xK\x00sb0}.",
        b"\x80\x02c_codecs\nencode\nNb.",
        b"\x80\x02}(U\x01acnumpy.core.multiarray\n_reconstruct\n}U\x01xK\x00sbu.",  # a function of ours with a state
    ],
)
def test_a_pickle_neither_hangs_nor_changes_anything(tmp_path: Path, content: bytes) -> None:
    from dsodenet.data import pickles as data_pickle

    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(InputError, match="not a pickle of plain data"):
        read_data_pickle(tmp_path / "batch")
    assert not {name for stand_in in data_pickle.STAND_INS.values() for name in vars(stand_in)} & {"x", b"x"}


# other formats


@pytest.mark.parametrize("shape", [(0, 28, 28), (5, 0, 28), (5, 28, 0)])
def test_an_idx_file_of_nothing_is_refused(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, *shape))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(
            struct.pack(">BBBBI", 0, 0, 8, 1, shape[0]) + bytes(shape[0])
        )
    with pytest.raises(InputError, match="idx3-ubyte"):
        load_dataset(tmp_path, network(1, 28, 28, 10))
