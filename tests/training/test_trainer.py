"""Recipes end in runs like any other; a killed training resumes bit for bit; two processes train as one."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsodenet.errors import InputError, RunError, ToolError
from dsodenet.training import journal, loop, places
from dsodenet.training.checkpoint import load_checkpoint
from dsodenet.training.options import Options
from dsodenet.training.recipes import RECIPES
from dsodenet.training.trainer import train
from tests.command_line import call, refused
from tests.training.train_worker import task

WORKER = Path(__file__).with_name("train_worker.py")
HOST = Path(__file__).parents[2] / "host"
TIMEOUT = 120  # seconds


def start(*words: Any, torchrun: int = 0) -> subprocess.Popen[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"] if torchrun else []
    environment = os.environ | {
        "PYTHONPATH": f"{HOST}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, *launch, str(WORKER), *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def states(run: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    return {f"{part}.{name}": value for part in ("float_state", "qat_state") for name, value in content[part].items()}


def log(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def dann(out: Path, epochs: int = 4, resume: bool = False, **options: Any) -> dict[str, Any]:
    spec, data, target, defaults = task(epochs)
    return train(spec, data, out, dataclasses.replace(defaults, **options), "dann", target=target, resume=resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    dann(run)
    return run


def same(run: Path, other: Path) -> bool:
    one, two = states(run), states(other)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# every recipe
# -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.quantises])
def test_every_recipe_ends_in_a_run_that_exports(name, tmp_path):
    """Every word of the integers as torch computes them.

    Csim and rtl take any export (dsodenet study recipes --verify).
    """
    from dsodenet.exporting import export, extract, torch_logits
    from dsodenet.reference import Reference
    from dsodenet.runtime import Accelerator

    spec, data, target, _ = task(1)
    network = dataclasses.replace(spec.network, channels=(16,))  # wide enough to be compressed
    spec = dataclasses.replace(spec, network=network, solver=dataclasses.replace(spec.solver, n_steps=(1,)))
    recipe = RECIPES[name]
    options = Options(epochs=1, qat_epochs=1, teacher_epochs=1, batch_size=16, progress=False)
    teachers = ("wide", "wide") if recipe.needs_teacher else ()
    metrics = train(
        spec, data, tmp_path, options, name, target=target if recipe.needs_target else None, teachers=teachers
    )
    assert metrics["recipe"] == name
    assert (metrics["target_qat_accuracy"] is not None) == recipe.needs_target
    assert len(metrics["teachers"]) == len(teachers)
    assert [row["stage"] for row in log(tmp_path)] == [
        name for name, stage in metrics["stages"].items() if stage["loss"]
    ]
    model, _, _ = load_checkpoint(tmp_path)
    params = extract(model)
    logits = Reference(params).predict(data.test_images)
    assert np.array_equal(logits, torch_logits(model, data.test_images, params.logits_scale))
    assert np.ptp(logits, axis=0).any()
    assert export(tmp_path).fingerprint == params.fingerprint
    with Accelerator(tmp_path, "torch") as torch_accelerator, Accelerator(tmp_path, "cpu") as accelerator:
        features = torch_accelerator.features(data.test_images)
        assert np.array_equal(features, accelerator.features(data.test_images))
        assert np.array_equal(torch_accelerator.predict(data.test_images), logits)
    assert features.shape == (len(logits), 16)


def test_trained_teachers_serve_other_runs(tmp_path):
    spec, data, _, options = task(1)
    metrics = train(
        spec,
        data,
        tmp_path / "t",
        Options(teacher_epochs=2, batch_size=16, progress=False),
        "teacher",
        teachers=("wide",),
    )
    assert metrics["float_accuracy"] is None
    assert not (tmp_path / "t" / "checkpoint.pt").exists()
    distilled = train(spec, data, tmp_path / "s", options, "matching", teachers=(str(tmp_path / "t"),))
    assert distilled["teachers"] == metrics["teachers"]
    assert list(distilled["stages"]) == ["float", "qat"]  # nothing left to teach
    again = train(
        spec, data, tmp_path / "s2", options, "th-kd", teachers=(str(tmp_path / "s"), "wide")
    )  # a run's float model
    assert [t["name"] for t in again["teachers"]] == ["s", "wide"]
    assert again["teachers"][0]["accuracy"] == distilled["float_accuracy"]


# resuming
# ---------------------------------------------------------------------------------------------------------------------


def test_a_killed_training_resumes_to_the_same_bits(whole, tmp_path):
    run = tmp_path / "run"
    for kill_after in (2, 5):  # epochs: in the float stage, then in the quantised one
        process = start(run, 4, "resume", "slow")
        state = run / "unfinished" / journal.LOG_FILE
        deadline = time.monotonic() + TIMEOUT
        while not state.exists() or len(state.read_text().splitlines()) < 1 + kill_after:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (run / "checkpoint.pt").exists()
    dann(run, resume=True)
    assert same(run, whole)
    assert [(row["stage"], row["epoch"], row["loss"]) for row in log(run)] == [
        (row["stage"], row["epoch"], row["loss"]) for row in log(whole)
    ]
    assert not (run / "unfinished").exists()


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_every_epoch_can_be_resumed_from(epoch, tmp_path, monkeypatch):
    """Without a second process: the state as each epoch left it, in a recipe with teachers and three stages."""
    spec, data, _, _ = task(1)
    options = Options(epochs=1, qat_epochs=1, teacher_epochs=1, batch_size=16, progress=False)

    def run(out: Path, resume: bool) -> None:
        train(spec, data, out, options, "th-kd", teachers=("wide",), resume=resume)

    run(tmp_path / "whole", False)
    saved, count = journal.Journal.epoch, 0

    def stop(self: journal.Journal, *args: Any) -> None:
        nonlocal count
        saved(self, *args)
        count += 1
        if count == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", False)
    run(tmp_path / "stopped", True)
    assert same(tmp_path / "stopped", tmp_path / "whole")


def test_resuming_another_training_is_refused(tmp_path, monkeypatch):
    stopped = journal.Journal.epoch

    def stop(self: journal.Journal, *args: Any) -> None:
        stopped(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            dann(tmp_path)
    with pytest.raises(
        InputError, match=r"state\.pt is of a training with epochs 4, but this one has 5; resume with the same"
    ):
        dann(tmp_path, epochs=5, resume=True)
    path = tmp_path / "unfinished" / journal.STATE_FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"state\.pt: not a checkpoint"):
        dann(tmp_path, resume=True)


def test_resume_of_nothing_starts(tmp_path, whole):
    dann(tmp_path / "run", resume=True)
    assert same(tmp_path / "run", whole)


# several processes
# ------------------------------------------------------------------------------------------------------------


def test_two_processes_train_as_one(whole, tmp_path):
    """Equal up to the order of float32 sums: the mean of two halves' gradients against that of the whole batch.

    The difference
    of 1e-7 in the first step grows with steps, and where a value rounds to another quantised one."""
    process = start(tmp_path, 4, torchrun=2)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, output
    one, two = log(whole), log(tmp_path)
    assert [row["stage"] for row in one] == [row["stage"] for row in two]
    for alone, together in zip(one, two):
        tolerance = 1e-4 if alone["stage"] == "float" else 2e-2
        assert float(together["loss"]) == pytest.approx(float(alone["loss"]), rel=tolerance)
    different = [abs(float(a["loss"]) - float(b["loss"])) for a, b in zip(one, two)]
    assert any(different) or same(whole, tmp_path)


# places, precision, log
# -------------------------------------------------------------------------------------------------------


def test_a_batch_must_divide_among_the_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with (
        pytest.raises(InputError, match="batch_size is 16, but it must be a multiple of the 3 processes"),
        places.place(Options(batch_size=16)),
    ):
        pass


def test_several_processes_without_their_launcher_are_refused(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(InputError, match="WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT is not set; start"),
        places.place(Options(batch_size=16)),
    ):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said():
    with pytest.raises(ToolError, match="torch finds no GPU; use --device cpu"), places.place(Options(device="cuda")):
        pass


def test_mixed_precision_changes_the_float_stage_only_a_little(tmp_path, whole):
    dann(tmp_path, precision="bfloat16")
    full, mixed = log(whole), log(tmp_path)
    assert full[0]["loss"] != mixed[0]["loss"]
    assert float(mixed[0]["loss"]) == pytest.approx(float(full[0]["loss"]), rel=0.02)  # bfloat16 has 8 bits
    assert all(value.dtype != torch.bfloat16 for value in states(tmp_path).values())


@pytest.mark.parametrize(
    ("recipe", "teachers", "option", "expected"),
    [("supervised", (), 0.0, set()), ("supervised", (), 0.3, {0.3}), ("matching", ("wide",), 0.3, {0.3, 1.0})],
)
def test_mixup_is_that_of_the_recipe_or_else_of_the_options(recipe, teachers, option, expected, tmp_path, monkeypatch):
    alphas = set()
    blend = loop.mixed

    def watched(images, labels, classes, alpha):
        alphas.add(alpha)
        return blend(images, labels, classes, alpha)

    monkeypatch.setattr(loop, "mixed", watched)
    spec, data, _, options = task(1)
    train(spec, data, tmp_path, dataclasses.replace(options, mixup=option, teacher_epochs=1), recipe, teachers=teachers)
    assert alphas == expected  # the teacher of `matching` is trained by the option


def test_the_log_has_a_row_per_epoch_with_each_term(whole):
    rows = log(whole)
    assert [(row["stage"], int(row["epoch"])) for row in rows] == [("float", i) for i in (1, 2, 3, 4)] + [
        ("qat", 1),
        ("qat", 2),
    ]
    for row in rows:
        terms = dict(term.split("=") for term in row["terms"].split())
        assert list(terms) == ["CrossEntropy", "DomainAdversary"]
        assert sum(map(float, terms.values())) == pytest.approx(float(row["loss"]), rel=1e-4)
    metrics = json.loads((whole / "metrics.json").read_text())
    assert [float(row["loss"]) for row in rows if row["stage"] == "float"] == metrics["stages"]["float"]["loss"]


def test_tensorboard_gets_each_epoch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    dann(tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rows = log(tmp_path)
    for stage in {row["stage"] for row in rows}:
        written = [(event.step, event.value) for event in board.Scalars(f"{stage}/loss")]
        expected = [(int(row["epoch"]), float(row["loss"])) for row in rows if row["stage"] == stage]
        assert [step for step, _ in written] == [epoch for epoch, _ in expected]
        assert [value for _, value in written] == pytest.approx(
            [loss for _, loss in expected], rel=1e-5
        )  # kept in float32


def test_training_goes_on_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    dann(tmp_path)
    assert log(tmp_path)
    assert not (tmp_path / "tensorboard").exists()


# refusals
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "dann"], "recipe dann adapts to a domain, so it needs a target"),
        (["--recipe", "matching"], "recipe matching needs a teacher (--teacher), but none was given"),
        (["--teacher", "wide"], "recipe supervised takes no teacher, but wide was given"),
        (["--recipe", "matching", "--teacher", "nobody"], "teacher is 'nobody', but it must be one of wide"),
        (["--recipe", "teacher", "--teacher", "wide", "--target", "digits-inverted"], "recipe teacher takes no target"),
        (["--target", "nowhere"], "data is 'nowhere'"),
        (["--device", "tpu"], "device is 'tpu', but it must be one of auto, cpu, cuda"),
        (["--precision", "float8"], "precision is 'float8', but it must be one of float32, bfloat16"),
        (["--learning-rate", "0"], "learning_rate is 0.0"),
        (["--mixup", "-1"], "mixup is -1.0, but it must be 0, or 0.001 to 1000"),
        (["--mixup", "nan"], "mixup is nan"),
    ],
)
def test_impossible_combinations_are_refused_at_once(capsys, tmp_path, words, message):
    assert message in refused(capsys, "train", "--spec", "xs", "--out", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_does_not_fit_is_refused(capsys, whole, tmp_path):
    words = ("train", "--spec", "xs", "--out", tmp_path / "run", "--recipe", "matching", "--teacher", whole)
    assert "a teacher for images of (1, 8, 8) in 2 classes, but the student takes (1, 16, 16) in 10" in refused(
        capsys, *words
    )


def test_target_classes_must_agree(tmp_path):
    spec, data, target, options = task(1)
    other = dataclasses.replace(target, class_names=("a", "z"))
    with pytest.raises(InputError, match="target t has the classes a, z, but s has a, b"):
        train(spec, data, tmp_path, options, "dann", target=other)


def test_recipes_are_listed(capsys):
    assert call("recipes") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in RECIPES)
