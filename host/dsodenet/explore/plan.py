"""What a search is to do, and the points that it finds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from dsodenet.errors import InputError
from dsodenet.explore.goal import Goal
from dsodenet.explore.space import Space
from dsodenet.spec import Spec


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


def check_plan(plan: Plan, final: bool = False) -> None:
    """InputError for a search that cannot be, or that could find nothing, before any of it is done."""
    plan.space.check(plan.spec)
    if final and not plan.epochs:
        raise InputError("final trains the chosen model, but without training in the search (--epochs 0) none is chosen")
    if final and plan.goal.min_accuracy is None and plan.space.choice_of(plan.spec) is None:
        raise InputError(
            "final trains the model that is as accurate as the spec, but the axes leave that out; say by --accuracy what is enough"
        )
    if plan.epochs or final:
        from dsodenet.data import load_dataset
        from dsodenet.explore.trial import held_back

        if plan.spec.network.float_only:
            raise InputError(f"network.norm is {plan.spec.network.norm}, but a search needs one that can be quantised")
        held_back(load_dataset(plan.data, plan.spec.network))
