"""What a search is to do, and the points that it finds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from dsodenet.errors import InputError
from dsodenet.exploration.goal import Goal
from dsodenet.exploration.space import Space
from dsodenet.spec import Spec

if TYPE_CHECKING:
    from dsodenet.data import Dataset

BASE = 0
VALIDATION_SHARE = 0.2
VALIDATION_SEED = 7


@dataclass(frozen=True)
class Plan:
    """All that makes a search. It is kept in the database, and a search goes on only under the same plan.

    Which accuracy is enough may change: it chooses among the points and makes none.
    """

    spec: Spec
    space: Space
    goal: Goal
    data: str
    epochs: int  # of the float stage of a trial; 0 trains nothing, and multiply-accumulates stand for accuracy
    qat_epochs: int
    seed: int = 0

    def to_json(self) -> str:
        """Text of the whole plan, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    def makes_same_points(self) -> str:
        """Equal for plans that make the same points."""
        return replace(self, goal=replace(self.goal, min_accuracy=None)).to_json()


@dataclass(frozen=True)
class Outcome:
    """What a trial found."""

    choice: dict[str, Any]  # axis -> value: the network that was proposed, on the engine that suits it best
    figures: dict[str, Any]  # estimates of the goal's figures
    refused: str | None  # the first limit that the figures break
    accuracy: float | None  # 0 to 1, of the integers on validation images; None where nothing was trained


@dataclass(frozen=True)
class Point:
    """A spec that was tried. label: trained (accuracy of the integers, measured on validation images) or estimated."""

    number: int  # 0, BASE, is the spec that the search started from
    choice: dict[str, Any]
    figures: dict[str, Any]
    label: str
    accuracy: float | None
    refused: str | None  # the limit that it breaks

    @classmethod
    def of(cls, number: int, outcome: Outcome) -> Point:
        """The point of an outcome."""
        label = "estimated" if outcome.accuracy is None else "trained"
        return cls(number, outcome.choice, outcome.figures, label, outcome.accuracy, outcome.refused)


def check_plan(plan: Plan, final: bool = False) -> None:
    """InputError for a search that cannot be, or that could find nothing, before any of it is done."""
    plan.space.check(plan.spec)
    if final and not plan.epochs:
        raise InputError(
            "final trains the chosen model, but without training in the search (--epochs 0) none is chosen"
        )
    if final and plan.goal.min_accuracy is None and plan.space.choice_of(plan.spec) is None:
        raise InputError(
            "final trains the model that is as accurate as the spec, but the axes leave that out; "
            "say by --accuracy what is enough"
        )
    if plan.epochs or final:
        from dsodenet.data import load_dataset

        if plan.spec.network.float_only:
            raise InputError(f"network.norm is {plan.spec.network.norm}, but a search needs one that can be quantised")
        held_back(load_dataset(plan.data, plan.spec.network, plan.spec.images))


def held_back(data: Dataset, seed: int = 0) -> Dataset:
    """The training split alone, a part of it held back as its test split.

    The test split itself has no say in a search.
    """
    from dsodenet.data import Dataset, stratified_test_mask

    held = stratified_test_mask(data.train_labels, VALIDATION_SHARE, VALIDATION_SEED + seed)
    images, labels = data.train_images, data.train_labels
    return Dataset(data.name, images[~held], labels[~held], images[held], labels[held], data.class_names)
