"""Image in, label out: pictures become the pixels of training, and logits become names and probabilities."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from dsodenet.data import load_dataset, prepare
from dsodenet.errors import InputError, RunError
from dsodenet.reference import Reference
from dsodenet.runtime import Accelerator, load_images
from dsodenet.spec import RESIZES, Params, Preparation, Spec, random_params
from tests.command_line import call, refused

NAMES = ("bolt", "nut", "washer")
SPEC = dataclasses.replace(
    Spec.named("xs").with_classes(NAMES),
    network=dataclasses.replace(Spec.named("xs").network, in_channels=3, num_classes=3),
)
MODEL = random_params(SPEC, 1)


def with_resize(how: str) -> Spec:
    return dataclasses.replace(SPEC, images=Preparation(how))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of wide pictures."""
    random = np.random.default_rng(1)
    for name in NAMES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(0, 256, (24, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("how", RESIZES)
def test_a_picture_becomes_what_training_saw(photos: Path, how: str) -> None:
    spec = with_resize(how)
    data = load_dataset(photos, spec.network, spec.images)
    seen = {image.tobytes() for image in (*data.train_images, *data.test_images)}
    pixels, files = load_images(photos, spec)
    assert {image.tobytes() for image in pixels} == seen
    assert files == sorted(map(str, photos.rglob("*.png")))
    for image, file in zip(pixels, files):
        with Image.open(file) as picture:
            frame = np.asarray(picture)
            assert (prepare(picture, spec) == image).all()
        assert (prepare(frame, spec) == image).all()


def test_resize_modes_by_hand() -> None:
    """40 x 24 pixels for 16 x 16: squash scales both sides, crop takes the middle 24 x 24, pad leaves black bars."""
    frame = np.random.default_rng(0).integers(1, 256, (24, 40, 3)).astype(np.uint8)

    def scaled(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)

    assert (prepare(frame, with_resize("squash")) == scaled(frame, 16, 16)).all()
    cropped = prepare(frame, with_resize("crop"))  # the outer columns also see the pixels beside the cut
    assert (cropped[:, :, 1:-1] == scaled(frame[:, 8:32], 16, 16)[:, :, 1:-1]).all()
    padded = prepare(frame, with_resize("pad"))
    height = round(16 * 24 / 40)
    top = (16 - height) // 2
    assert (padded[:, top : top + height] == scaled(frame, 16, height)).all()
    assert not padded[:, :top].any()
    assert not padded[:, top + height :].any()


def test_a_frame_of_the_right_size_needs_no_change() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    assert (prepare(frame, MODEL) == frame.transpose(2, 0, 1)).all()
    with pytest.raises(InputError, match="this one has the model's shape"):
        prepare(np.zeros((3, 16, 16), np.uint8), MODEL)
    with pytest.raises(InputError, match=r"is float64\(16, 16\), but a picture is uint8"):
        prepare(np.zeros((16, 16)), MODEL)
    with pytest.raises(InputError, match="must be a file, a Pillow image or a uint8 array"):
        prepare(3, MODEL)  # type: ignore[arg-type]


def test_names_and_probabilities(photos: Path) -> None:
    with Accelerator(MODEL) as accelerator:
        found = accelerator.classify(photos)
        pixels, files = load_images(photos, MODEL)
        logits = Reference(MODEL).predict(pixels)
        assert (found.logits == logits).all()
        np.testing.assert_allclose(found.probabilities, softmax(logits * MODEL.logits_scale, axis=1), rtol=1e-12)
        assert found.names == [NAMES[label] for label in logits.argmax(axis=1)]
        assert [item.source for item in found] == files
        assert str(found[0]) == f"{found.names[0]} {found.probabilities[0].max():.2f} ({files[0]})"
        first = accelerator.classify(files[0])
        with Image.open(files[0]) as picture:
            assert accelerator.classify(picture).logits.tolist() == first.logits.tolist() == logits[:1].tolist()
        single = accelerator.classify(pixels[0])
        assert (len(single), single.names, single[0].source) == (1, found.names[:1], "image 0")
        turned = accelerator.classify(pixels.transpose(0, 2, 3, 1), layout="nhwc")
        assert (turned.logits == logits).all()
        assert (accelerator.predict(pixels[0]) == logits[:1]).all()
    assert "<script>" not in dataclasses.replace(first, sources=("<script>",))._repr_html_()
    json.dumps(found.to_dict())


WRONG = {
    "one picture": (np.zeros((16, 16, 3), np.uint8), "say layout='nhwc' for images in that order, whose channels"),
    "a frame": (np.zeros((48, 64, 3), np.uint8), r"prepare\(image, params\) resizes"),
    "grey": (np.zeros((48, 64), np.uint8), r"prepare\(image, params\) resizes"),
    "0 to 255": (np.full((3, 16, 16), 200.0), "divide pixels by 255"),
    "int64": (np.zeros((3, 16, 16), np.int64), r"images\.astype\(numpy\.uint8\)"),
    "batch of batches": (np.zeros((1, 1, 3, 16, 16), np.uint8), r"takes \(N, 3, 16, 16\)$"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_images_are_refused_with_what_to_do(case: str) -> None:
    images, hint = WRONG[case]
    with Accelerator(MODEL) as accelerator, pytest.raises(InputError, match=hint):
        accelerator.classify(images)


def test_run_takes_a_photo_a_folder_and_an_array(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    MODEL.save(run)
    pixels, files = load_images(photos, MODEL)
    np.save(tmp_path / "x.npy", pixels)
    assert call("run", run, "--input", photos) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = [str(item) for item in Accelerator(MODEL).classify(photos)]
    assert lines[:-1] == expected
    assert call("run", run, "--input", files[0]) == 0
    assert capsys.readouterr().out.splitlines()[0] == expected[0]
    assert call("run", run, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in answer["predictions"]] == [line.split()[0] for line in expected]
    assert answer["predictions"][1]["source"] == f"{tmp_path / 'x.npy'}[1]"
    assert (np.load(tmp_path / "y.npy") == Reference(MODEL).predict(pixels)).all()
    assert "no such file" in refused(capsys, "run", run, "--input", tmp_path / "none.png")
    (tmp_path / "empty").mkdir()
    assert "no .png, .jpg" in refused(capsys, "run", run, "--input", tmp_path / "empty")


def test_a_file_from_before_reads_as_it_did(tmp_path: Path) -> None:
    """Its JSON has neither key, and its fingerprint was made without them."""
    old = random_params(Spec.named("xs"), 1)
    old.save(tmp_path)
    data = json.loads((tmp_path / "spec.json").read_text())
    del data["images"], data["class_names"]
    (tmp_path / "spec.json").write_text(json.dumps(data))
    read = Params.load(tmp_path)
    assert (read.spec, read.fingerprint) == (old.spec, old.fingerprint)
    assert read.spec.labels == tuple("0123456789")
    data["images"] = {"resize": "crop", "channel_order": "RGB"}
    (tmp_path / "spec.json").write_text(json.dumps(data))
    with pytest.raises(RunError, match="were edited or mixed"):
        Params.load(tmp_path)
    assert MODEL.model_fingerprint == dataclasses.replace(MODEL, spec=with_resize("crop")).model_fingerprint


def test_run_takes_a_built_overlay(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As on a board, where there is no run folder: the model is in the overlay's JSON."""
    pytest.importorskip("pynq")
    from dsodenet.contract import Kind, block_design
    from dsodenet.runtime.artefacts import write_manifest
    from dsodenet.runtime.simulated import write_overlay

    bit = write_overlay(block_design("parts", Kind.HLS, 150), "kernel_0", tmp_path)
    write_manifest(MODEL, "hls", bit, {})
    told = {}
    for words in (("--backend", "zcu104-sim", "--simulate-with", "reference"), ("--backend", "cpu")):
        assert call("run", bit, *words, "--input", photos, "--json", tmp_path / "y.json") == 0
        told[words[1]] = json.loads((tmp_path / "y.json").read_text(encoding="utf-8"))
    logits = Reference(MODEL).predict(load_images(photos, MODEL)[0])
    for found in told.values():
        assert [item["logits"] for item in found["predictions"]] == logits.tolist()
    assert "pynq finds no board here" in refused(capsys, "run", bit, "--input", photos), "its own backend is zcu104"
    bit.with_suffix(".json").unlink()
    assert "it holds the model" in refused(capsys, "run", bit, "--input", photos)
