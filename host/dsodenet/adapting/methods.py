"""The methods of `dsodenet adapt`, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting.forward import Evaluate, forward
from dsodenet.adapting.heads import confident, fitted, head_logits, prototypes, voted
from dsodenet.adapting.statistics import Statistics, observe
from dsodenet.adapting.tables import matched
from dsodenet.spec import Params

KEEP = 50  # features per class that T3A keeps; its authors choose among 5, 20, 50, 100 and all
# Of pseudo-labels: rounds, the neighbours that vote, and the share of a class's images whose labels are believed.
ROUNDS, NEIGHBOURS, SHARE = 8, 5, 0.9


@dataclass(frozen=True)
class Task:
    """What a method may use.

    images: uint8 (N, channels, height, width) of the new domain. labels: int64 (N,), only for methods that say so.
    evaluate: the model on the chosen backend. source: what the model saw over its own images, where the run tells.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    evaluate: Evaluate
    source: Statistics | None
    budget_s: float
    generations: int
    seed: int
    journal: Path | None
    progress: Callable[[int, float], None] = field(default=lambda generation, value: None)


@dataclass(frozen=True)
class Method:
    """adapt: (model, task) -> adapted model. changes_head: whether more changes than what the hls kernel takes."""

    summary: str
    adapt: Callable[[Params, Task], Params]
    changes_head: bool
    needs_labels: bool = False
    needs_source: bool = False
    by_reference: bool = False  # looks inside the network, which only the reference shows


def _t3a(params: Params, task: Task) -> Params:
    return prototypes(params, *task.evaluate(params, task.images), KEEP)


def _pseudo(params: Params, task: Task) -> Params:
    features, logits = task.evaluate(params, task.images)
    for _ in range(ROUNDS):
        p = voted(params, features, logits, NEIGHBOURS)
        sure = confident(p, SHARE)
        params = fitted(params, features[sure], p[sure].argmax(axis=1))
        logits = head_logits(params, features)
    return params


def _head(params: Params, task: Task) -> Params:
    assert task.labels is not None
    features, _ = task.evaluate(params, task.images)
    return fitted(params, features, task.labels)


def _bias(params: Params, task: Task) -> Params:
    assert task.source is not None
    target = observe(params, task.images)
    return matched(params, task.source.activations, target.activations)


def _forward(params: Params, task: Task) -> Params:
    return forward(
        params,
        task.images,
        task.evaluate,
        task.source,
        budget_s=task.budget_s,
        generations=task.generations,
        seed=task.seed,
        journal=task.journal,
        progress=task.progress,
    )


METHODS: dict[str, Method] = {
    "t3a": Method("class rows re-estimated from confident features (T3A, NeurIPS 2021)", _t3a, changes_head=True),
    "pseudo": Method(
        "the head fitted to the labels that it and each image's neighbours believe in, eight times",
        _pseudo,
        changes_head=True,
    ),
    "bias": Method(
        "means in front of ReLU moved back to the source's by f's biases (after AdaBN, 1603.04779)",
        _bias,
        changes_head=False,
        needs_source=True,
        by_reference=True,
    ),
    "forward": Method(
        "f's biases searched by CMA-ES, forward passes only (after FOA, 2404.01650)", _forward, changes_head=False
    ),
    "head": Method("the head fitted to a few labelled images (ridge regression)", _head, True, needs_labels=True),
}
