"""One figure measured with several seeds: its mean and how far the seeds lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Spread = dict[str, float]  # mean, sd


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and sample standard deviation of what is known; sd is 0 of one value, and None stands for no value at all."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": statistics.mean(known), "sd": statistics.stdev(known) if len(known) > 1 else 0.0}


def percent_text(found: Spread | None, digits: int = 1, *, signed: bool = False) -> str:
    """A share as per cent, such as 98.1 ± 1.1; signed for a difference of two."""
    if found is None:
        return "-"
    return f"{100 * found['mean']:{'+' if signed else ''}.{digits}f} ± {100 * found['sd']:.{digits}f}"
