"""What a search found, and how it reads: the rows of its front, and sentences about them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from dsodenet.exploration.confirmation import Confirmation
from dsodenet.exploration.plan import Plan, Point
from dsodenet.text import Spread, paragraph, percent_text, table

NETWORK = ("point", "channels", "stem", "solver", "bits", "lanes", "reuse")
FIGURES = ("cycles", "DSP", "parameters")  # shown beside the objective; the others would take a terminal's width
ALWAYS = ("point", "channels", "solver", "cycles", "accuracy %", "is")  # columns that show where all rows are alike too


@dataclass(frozen=True)
class Search:
    """A search and what it found. It prints itself as a table of the front and what there is to say about it."""

    plan: Plan
    points: tuple[Point, ...]
    front: tuple[int, ...]  # numbers of points, smallest first
    base: int | None  # the number of the spec that the search started from; None where it is not in the space
    chosen: int | None  # the number of the point to build
    tried: dict[int, Spread | None]  # number -> accuracy over several trainings of what looked accurate enough
    final: dict[str, Confirmation]  # "chosen" and "base" -> full trainings, where they were wanted

    @property
    def shown(self) -> list[Point]:
        """The points of the table, smallest first.

        The spec that the search started from, and what was trained again, are added to the front.
        """
        numbers = {*self.front, *self.tried, self.base, self.chosen}
        chosen = [point for point in self.points if point.number in numbers]
        return sorted(chosen, key=lambda point: point.figures[self.plan.goal.objective])

    def counts(self) -> dict[str, int]:
        """How many points there are, how many of them were trained, and how many broke a limit."""
        return {
            "points": len(self.points),
            "trained": sum(point.accuracy is not None for point in self.points),
            "over_a_limit": sum(point.refused is not None for point in self.points),
        }

    def to_dict(self) -> dict[str, Any]:
        """The content of front.json."""
        return {
            "command": "dsodenet explore",
            "plan": json.loads(self.plan.to_json()),
            "specs_in_space": self.plan.space.size(),
            "points": [asdict(point) for point in self.points],
            "counts": self.counts(),
            "front": list(self.front),
            "base": self.base,
            "chosen": self.chosen,
            "tried": [{"number": number, "accuracy": accuracy} for number, accuracy in self.tried.items()],
            "final": {name: asdict(each) for name, each in self.final.items()},
        }

    def __str__(self) -> str:
        header, rows, common = _front_table(self)
        notes = [_about(self), *([f"in every row: {common}"] if common else [])]
        if self.chosen is None:
            notes.append(_why_none(self))
        notes += [f"{name.capitalize()}: {each}" for name, each in self.final.items()]
        notes += _compared(self.final)
        return "\n".join((table(header, rows), *(paragraph(note) for note in notes)))


def _front_table(search: Search) -> tuple[list[str], list[tuple[str, ...]], str]:
    """Header and rows of the front, and what all rows have in common."""
    keys = (*NETWORK, *dict.fromkeys((search.plan.goal.objective, *FIGURES)), "accuracy %", "mean %", "is")
    rows = [_cells(point, search) for point in search.shown]
    columns = {key: [cells[key] for cells in rows] for key in keys}
    varying = [key for key in keys if key in ALWAYS or len(set(columns[key])) > 1]
    same = [key for key in keys if rows and key not in varying and columns[key][0] != "-"]
    common = ", ".join(f"{key} {columns[key][0]}" for key in same)
    return varying, list(zip(*(columns[key] for key in varying))), common


def _cells(point: Point, search: Search) -> dict[str, str]:
    choice = point.choice
    roles = [role for role in ("base", "chosen") if point.number == getattr(search, role)]
    return {
        "point": str(point.number),
        "channels": "/".join(str(choice["channels"] << block) for block in range(choice["blocks"])),
        "stem": choice["stem"],
        "solver": f"{choice['method']} N={choice['n_steps']}",
        "bits": str(choice["weight_bits"]),
        "lanes": choice["lanes"],
        "reuse": str(choice["reuse_factor"]),
        **{name: f"{figure:,.0f}" for name, figure in point.figures.items()},
        "accuracy %": "-" if point.accuracy is None else f"{100 * point.accuracy:.2f}",
        "mean %": percent_text(search.tried.get(point.number)),
        "is": ", ".join([*(roles or [point.label]), *(["over a limit"] if point.refused else [])]),
    }


def _about(search: Search) -> str:
    """What was searched, and what the figures of its points are."""
    plan, found = search.plan, search.counts()
    limits = ", ".join(f"{name} {limit:g}" for name, limit in plan.goal.limits.items())
    return (
        f"{found['points']} points of {plan.space.size():,} around {plan.spec.name} on {plan.data}: "
        f"{found['trained']} trained ({plan.epochs} + {plan.qat_epochs} epochs), "
        f"{found['over_a_limit']} over a limit ({limits}); front by {plan.goal.objective}. "
        "Accuracy: of the integers on images held back from training, measured; mean: of trainings with several seeds, "
        "each with other images held back; cycles and resources are estimated"
    )


def _compared(final: dict[str, Confirmation]) -> list[str]:
    """The chosen spec against the base, after full trainings of both."""
    if not {"chosen", "base"} <= final.keys():
        return []
    chosen, base = final["chosen"], final["base"]
    assert chosen.test_accuracy is not None
    assert base.test_accuracy is not None
    cycles = chosen.simulated_cycles_per_image / base.simulated_cycles_per_image
    points = chosen.test_accuracy["mean"] - base.test_accuracy["mean"]
    return [f"Chosen against base: {100 * cycles - 100:+.0f} % cycles, {100 * points:+.2f} points of accuracy"]


def _why_none(search: Search) -> str:
    """Why no point was chosen, and what may help."""
    if search.points and all(point.refused for point in search.points):
        return (
            f"every point is over a limit (the first takes {search.points[0].refused}); "
            "a higher limit or smaller choices may find one"
        )
    if not search.plan.epochs:
        return "nothing was trained (--epochs 0), so no point is chosen"
    if search.base is None and search.plan.goal.min_accuracy is None:
        return (
            "the spec that the search started from is not in it, so no point is chosen; "
            "--accuracy says what is accurate enough"
        )
    return "no trained point is accurate enough; more trials or epochs, or a lower accuracy, may find one"
