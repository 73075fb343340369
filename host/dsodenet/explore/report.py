"""A search as text."""

from __future__ import annotations

from typing import Any

from dsodenet.tables import table


def text(result: dict[str, Any]) -> str:
    """The front as a table, smallest first; the spec that the search started from is added where it is no part of it."""
    objective = result["plan"]["goal"]["objective"]
    shown = {*result["front"], result["base"]} - {None}
    points = sorted((p for p in result["points"] if p["number"] in shown), key=lambda p: p["figures"][objective])
    header = ("trial", "channels", "stem", "solver", "n", "bits", "lanes", "cycles", "DSP", "LUT", "parameters", "accuracy %", "is")
    rows = [_row(point, result) for point in points]
    every = result["points"]
    trained = sum(point["label"] == "trained" for point in every)
    refused = sum(point["refused"] is not None for point in every)
    lines = [
        f"{len(every)} points of a space of {result['specs_in_space']:,}: {trained} trained, {refused} over a limit; front by {objective}",
        table(header, rows),
        "accuracy: of the integers on validation images after a short training; cycles and resources are estimated",
    ]
    if result["chosen"] is None:
        lines.append("no trained point is accurate enough; more trials or epochs, or a lower accuracy, may find one")
    for name, final in result["final"].items():
        lines.append(
            f"{name}: {100 * final['test_accuracy']:.2f} % of {final['test_images']} test images after full training (measured), "
            f"{final['simulated_cycles_per_image']:,.0f} cycles per image (simulated, {final['differing']} words differ)"
        )
    return "\n".join(lines)


def _row(point: dict[str, Any], result: dict[str, Any]) -> tuple[Any, ...]:
    choice, found = point["choice"], point["figures"]
    channels = "/".join(str(choice["channels"] << block) for block in range(choice["blocks"]))
    roles = [role for role in ("base", "chosen") if point["number"] == result[role]]
    accuracy = "-" if point["accuracy"] is None else f"{100 * point['accuracy']:.2f}"
    return (
        *(point["number"], channels, choice["stem"], choice["method"], choice["n_steps"], choice["weight_bits"], choice["lanes"]),
        *(f"{found[name]:,.0f}" for name in ("cycles", "DSP", "LUT", "parameters")),
        accuracy,
        ", ".join([point["label"], *roles]),
    )
