"""How many times as fast: the accelerator as software, and our integer reference as onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsodenet.bench.modelled import FINN_CALL, OUR_HOST, RTL
from dsodenet.bench.rows import END_TO_END, KERNEL, KINDS, Row

USUAL_BEST = "onnxruntime"  # without it, the best of the rest is no baseline
SOFTWARE = ("cpu", "cpu-fast", "torch", "torch-compile", "onnxruntime", "onnxruntime-int8")  # on this processor
ACCELERATORS = {KERNEL: (RTL, "zcu104"), END_TO_END: ("zcu104", OUR_HOST, FINN_CALL)}  # scope -> paths


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """How many times as fast the accelerator is as the best and the weakest software path; rows of one batch.

    Software is measured on this processor or estimated for the A53, and `software_kind` says which. A library stands
    in the ratios at the thread count that suits it: threads that hinder it make no baseline. Where onnxruntime was not
    measured, there is no ratio to measured software: the best of what is left would flatter the accelerator.
    """
    software = [row for row in rows if row.path in SOFTWARE]
    groups = {
        "measured": software if any(row.path.startswith(USUAL_BEST) for row in software) else [],
        "estimated": [row for row in rows if row.path == "a53"],
    }
    found = []
    for accelerator in _accelerators(rows):
        for kind, paths in groups.items():
            fastest: dict[tuple[str, str], Row] = {}
            for row in sorted(paths, key=lambda row: row.median_us):
                fastest.setdefault((row.path, row.numbers), row)
            if fastest:
                best, *_, weakest = *fastest.values(), *fastest.values()
                found.append(
                    {
                        "batch": best.batch,
                        "scope": accelerator.scope,
                        "accelerator": accelerator.path,
                        "accelerator_kind": accelerator.kind,
                        "software_kind": kind,
                        "best": best.title,
                        "ratio_to_best": best.median_us / accelerator.median_us,
                        "weakest": weakest.title,
                        "ratio_to_weakest": weakest.median_us / accelerator.median_us,
                    }
                )
    return found


def _accelerators(rows: Sequence[Row]) -> list[Row]:
    """The kernel by the figure that is nearest to a measurement.

    End to end every figure that there is, each made of other parts.
    """
    kernel = sorted(
        (row for row in rows if row.path in ACCELERATORS[KERNEL] and row.scope == KERNEL),
        key=lambda r: KINDS.index(r.kind),
    )
    whole = [row for path in ACCELERATORS[END_TO_END] for row in rows if row.path == path and row.scope == END_TO_END]
    return [*kernel[:1], *whole]


def reference_ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """How many times as fast our integer reference is as onnxruntime, float and int8, with as many threads.

    Rows of one batch.
    """
    ours = {row.threads: row for row in rows if row.path == "cpu"}
    return [
        {
            "batch": row.batch,
            "threads": row.threads,
            "against": row.path,
            "numbers": row.numbers,
            "reference_us": ours[row.threads].median_us,
            "against_us": row.median_us,
            "ratio": row.median_us / ours[row.threads].median_us,
        }
        for row in rows
        if row.path.startswith("onnxruntime") and row.threads in ours
    ]
