"""Training leaves a run that loads again as it was, and never half a run."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsodenet.data.dataset import Dataset
from dsodenet.errors import InputError, RunError
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images
from dsodenet.training import augment, checkpoint
from dsodenet.training.augment import random_flip, random_shift
from dsodenet.training.checkpoint import load_checkpoint, load_float_model
from dsodenet.training.options import Options
from dsodenet.training.trainer import train

OPTIONS = Options(epochs=2, qat_epochs=1, batch_size=16, progress=False)


@pytest.fixture(scope="module")
def spec(make_spec) -> Spec:
    return make_spec(channels=(4, 6), height=8, width=8, num_classes=2)


@pytest.fixture(scope="module")
def data(spec) -> Dataset:
    """Two classes that differ in brightness: what a few steps can learn."""
    images = random_images(spec, 96, seed=1) // 2
    labels = np.arange(96) % 2
    images[labels == 1] += 100
    return Dataset("bright", images[:64], labels[:64], images[64:], labels[64:], ("dark", "bright"))


@pytest.fixture(scope="module")
def trained(spec, data, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    run = tmp_path_factory.mktemp("train") / "run"
    return run, train(spec, data, run, OPTIONS)


def contents(run: Path) -> dict[str, bytes]:
    """The files of a run; what training leaves unfinished is beside the point."""
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def test_a_run_loads_as_it_was_trained(trained, spec, data):
    run, metrics = trained
    files = {path.name for path in run.iterdir()} - {"tensorboard"}  # where that is installed
    assert files == {"checkpoint.pt", "metrics.csv", "metrics.json"}
    assert json.loads((run / "metrics.json").read_text()) == metrics
    for load, key in ((load_checkpoint, "qat_accuracy"), (load_float_model, "float_accuracy")):
        model, loaded_spec, loaded_metrics = load(run)
        assert loaded_spec == dataclasses.replace(spec, class_names=data.class_names)
        assert loaded_metrics == metrics
        assert not model.training
        with torch.no_grad():
            guesses = model(torch.from_numpy(data.test_images)).argmax(1).numpy()
        assert (guesses == data.test_labels).mean() == metrics[key]
    assert len(metrics["stages"]["float"]["loss"]) == 2
    assert len(metrics["stages"]["qat"]["loss"]) == 1


def test_training_learns(spec, data, tmp_path):
    metrics = train(spec, data, tmp_path, Options(epochs=15, qat_epochs=2, batch_size=8, progress=False))
    assert metrics["stages"]["float"]["loss"][-1] < 0.5 * metrics["stages"]["float"]["loss"][0]
    assert min(metrics["float_accuracy"], metrics["qat_accuracy"]) >= 0.9


def test_the_seed_decides(trained, spec, data, tmp_path):
    run, _ = trained
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        train(spec, data, tmp_path / "again", OPTIONS)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
    train(spec, data, tmp_path / "other", Options(epochs=2, qat_epochs=1, batch_size=16, seed=1, progress=False))
    first, again, other = (
        load_checkpoint(path)[0].state_dict() for path in (run, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_an_interrupted_train_leaves_the_earlier_run(trained, spec, data, monkeypatch, tmp_path):
    run, _ = trained
    before = contents(run)
    calls = []

    def interrupted(images, pixels):
        calls.append(pixels)
        if len(calls) > 5:  # in the second epoch
            raise KeyboardInterrupt
        return images

    monkeypatch.setattr(augment, "random_shift", interrupted)
    for out in (run, tmp_path / "new"):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            train(spec, data, out, OPTIONS)
    assert contents(run) == before
    assert not contents(tmp_path / "new")


def test_a_full_disk_leaves_the_earlier_run(trained, spec, data, monkeypatch):
    run, _ = trained
    before = contents(run)

    def full(path, content):
        with open(path, "wb") as file:
            file.write(content[:8])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        train(spec, data, run, OPTIONS)
    assert contents(run) == before


def test_layer_norm_is_float_only(make_spec, data, tmp_path):
    spec = make_spec(channels=(4,), height=8, width=8, num_classes=2, norm="layer")
    metrics = train(spec, data, tmp_path, OPTIONS)
    assert metrics["qat_accuracy"] is None
    load_float_model(tmp_path)
    with pytest.raises(RunError, match="float-only"):
        load_checkpoint(tmp_path)


def test_divergence_is_said(spec, data, tmp_path):
    with pytest.raises(RunError, match=r"float training diverged in epoch .* lower its learning rate"):
        train(spec, data, tmp_path, Options(epochs=4, batch_size=8, learning_rate=1e30, progress=False))


def test_data_that_does_not_fit_is_refused(make_spec, data, tmp_path):
    with pytest.raises(InputError, match=r"bright has images of \(1, 8, 8\) in 2 classes.* \(1, 8, 9\) in 2"):
        train(make_spec(channels=(4,), height=8, width=9, num_classes=2), data, tmp_path, OPTIONS)
    with pytest.raises(InputError, match="recipe is 'magic', but it must be one of supervised"):
        train(make_spec(channels=(4,), height=8, width=8, num_classes=2), data, tmp_path, OPTIONS, recipe="magic")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": -1}, "epochs is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1"),
    ],
)
def test_options_are_checked(option, message):
    with pytest.raises(InputError, match=message):
        Options(**option)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _pickle_with_code(path: Path) -> None:
    class Attack:
        def __reduce__(self):
            return Path.touch, (path.parent / "executed",)

    torch.save({"float_state": Attack(), "qat_state": None, "spec_json": "", "metrics_json": ""}, path)


def _plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"qat_state": {}}))


def _edit(**change: Any):
    def edit(path: Path) -> None:
        torch.save(torch.load(path, weights_only=True) | change, path)

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "no such checkpoint; `dsodenet train"),
        (_truncate, "not a checkpoint"),
        (_plain_pickle, "not a checkpoint"),
        (_pickle_with_code, "not a checkpoint"),
        (_edit(extra=1), "it must hold float_state"),
        (_edit(spec_json="{}"), "missing key"),
        (_edit(spec_json=3), r"checkpoint\.pt"),
        (_edit(metrics_json="{"), r"checkpoint\.pt"),
        (_edit(spec_json=Spec.named("xs").to_json()), "its weights do not fit its spec"),
        (_edit(qat_state={}), "its weights do not fit its spec"),
        (_edit(qat_state=[1]), "its weights do not fit its spec"),
    ],
)
def test_a_damaged_checkpoint_is_refused(trained, run_folder, damage, message):
    run_folder.mkdir()
    path = run_folder / "checkpoint.pt"
    path.write_bytes((trained[0] / "checkpoint.pt").read_bytes())
    damage(path)
    with pytest.raises(RunError, match=message):
        load_checkpoint(run_folder)
    assert not (run_folder / "executed").exists()


def test_a_checkpoint_that_unpacks_to_too_much_is_refused(trained, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_CHECKPOINT_BYTES", 1000)
    with pytest.raises(RunError, match="bytes, but at most 1000 are read"):
        load_checkpoint(trained[0])


def test_a_randomly_damaged_checkpoint_is_refused_or_harmless(trained, run_folder, damaged):
    run_folder.mkdir()
    refused = 0
    for content in damaged((trained[0] / "checkpoint.pt").read_bytes(), 60):
        (run_folder / "checkpoint.pt").write_bytes(content)
        try:
            load_checkpoint(run_folder)
        except RunError:
            refused += 1
    assert refused > 15


def test_shift_moves_whole_images_over_black():
    images = torch.arange(1, 2 * 3 * 4 * 5 + 1, dtype=torch.uint8).reshape(2, 3, 4, 5).repeat(20, 1, 1, 1)
    torch.manual_seed(0)
    shifted = random_shift(images, 2)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    offsets = set()
    for before, after in zip(padded, shifted):
        (found,) = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[:, y : y + 4, x : x + 5], after)]
        offsets.add(found)
    assert {y for y, _ in offsets} == {x for _, x in offsets} == set(range(5))
    assert random_shift(images, 0) is images


def test_flip_mirrors_some_images():
    images = torch.arange(64 * 2 * 3, dtype=torch.uint8).reshape(64, 1, 2, 3)
    torch.manual_seed(0)
    flipped = random_flip(images)
    same = [torch.equal(a, b) for a, b in zip(images, flipped)]
    assert 10 < sum(same) < 54
    assert all(torch.equal(a, b if keep else b.flip(2)) for a, b, keep in zip(images, flipped, same))
