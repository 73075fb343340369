"""One trial of a search: estimates, then the limits, then a short training. A worker does it without the database."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.data import load_dataset
from dsodenet.errors import SpecError
from dsodenet.exploration.goal import figures
from dsodenet.exploration.plan import Outcome, Plan, held_back
from dsodenet.exploration.space import build, network_of
from dsodenet.spec import Spec

WORK = "work"  # the folder of trainings that are under way, in the folder of the search


def run_trial(plan: Plan, place: Path, network: dict[str, Any], known: float | None) -> Outcome | None:
    """The outcome for a network; None when no engine can hold it. known: its accuracy in an earlier trial.

    The network of the base is trained over its limits too: the others are held against it.
    """
    try:
        choice, found, refused = on_best_engine(plan, network)
    except SpecError:
        return None
    base = plan.space.choice_of(plan.spec)
    is_base = base is not None and network_of(base) == network
    accuracy = known
    if plan.epochs and known is None and (refused is None or is_base):
        accuracy = trained_accuracy(plan, build(plan.spec, choice), place)
    return Outcome(choice, found, refused, accuracy)


def on_best_engine(plan: Plan, network: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """A network with the engine that suits the goal best: (choice, figures, the first limit that they break).

    The best engine breaks the fewest limits, then has the least of the objective, then the fewest DSPs. SpecError when
    none can hold the network.
    """
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


def trained_accuracy(plan: Plan, spec: Spec, place: Path, seed: int = 0) -> float:
    """Accuracy of the integers on images held back from the training split; another seed holds back others."""
    from dsodenet.exporting import extract
    from dsodenet.reference import Reference
    from dsodenet.training import Options, load_checkpoint, train

    data = held_back(load_dataset(plan.data, spec.network, spec.images), seed)
    options = replace(Options(), epochs=plan.epochs, qat_epochs=plan.qat_epochs, seed=plan.seed + seed, progress=False)
    place.mkdir(exist_ok=True)
    with _one_thread(), tempfile.TemporaryDirectory(dir=place) as run:
        train(spec, data, run, options)
        params = extract(load_checkpoint(run)[0])
    right = Reference(params, threads=1).predict(data.test_images).argmax(axis=1) == data.test_labels
    return float(np.mean(right))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in torch depend on the number of threads, and a result must not depend on the number of workers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
