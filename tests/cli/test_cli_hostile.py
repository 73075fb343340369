"""Commands on odd files and places: one sentence and status 2, at once, and every file as it was."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsodenet.reference import Reference
from dsodenet.runs import Run
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from tests.command_line import call, refused

MODEL = "zoo:digits-xs"


@pytest.fixture(scope="module")
def params() -> Params:
    return Params.load(Run.of(MODEL).folder)


@pytest.fixture
def images(params: Params, tmp_path: Path) -> Path:
    np.save(tmp_path / "X.npy", random_images(params.spec, 3, 1))
    return tmp_path / "X.npy"


def job(source: Path, output: Path) -> tuple[object, ...]:
    return "run", MODEL, "--backend", "cpu", "--quiet", "--input", source, "--output", output


# what is read -------------------------------------------------------------------------------------------------------


def npy(shape: str, descr: str = "|u1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


HEADERS = {
    "more than the file": (npy("(1000000000, 1, 16, 16)") + b"abc", "256000000000"),
    "less than none": (npy("(-1, 1, 16, 16)") + bytes(256), "(-1, 1, 16, 16)"),
    "more than an address": (npy("(4611686018427387904, 4, 16, 16)") + bytes(256), "4611686018427387904"),
    "code": (npy("(__import__('os').getpid(),)") + bytes(256), "malformed"),
    "a header of 4 GiB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xf0{}", "array header"),
    "a record": (npy("(3, 1, 16, 16)", "|u1')], [('a', '") + bytes(768), "X.npy"),
    "cut": (npy("(3, 1, 16, 16)") + bytes(767), "768"),
    "more": (npy("(3, 1, 16, 16)") + bytes(769), "768"),
    "nothing": (b"", "X.npy"),
    "a zip": (b"PK\x03\x04" + bytes(100), "archive"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_is_believed_only_as_far_as_the_file_goes(
    kind: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, named = HEADERS[kind]
    images.write_bytes(content)
    assert named in refused(capsys, *job(images, tmp_path / "Y.npy"))
    assert not (tmp_path / "Y.npy").exists()


def test_a_terabyte_of_nothing_is_refused(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = npy("(1000000000, 1, 16, 16)", "<f4")
    with open(images, "wb") as file:
        file.write(header)
        file.truncate(len(header) + 1024 * 10**9)
    assert "at most" in refused(capsys, *job(images, tmp_path / "Y.npy"))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_not_waited_for(
    make: Callable[[Path], None], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images.unlink()
    make(images)
    assert "X.npy" in refused(capsys, *job(images, tmp_path / "Y.npy"))


@pytest.mark.parametrize(
    "change", [lambda x: (x / 255).astype(">f8"), np.asfortranarray, lambda x: (x / 255).astype(np.longdouble)]
)
def test_other_orders_are_the_same_images(
    change: Callable[[np.ndarray], np.ndarray], images: Path, params: Params, tmp_path: Path
) -> None:
    pixels = np.load(images)
    np.save(images, change(pixels))
    assert call(*job(images, tmp_path / "Y.npy")) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "Y.npy"), Reference(params).predict(pixels))


def test_a_spec_that_is_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "s.json")
    assert "s.json" in refused(capsys, "spec", tmp_path / "s.json")


def test_a_message_is_one_line_whatever_a_file_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, *job(tmp_path / "a\nb.npy", tmp_path / "Y.npy"))


# what is written ----------------------------------------------------------------------------------------------------


def test_images_are_never_overwritten_by_their_logits(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = images.read_bytes()
    (tmp_path / "L.npy").symlink_to(images)
    os.link(images, tmp_path / "H.npy")
    for output in (images, tmp_path / "L.npy", tmp_path / "H.npy", tmp_path / "." / "X.npy"):
        assert "is the input" in refused(capsys, *job(images, output))
    assert images.read_bytes() == before


def test_an_output_that_cannot_be_is_refused_before_anything_runs(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **options: object) -> None:
        raise AssertionError("it ran")

    monkeypatch.setattr("dsodenet.runtime.Accelerator.predict", never)
    (tmp_path / "file").touch()
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "Z.json").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    names = ("file/Y.npy", "folder.npy", "Z.npy", "pipe.npy", "Y.txt", f"{'n' * 245}.npy")
    for output in (*(tmp_path / name for name in names), Path("/proc/Y.npy")):
        assert "output is" in refused(capsys, *job(images, output))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.npy", "Z.json", "file", "folder.npy", "pipe.npy"]


@pytest.mark.parametrize(
    "words", [("verify", "--backends", "torch"), ("verify", "--backends", "csim"), ("bench", "--json", "/proc/x.json")]
)
def test_what_a_model_of_the_zoo_has_not_is_said(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, words[0], MODEL, *words[1:])
    assert "dsodenet train" not in message
    assert "dsodenet lower" not in message


@pytest.mark.parametrize("command", ["export", "lower"])
def test_a_model_of_the_zoo_is_read_only(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "read only" in refused(capsys, command, MODEL)


def test_inputs_of_an_overlay_go_where_they_are_asked_for_and_never_into_the_zoo(tmp_path: Path) -> None:
    before = sorted(Run.of(MODEL).folder.iterdir())
    assert call("overlay", MODEL, "--kernel", "rtl", "--inputs-only", "--out", tmp_path / "o", "--quiet") == 0
    assert (tmp_path / "o" / "overlay" / "rtl" / "inputs" / "config.tcl").is_file()
    assert sorted(Run.of(MODEL).folder.iterdir()) == before


@pytest.mark.parametrize("out", ["file", "file/o", "/proc/o", "zoo:o", "", Run.of(MODEL).folder])
def test_an_overlay_that_has_no_place_is_refused(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert "--out" in refused(capsys, "overlay", MODEL, "--kernel", "rtl", "--inputs-only", "--out", out)
    assert "--out" in refused(capsys, "explore", "xs", "--out", out)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_more_images_than_memory_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "at most 4194304" in refused(capsys, "verify", MODEL, "--backends", "cpu", "--images", "99999999999")


@pytest.mark.parametrize("out", ["file", "file/run", "/proc/run", "zoo:new", ""])
def test_a_run_folder_that_cannot_be_is_refused_before_training(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("dsodenet.training.train", lambda *args, **options: pytest.fail("it trained"))
    message = refused(capsys, "train", "--spec", "xs", "--out", out)
    assert out in message
    assert "--out" in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--seed", "99999999999999999999999"), "seed is"),
        (("--epochs", "99999999999999999999"), "epochs is"),
        (("--shift", "1000"), "shift is 1000"),
        (("--mixup", "1e-300"), "mixup is 1e-300"),
        (("--mixup", "1e300"), "mixup is 1e+300"),
        (("--learning-rate", "nan"), "learning_rate is nan, but it must be more than 0"),
        (("--batch-size", "0"), "batch_size is 0"),
        (("--recipe", "matching", "--teacher", ""), "needs a teacher"),
        (("--recipe", "matching", "--teacher", "wide,"), "teacher is ''"),
    ],
)
def test_options_that_no_training_can_have(
    words: tuple[str, ...], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert named in refused(capsys, "train", "--spec", "xs", "--out", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()
