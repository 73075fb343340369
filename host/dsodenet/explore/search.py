"""The search: optuna proposes a choice, its estimates are checked against the limits, and only then is it trained for a few epochs.

A search is a folder with a journal: several processes work on it at once, and a search that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.errors import InputError, RunError, SpecError
from dsodenet.explore.goal import Goal, figures
from dsodenet.explore.space import Space, build
from dsodenet.spec import Spec

JOURNAL, LOCK, STUDY = "journal.log", "lock", "search"
POLL_S = 0.5
VALIDATION_SHARE = 0.2
VALIDATION_SEED = 7


@dataclass(frozen=True)
class Plan:
    """All that makes a search; it is kept in the journal, and a search is resumed only under the same plan."""

    spec: Spec
    space: Space
    goal: Goal
    data: str
    epochs: int  # of the float stage of a trial; 0 trains nothing, and multiply-accumulates stand for accuracy
    qat_epochs: int
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Point:
    """One trial. label: trained (accuracy of the integers, measured on validation images) or estimated (accuracy unknown)."""

    number: int
    choice: dict[str, Any]
    figures: dict[str, Any]
    label: str
    accuracy: float | None
    refused: str | None  # the limit that it breaks


def search(plan: Plan, folder: Path, trials: int, workers: int = 1, progress: bool = True) -> list[Point]:
    """Make the search in `folder` have at least `trials` finished trials; returns all of its points."""
    import optuna
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder), _quiet():
        study = _study(plan, folder, create=True)
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):  # of a search that was stopped
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        base = plan.space.choice_of(plan.spec)
        if not study.trials and base is not None:
            study.enqueue_trial(base)
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_work, args=(plan, folder, trials, number), daemon=True) for number in range(workers)]
        for process in processes:
            process.start()
        try:
            with tqdm(total=trials, desc="explore", unit="trial", disable=None if progress else True) as bar:
                while any(process.is_alive() for process in processes):
                    time.sleep(POLL_S)
                    bar.update(min(trials, len(_finished(study))) - bar.n)
        finally:
            for process in processes:
                process.terminate()
                process.join()
        if failed := [process.exitcode for process in processes if process.exitcode]:
            raise RunError(f"{folder}: a worker of the search ended with status {failed[0]}; {folder / 'error.txt'} says why")
        return points(study)


def points(study: Any) -> list[Point]:
    """The points of a study."""
    result = []
    for trial in _finished(study):
        attrs = trial.user_attrs
        accuracy = attrs.get("accuracy")
        label = "estimated" if accuracy is None else "trained"
        result.append(Point(trial.number, attrs["choice"], attrs["figures"], label, accuracy, attrs.get("refused")))
    return result


def front(found: list[Point], objective: str) -> list[Point]:
    """The points that no other one beats: at least as accurate (or, untrained, with as many multiply-accumulates), and smaller."""
    trained = [point for point in found if point.label == "trained"]
    kept: list[Point] = []

    def worth(point: Point) -> float:
        return float(point.figures["macs"]) if point.accuracy is None else point.accuracy

    candidates = trained or [point for point in found if point.refused is None]
    for point in sorted(candidates, key=lambda point: (point.figures[objective], -worth(point))):
        if not kept or worth(point) > worth(kept[-1]):
            kept.append(point)
    return kept


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished() and "figures" in trial.user_attrs]


def _study(plan: Plan, folder: Path, create: bool, seed: int | None = None) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    directions: list[Any] = ["minimize", "maximize"]
    sampler = optuna.samplers.NSGAIISampler(population_size=16, seed=plan.seed if seed is None else seed)
    study = optuna.create_study(storage=storage, study_name=STUDY, directions=directions, sampler=sampler, load_if_exists=True)
    if create:
        before = study.user_attrs.get("plan")
        if before is None:
            study.set_user_attr("plan", plan.to_json())
        elif before != plan.to_json():
            raise InputError(f"{folder} holds a search with another plan; give another folder, or the spec and options of that one")
    return study


def _work(plan: Plan, folder: Path, trials: int, number: int) -> None:
    """One worker process."""
    import traceback

    import torch

    torch.set_num_threads(1)
    with _quiet():
        study = _study(plan, folder, create=False, seed=plan.seed + number)

        def stop(study: Any, trial: Any) -> None:
            if len(_finished(study)) >= trials:
                study.stop()

        if len(_finished(study)) >= trials:
            return
        try:
            study.optimize(lambda trial: _trial(plan, trial), callbacks=[stop])
        except Exception:
            (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
            raise SystemExit(1) from None


def _trial(plan: Plan, trial: Any) -> tuple[float, float]:
    import optuna

    choice = {axis: trial.suggest_categorical(axis, choices) for axis, choices in plan.space.axes().items()}
    try:
        spec = build(plan.spec, choice)
        found = figures(spec)
    except SpecError as error:
        raise optuna.TrialPruned(str(error)) from None
    trial.set_user_attr("choice", choice)
    trial.set_user_attr("figures", found)
    if refused := plan.goal.exceeded(found):
        trial.set_user_attr("refused", refused)
        raise optuna.TrialPruned(refused)
    same = [other for other in trial.study.get_trials(deepcopy=False) if other.user_attrs.get("choice") == choice]
    if known := [other for other in same if other.values]:  # training is repeatable: nothing new would be learned
        accuracy = known[0].user_attrs.get("accuracy")
        trial.set_user_attr("accuracy", accuracy)
        return tuple(known[0].values)
    if not plan.epochs:
        return float(found[plan.goal.objective]), float(found["macs"])
    accuracy = trained_accuracy(plan, spec)
    trial.set_user_attr("accuracy", accuracy)
    return float(found[plan.goal.objective]), accuracy


def trained_accuracy(plan: Plan, spec: Spec) -> float:
    """Accuracy of the integers on images held back from the training split: the test split has no say in a search."""
    from dsodenet.data import Dataset, load_dataset, stratified_test_mask
    from dsodenet.export import extract
    from dsodenet.reference import Reference
    from dsodenet.train import Options, load_checkpoint, train

    data = load_dataset(plan.data, spec.network)
    held = stratified_test_mask(data.train_labels, VALIDATION_SHARE, VALIDATION_SEED)
    images, labels = data.train_images, data.train_labels
    part = Dataset(data.name, images[~held], labels[~held], images[held], labels[held], data.class_names)
    options = replace(Options(), epochs=plan.epochs, qat_epochs=plan.qat_epochs, seed=plan.seed, progress=False)
    with tempfile.TemporaryDirectory(prefix="dsodenet-") as run:
        train(spec, part, run, options)
        params = extract(load_checkpoint(run)[0])
    right = Reference(params, threads=1).predict(images[held]).argmax(axis=1) == labels[held]
    return float(np.mean(right))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import fcntl

    with open(folder / LOCK, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: another search runs there; give another folder, or wait") from None
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """optuna logs every trial; the bar and the table say enough."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
