"""A search as text."""

from __future__ import annotations

from typing import Any

from dsodenet.resources import DEVICE
from dsodenet.tables import table

KEYS = ("trial", "channels", "stem", "solver", "bits", "lanes", "reuse", "cycles", *DEVICE, "parameters", "accuracy %", "is")
ALWAYS = ("trial", "channels", "solver", "cycles", "accuracy %", "is")  # also where all rows are alike


def text(result: dict[str, Any]) -> str:
    """The front as a table, smallest first; the spec that the search started from is added where it is no part of it."""
    objective = result["plan"]["goal"]["objective"]
    shown = {*result["front"], result["base"]} - {None}
    points = sorted((p for p in result["points"] if p["number"] in shown), key=lambda p: p["figures"][objective])
    columns = {key: [cells[key] for cells in (_cells(point, result) for point in points)] for key in KEYS}
    varying = [key for key in KEYS if key in ALWAYS or len(set(columns[key])) > 1]
    common = ", ".join(f"{key} {columns[key][0]}" for key in KEYS if points and key not in varying)
    every = result["points"]
    trained = sum(point["label"] == "trained" for point in every)
    refused = sum(point["refused"] is not None for point in every)
    lines = [
        f"{len(every)} points of a space of {result['specs_in_space']:,}: {trained} trained, {refused} over a limit; front by {objective}",
        table(varying, list(zip(*(columns[key] for key in varying)))),
        *([f"in every row: {common}"] if common else []),
        "accuracy: of the integers on validation images after a short training; cycles and resources are estimated",
    ]
    if result["chosen"] is None:
        lines.append(_why_none(result))
    for name, final in result["final"].items():
        spread = f" ± {100 * final['test_accuracy_sd']:.2f}" if len(final["seeds"]) > 1 else ""
        lines.append(
            f"{name}: {100 * final['test_accuracy']:.2f}{spread} % of {final['test_images']} test images after full training with "
            f"{len(final['seeds'])} seeds (measured), {final['simulated_cycles_per_image']:,.0f} cycles per image (simulated, "
            f"{final['differing']} words differ)"
        )
    return "\n".join(lines)


def _why_none(result: dict[str, Any]) -> str:
    """Why no point was chosen, and what may help."""
    every, allowed = result["points"], [point for point in result["points"] if point["refused"] is None]
    if every and not allowed:
        return (
            f"every point is over a limit (the first takes {every[0]['refused']}); a higher limit or smaller choices may find one"
        )
    if not result["plan"]["epochs"]:
        return "nothing was trained (--epochs 0), so no point is chosen"
    if result["base"] is None and result["plan"]["goal"]["min_accuracy"] is None:
        return "the spec that the search started from is not in it, so no point is chosen; --accuracy says what is accurate enough"
    return "no trained point is accurate enough; more trials or epochs, or a lower accuracy, may find one"


def _cells(point: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    choice, found = point["choice"], point["figures"]
    roles = [role for role in ("base", "chosen") if point["number"] == result[role]]
    return {
        "trial": point["number"],
        "channels": "/".join(str(choice["channels"] << block) for block in range(choice["blocks"])),
        "stem": choice["stem"],
        "solver": f"{choice['method']} N={choice['n_steps']}",
        "bits": choice["weight_bits"],
        "lanes": choice["lanes"],
        "reuse": choice["reuse_factor"],
        **{name: f"{found[name]:,.0f}" for name in ("cycles", *DEVICE, "parameters")},
        "accuracy %": "-" if point["accuracy"] is None else f"{100 * point['accuracy']:.2f}",
        "is": ", ".join([point["label"], *roles, *(["over a limit"] if point["refused"] else [])]),
    }
