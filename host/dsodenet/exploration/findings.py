"""A search in words: the rows of its front, for a terminal and for a document, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsodenet.text import paragraph, percent_text, table

NETWORK = ("point", "channels", "stem", "solver", "bits", "lanes", "reuse")
FIGURES = ("cycles", "DSP", "parameters")  # and the objective; the others would take a terminal's width
ALWAYS = ("point", "channels", "solver", "cycles", "accuracy %", "is")  # also where all rows are alike


def shown(result: dict[str, Any]) -> set[int]:
    """The numbers of the points that a table of a search shows."""
    numbers = {*result["front"], *(tried["number"] for tried in result["tried"]), result["base"], result["chosen"]}
    return numbers - {None}


def front_table(result: dict[str, Any]) -> tuple[list[str], list[tuple[str, ...]], str]:
    """Header and rows of the front, smallest first, and what all rows have in common.

    The spec that the search started from, and what was trained again, are added where they are no part of the front."""
    objective, numbers = result["plan"]["goal"]["objective"], shown(result)
    points = sorted((p for p in result["points"] if p["number"] in numbers), key=lambda p: p["figures"][objective])
    keys = (*NETWORK, *dict.fromkeys((objective, *FIGURES)), "accuracy %", "mean %", "is")
    columns = {key: [cells[key] for cells in (_cells(point, result) for point in points)] for key in keys}
    varying = [key for key in keys if key in ALWAYS or len(set(columns[key])) > 1]
    same = [key for key in keys if points and key not in varying and columns[key][0] != "-"]
    common = ", ".join(f"{key} {columns[key][0]}" for key in same)
    return varying, list(zip(*(columns[key] for key in varying))), common


def counts(points: list[dict[str, Any]]) -> dict[str, int]:
    """How many points a search has, how many of them have an accuracy, and how many broke a limit."""
    return {
        "points": len(points),
        "trained": sum(point["accuracy"] is not None for point in points),
        "over_a_limit": sum(point["refused"] is not None for point in points),
    }


def about(result: dict[str, Any]) -> str:
    """What was searched, and what the figures of its points are."""
    plan, found = result["plan"], result["counts"]
    limits = ", ".join(f"{name} {limit:g}" for name, limit in plan["goal"]["limits"].items())
    return (
        f"{found['points']} points of {result['specs_in_space']:,} around {plan['spec']['name']} on {plan['data']}: {found['trained']} trained "
        f"({plan['epochs']} + {plan['qat_epochs']} epochs), {found['over_a_limit']} over a limit ({limits}); front by "
        f"{plan['goal']['objective']}. Accuracy: of the integers on images held back from training, measured; mean: of trainings with "
        "several seeds, each with other images held back; cycles and resources are estimated"
    )


def final_lines(result: dict[str, Any]) -> list[str]:
    """What full trainings of the chosen spec and of the base gave, and how they compare."""
    final = result["final"]
    lines = [
        f"{name.capitalize()}: {percent_text(each['test_accuracy'], 2)} % of {each['test_images']} test images after full training with "
        f"{len(each['seeds'])} seeds (measured), {each['simulated_cycles_per_image']:,.0f} cycles per image (simulated), "
        f"{each['differing']} words differ"
        for name, each in final.items()
    ]
    if {"chosen", "base"} <= final.keys():
        cycles = final["chosen"]["simulated_cycles_per_image"] / final["base"]["simulated_cycles_per_image"]
        points = final["chosen"]["test_accuracy"]["mean"] - final["base"]["test_accuracy"]["mean"]
        lines.append(f"Chosen against base: {100 * cycles - 100:+.0f} % cycles, {100 * points:+.2f} points of accuracy")
    return lines


@dataclass(frozen=True)
class Findings:
    """What a search found: the content of front.json. It prints itself."""

    data: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return self.data

    def __str__(self) -> str:
        return search_text(self.data)


def search_text(result: dict[str, Any]) -> str:
    """The search for a terminal."""
    header, rows, common = front_table(result)
    notes = [about(result), *([f"in every row: {common}"] if common else [])]
    if result["chosen"] is None:
        notes.append(_why_none(result))
    notes += final_lines(result)
    return "\n".join((table(header, rows), *(paragraph(note) for note in notes)))


def _why_none(result: dict[str, Any]) -> str:
    """Why no point was chosen, and what may help."""
    every, allowed = result["points"], [point for point in result["points"] if point["refused"] is None]
    if every and not allowed:
        return f"every point is over a limit (the first takes {every[0]['refused']}); a higher limit or smaller choices may find one"
    if not result["plan"]["epochs"]:
        return "nothing was trained (--epochs 0), so no point is chosen"
    if result["base"] is None and result["plan"]["goal"]["min_accuracy"] is None:
        return "the spec that the search started from is not in it, so no point is chosen; --accuracy says what is accurate enough"
    return "no trained point is accurate enough; more trials or epochs, or a lower accuracy, may find one"


def _cells(point: dict[str, Any], result: dict[str, Any]) -> dict[str, str]:
    choice, found = point["choice"], point["figures"]
    roles = [role for role in ("base", "chosen") if point["number"] == result[role]]
    return {
        "point": str(point["number"]),
        "channels": "/".join(str(choice["channels"] << block) for block in range(choice["blocks"])),
        "stem": choice["stem"],
        "solver": f"{choice['method']} N={choice['n_steps']}",
        "bits": str(choice["weight_bits"]),
        "lanes": choice["lanes"],
        "reuse": str(choice["reuse_factor"]),
        **{name: f"{figure:,.0f}" for name, figure in found.items()},
        "accuracy %": "-" if point["accuracy"] is None else f"{100 * point['accuracy']:.2f}",
        "mean %": percent_text(next((t["accuracy"] for t in result["tried"] if t["number"] == point["number"]), None)),
        "is": ", ".join([*(roles or [point["label"]]), *(["over a limit"] if point["refused"] else [])]),
    }
