"""A worker process of a search, and what it does in each trial. It ends with the process that started it, however that ends."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.data import load_dataset
from dsodenet.errors import SpecError
from dsodenet.exploration.goal import figures
from dsodenet.exploration.plan import Plan, held_back
from dsodenet.exploration.space import build, network_of
from dsodenet.spec import Spec

ERROR_FILE, WORK = "error.txt", "work"


def work(plan: Plan, folder: Path, trials: int, number: int, study_of: Callable[[Plan, Path, int], Any]) -> None:
    """Run trials until the search has as many as it needs."""
    alone()
    with quiet():
        study = study_of(plan, folder, plan.seed + number)

        def stop(study: Any, trial: Any) -> None:
            if len(finished(study)) >= trials:
                study.stop()

        if len(finished(study)) >= trials:
            return
        try:
            study.optimize(lambda trial: run_trial(plan, folder / WORK, trial), callbacks=[stop])
        except Exception:
            (folder / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")
            raise SystemExit(1) from None


def alone() -> None:
    """Make this process a worker: on one thread, deaf to the terminal, and gone when its parent is."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent tells its workers
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def finished(study: Any) -> list[Any]:
    """The trials that have come to an end of their own, those over a limit too."""
    from optuna.trial import TrialState

    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in study.get_trials(deepcopy=False, states=ends) if "figures" in trial.user_attrs]


def run_trial(plan: Plan, place: Path, trial: Any) -> tuple[float, float]:
    """One trial: estimates, then the limits, then a short training. The base's network is trained over its limits too: it is what the
    others are held against."""
    import optuna

    network = {axis: trial.suggest_categorical(axis, choices) for axis, choices in plan.space.network_axes().items()}
    try:
        choice, found, refused = on_best_engine(plan, network)
    except SpecError as error:
        raise optuna.TrialPruned(str(error)) from None
    trial.set_user_attr("choice", choice)
    trial.set_user_attr("figures", found)
    if refused:
        trial.set_user_attr("refused", refused)
        base = plan.space.choice_of(plan.spec)
        if not plan.epochs or base is None or network_of(base) != network:
            raise optuna.TrialPruned(refused)
    accuracy = _known_accuracy(trial, network)
    if plan.epochs:
        accuracy = trained_accuracy(plan, build(plan.spec, choice), place) if accuracy is None else accuracy
        trial.set_user_attr("accuracy", accuracy)
    if refused:
        raise optuna.TrialPruned(refused)  # so that no other choice is derived from it
    return float(found[plan.goal.objective]), float(found["macs"]) if accuracy is None else accuracy


def on_best_engine(plan: Plan, network: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """A network with the engine that suits the goal best: (choice, figures, the first limit that they break). SpecError when it fits none.

    Best is to break the fewest limits, then the least of the objective, then the fewest DSPs."""
    found, why = [], SpecError("no engine")
    for engine in plan.space.engines():
        choice = network | engine
        try:
            counted = figures(build(plan.spec, choice))
        except SpecError as error:
            why = error
            continue
        broken = plan.goal.exceeded(counted)
        order = (len(broken), counted[plan.goal.objective], counted["DSP"])
        found.append((order, (choice, counted, broken[0] if broken else None)))
    if not found:
        raise why
    return min(found, key=lambda pair: pair[0])[1]


def _known_accuracy(trial: Any, network: dict[str, Any]) -> float | None:
    """Of an earlier trial of the same network: training is repeatable, nothing new would be learned."""
    for other in finished(trial.study):
        if "accuracy" in other.user_attrs and network_of(other.user_attrs["choice"]) == network:
            accuracy: float = other.user_attrs["accuracy"]
            return accuracy
    return None


def trained_accuracy(plan: Plan, spec: Spec, place: Path, seed: int = 0) -> float:
    """Accuracy of the integers on images held back from the training split; another seed holds back others."""
    from dsodenet.exporting import extract
    from dsodenet.reference import Reference
    from dsodenet.training import Options, load_checkpoint, train

    data = held_back(load_dataset(plan.data, spec.network), seed)
    options = replace(Options(), epochs=plan.epochs, qat_epochs=plan.qat_epochs, seed=plan.seed + seed, progress=False)
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as run:
        train(spec, data, run, options)
        params = extract(load_checkpoint(run)[0])
    right = Reference(params, threads=1).predict(data.test_images).argmax(axis=1) == data.test_labels
    return float(np.mean(right))


@contextmanager
def quiet() -> Iterator[None]:
    """optuna logs every trial; the bar and the table say enough."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
