"""Training that is stopped at any write, on a full disk, or resumed from an edited state.

The same bits, or one sentence.
"""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dsodenet import files
from dsodenet.errors import InputError, RunError, SpecError
from dsodenet.exporting.integers import export
from dsodenet.spec.specification import Solver
from dsodenet.training.checkpoint import load_checkpoint, load_tensors, save_tensors
from dsodenet.training.options import Options
from dsodenet.training.trainer import train
from tests.training.train_worker import task


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(autouse=True)
def every_epoch_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsodenet.training.journal.SAVE_SECONDS", 0.0)


def small(out: Path, resume: bool = False, recipe: str = "supervised", **options: Any) -> dict[str, Any]:
    spec, data, target, defaults = task(2)
    return train(
        spec,
        data,
        out,
        dataclasses.replace(defaults, **options),
        recipe,
        target=target if recipe == "dann" else None,
        teachers=("odenet_full",) if recipe in ("matching", "teacher") else (),
        resume=resume,
    )


def bits(run: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    return {f"{part}.{name}": value for part in ("float_state", "qat_state") for name, value in content[part].items()}


def log(run: Path) -> list[str]:
    """Without the seconds, the last column."""
    return [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "tensorboard" not in path.parts}


def test_a_training_that_is_killed_between_two_writes_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, few = tmp_path / "whole", {"epochs": 1, "qat_epochs": 1}
    small(whole, **few)
    replace, stop = files.os.replace, 1

    def replaced(source: Any, target: Any) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", replaced)
    while True:
        run, left = tmp_path / f"killed-{stop}", stop
        try:
            small(run, **few)
            break
        except Killed:
            left = 1000
            small(run, resume=True, **few)
        assert log(run) == log(whole), stop
        assert bits(run).keys() == bits(whole).keys()
        assert all(torch.equal(value, bits(whole)[name]) for name, value in bits(run).items()), stop
        assert tree(run) == tree(whole), stop
        stop += 2  # between a state and its log, between a checkpoint and its metrics
    assert stop == 7


def test_a_training_that_ended_but_for_its_tidying_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsodenet.training import journal

    with monkeypatch.context() as patched:
        patched.setattr(journal.shutil, "rmtree", lambda *args, **options: None)
        small(tmp_path)
    before = log(tmp_path)
    small(tmp_path, resume=True)
    assert log(tmp_path) == before
    assert not (tmp_path / "unfinished").exists()


def test_a_full_disk_is_an_os_error_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    save_tensors({"a": torch.zeros(3)}, tmp_path / "s.pt")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            save_tensors({"a": torch.zeros(10_000)}, tmp_path / "s.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(load_tensors(tmp_path / "s.pt")["a"], torch.zeros(3))
    assert [path.name for path in tmp_path.iterdir()] == ["s.pt"]


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "task": lambda state: state.update(task="["),
    "finished": lambda state: state.update(finished=[]),
    "current": lambda state: state.update(current={"stage": "float"}),
    "nothing in current": lambda state: state["current"].update(content={}),
    "weights": lambda state: state["current"]["content"].update(step={}),
    "optimiser": lambda state: state["current"]["content"].update(optimiser={"state": {}, "param_groups": []}),
    "random": lambda state: state["current"]["content"].update(random=torch.zeros(3)),
    "loss": lambda state: state["current"]["content"]["history"].update(loss=None),
    "rows": lambda state: state.update(rows=[1]),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a training after its first epoch."""
    from dsodenet.training.journal import Journal

    run, epoch = tmp_path_factory.mktemp("stopped"), Journal.epoch

    def once(self: Any, *args: Any) -> None:
        epoch(self, *args)
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "epoch", once)
        with pytest.raises(Killed):
            small(run)
    return run / "unfinished" / "state.pt"


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_state_is_refused_by_name(edit: str, stopped: Path, tmp_path: Path) -> None:
    state = load_tensors(stopped)
    EDITS[edit](state)
    save_tensors(state, tmp_path / "unfinished" / "state.pt")
    with pytest.raises((RunError, InputError), match=r"state\.pt"):
        small(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"seed": 1}, "seed 0"), ({"batch_size": 8}, "batch_size 16"), ({"recipe": "dann"}, "recipe|target")],
)
def test_a_training_is_resumed_only_with_its_own_options(
    options: dict[str, Any], named: str, stopped: Path, tmp_path: Path
) -> None:
    save_tensors(load_tensors(stopped), tmp_path / "unfinished" / "state.pt")
    with pytest.raises(InputError, match=named):
        small(tmp_path, resume=True, **options)


def test_resume_with_nothing_to_resume_trains(tmp_path: Path) -> None:
    assert small(tmp_path, resume=True, qat_epochs=1)["qat_accuracy"] is not None


def test_a_new_run_leaves_no_teacher_of_an_old_one(tmp_path: Path) -> None:
    small(tmp_path, recipe="teacher", teacher_epochs=1)
    assert (tmp_path / "teachers.pt").exists()
    small(tmp_path, qat_epochs=1)
    assert not (tmp_path / "teachers.pt").exists()


@pytest.mark.parametrize(
    ("recipe", "options", "named"),
    [
        ("compress", {}, "cannot be compressed to"),
        ("coral", {"batch_size": 1}, "recipe coral takes batches of 2 images or more"),
    ],
)
def test_what_a_recipe_cannot_do_is_said_before_it_trains(
    recipe: str, options: dict[str, Any], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsodenet.training.trainer.fit", lambda *args: pytest.fail("it trained"))
    spec, data, target, defaults = task(1)
    narrow = dataclasses.replace(spec.network, channels=(1, 1))
    spec = dataclasses.replace(spec, network=narrow) if recipe == "compress" else spec
    with pytest.raises(InputError, match=named):
        train(spec, data, tmp_path, dataclasses.replace(defaults, **options), recipe, target=target)


class Code:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_a_checkpoint_with_code_is_refused_without_advice_to_run_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"float_state": Code()}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match=r"checkpoint\.pt: not a checkpoint") as refused:
        load_checkpoint(tmp_path)
    assert "weights_only" not in str(refused.value)
    assert "executed" not in capsys.readouterr().out


def test_a_checkpoint_of_no_numbers_is_named(tmp_path: Path) -> None:
    small(tmp_path, qat_epochs=1)
    content = load_tensors(tmp_path / "checkpoint.pt")
    for value in content["qat_state"].values():
        if value.is_floating_point():
            value.fill_(float("nan"))
    save_tensors(content, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match=f"{tmp_path.name}: scale is nan"):
        export(tmp_path)
    assert not (tmp_path / "params.npz").exists()


@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1e308), (-1e308, 1.0)])
def test_times_are_bounded(t0: float, t1: float) -> None:
    with pytest.raises(SpecError, match="both must be"):
        Solver("euler", (1,), t0, t1)


def test_options_are_checked_in_words() -> None:
    with pytest.raises(InputError, match="weight_decay is inf"):
        Options(weight_decay=float("inf"))


def test_a_folder_that_another_training_writes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsodenet.training.trainer.fit", lambda *args: pytest.fail("it trained"))
    with (
        files.only_one(tmp_path / "unfinished", "training"),
        pytest.raises(RunError, match="another training is running here"),
    ):
        small(tmp_path)
    assert list(tmp_path.iterdir()) == []
