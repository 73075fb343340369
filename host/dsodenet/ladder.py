"""The ladder of backends as text."""

from __future__ import annotations

from typing import Any

from dsodenet.tables import table


def show_rungs(result: dict[str, Any]) -> str:
    """The result of `dsodenet verify` as a table."""
    rows = [
        (
            r["backend"],
            r["label"],
            r["images"],
            r["words"],
            r["differing"],
            f"{r['seconds']:.3f}",
            "-" if r["cycles"] is None else r["cycles"] // r["images"],
        )
        for r in result["rungs"]
    ]
    steps = ",".join(map(str, result["n_steps"]))
    verdict = "every rung computes the same integers" if not result["differing"] else f"{result['differing']} words differ"
    header = ("rung", "time is", "images", "words", "differing", "seconds", "cycles/image")
    return f"images: {result['images']}; solver {result['solver']}, n_steps {steps}\n{table(header, rows)}\n{verdict}"
