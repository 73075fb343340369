"""The table of recipes: mean and standard deviation over seeds, what each row buys, as text and as a picture."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsodenet.bench.studies.recipe_rows import Row, Scale
from dsodenet.text import paragraph, percent_text, spread, table

ERRORS = 2  # standard errors by which a paired difference must exceed zero to be called one


def summary(rows: Sequence[Row], scale: Scale, cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each row over its seeds, accuracies in [0, 1].

    `gain` is the paired difference to the row that it is compared with.
    """
    by_row: dict[str, list[dict[str, Any]]] = {
        row.name: [cell for cell in cells if cell["row"] == row.name] for row in rows
    }
    found = []
    for row in rows:
        own = by_row[row.name]
        first = own[0]
        entry: dict[str, Any] = {
            "row": row.name,
            "group": row.group,
            "recipe": row.recipe,
            "against": row.against,
            "seeds": len(own),
        }
        for key in (
            "float_accuracy",
            "integer_accuracy",
            "source_float_accuracy",
            "student_seconds",
            "teacher_seconds",
        ):
            entry[key] = spread([cell[key] for cell in own])
        entry |= {key: statistics.mean(cell[key] for cell in own) for key in ("parameters", "macs")}
        entry["parameters_compared"] = first["parameters_compared"]
        entry |= _gain(own, by_row[row.against]) if row.against is not None else {"gain": None, "verdict": "-"}
        found.append(entry)
    return {
        "spec": scale.spec.name,
        "data": Path(scale.data).name,
        "targets": list(scale.targets),
        "options": dataclasses.asdict(scale.options),
        "adaptation_options": dataclasses.asdict(scale.adaptation),
        "teacher": scale.teacher,
        "teacher_accuracy": spread(
            [t["accuracy"] for cell in cells if cell["row"] == "matching" for t in cell["teachers"]]
        ),
        "moved": spread([cell["moved"] for cell in cells]),
        "rows": found,
    }


def _gain(own: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The difference at equal seeds, by the integers where both have them, and whether it stands out of its spread."""
    key = "integer_accuracy" if own[0]["integer_accuracy"] is not None else "float_accuracy"
    differences = [a[key] - b[key] for a, b in zip(own, other)]
    gain = spread(differences)
    assert gain is not None
    if len(differences) < 2:
        verdict = "one seed"
    elif abs(gain["mean"]) <= ERRORS * gain["sd"] / math.sqrt(len(differences)) or gain["mean"] == 0:
        verdict = "no clear difference"
    else:
        verdict = "helps" if gain["mean"] > 0 else "does not help"
    return {"gain": gain, "verdict": verdict}


def text(result: dict[str, Any]) -> str:
    """The table for a terminal."""
    header = (
        "row",
        "float %",
        "w8a8 integers %",
        "gain, points",
        "verdict",
        "parameters",
        "of full %",
        "kMAC",
        "train s",
    )
    parts = []
    for group in dict.fromkeys(row["group"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["group"] == group]
        parts.append(f"{group}\n{table(header, [_cells(row) for row in rows])}")
    options, adapt = result["options"], result["adaptation_options"]
    notes = [
        f"network {result['spec']}; measured on {result['processor']}, one thread each, {result['workers']} processes "
        "at a time; mean and standard deviation over the seeds; accuracy on the test split, of the target domain where "
        "the row names one.",
        f"{options['epochs']} + {options['qat_epochs']} epochs in float and quantised"
        + (f", {adapt['epochs']} + {adapt['qat_epochs']} where there is a target" if result["targets"] else "")
        + "; meal and compression spend the float epochs on both of their parts, sh-kd trains a first student besides.",
        "gain: of w8a8 integers (of float, where there are none) over the row it is compared with, at equal seeds: "
        "baseline; source only; for the tuned compression, the one that is not. "
        f"A gain within {ERRORS} standard errors of zero is called no clear difference.",
        "parameters with stem and head; 'of full': without both, of the same network's with full 3x3 convolutions "
        "(arXiv 2107.12824).",
    ]
    if result["targets"]:
        notes.append(
            "domains are generated from the digits; their training labels are used by 'target supervised' only."
        )
    if options["labels_per_class"]:
        notes.append(
            f"data {result['data']}: {options['labels_per_class']} labels of each class are known, teachers have no "
            "others; matching learns from every training image. Rows that need labels get so many more epochs of those "
            "few that all students take as many steps."
        )
    if result["moved"] is not None:
        notes.append(
            "batch_shared takes for constant what moves over the evaluations of f: here the mean of what it normalises "
            f"moves by {result['moved']['mean']:.2f} ± {result['moved']['sd']:.2f} standard deviations, measured, "
            "worst ODE block. In arXiv 2004.09222 f normalises twice per evaluation; `dsodenet study norms` shows "
            "longer spans, and what batch statistics would give."
        )
    if result["teacher_accuracy"] is not None:
        notes.append(
            f"teacher {result['teacher']}: {percent_text(result['teacher_accuracy'])} % in float; "
            "train s leaves its training out."
        )
    return "\n\n".join(parts) + "\n\n" + "\n".join(paragraph(note) for note in notes)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    compared = row["parameters_compared"]
    return (
        row["row"],
        percent_text(row["float_accuracy"]),
        percent_text(row["integer_accuracy"]),
        percent_text(row["gain"], signed=True),
        row["verdict"],
        f"{row['parameters']:.0f}",
        f"{100 * compared['dsodenet'] / compared['full']:.1f}",
        f"{row['macs'] / 1e3:.0f}",
        f"{row['student_seconds']['mean']:.0f}",
    )
