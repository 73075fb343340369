"""How far a stage of training is, and its learning rate there."""

from __future__ import annotations

import math
import time

RISE = 0.3  # share of a stage in which the rate rises
FIRST, LAST = 1 / 25, 1 / 250_000  # of the peak: the rate at the start and at the end
MOMENTUM = (0.95, 0.85)  # AdamW's beta 1 where the rate is low, and at its peak


def one_cycle(progress: float) -> tuple[float, float]:
    """(rate in shares of its peak, beta 1) at a progress in [0, 1].

    Super-Convergence (arXiv 1708.07120) with cosines, the shape of torch's OneCycleLR, which counts steps only.
    """
    slow, fast = MOMENTUM
    if progress < RISE:
        return _cosine(FIRST, 1.0, progress / RISE), _cosine(slow, fast, progress / RISE)
    after = (progress - RISE) / (1 - RISE)
    return _cosine(1.0, LAST, after), _cosine(fast, slow, after)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))


class Pace:
    """The progress of a stage: the share of its steps, or of its time where that is sooner over."""

    def __init__(self, steps: int, limit: float = math.inf, spent: float = 0.0) -> None:
        """limit, spent: seconds, those spent before this process took the stage up."""
        self._steps, self._limit = steps, limit
        self._start = time.perf_counter() - spent

    @property
    def seconds(self) -> float:
        """Spent in this stage."""
        return time.perf_counter() - self._start

    def progress(self, step: int) -> float:
        if self.seconds >= self._limit:
            return 1.0
        return min(1.0, max(step / self._steps, self.seconds / self._limit))


SAMPLED = (3, 20)  # steps between which a step is timed: the first ones also set up


class Forecast:
    """How long all stages will take, from the first steps of the first one."""

    def __init__(self, steps: int, weights: list[float]) -> None:
        """steps: of the first stage; weights: cost of every stage, the first one's first."""
        self._stage_steps, self._share = steps, weights[0] / max(sum(weights), 1e-9)
        self._start = 0.0

    def after(self, step: int) -> float | None:
        """Seconds that the whole training takes, once it can be told: at the end of one step of the first stage."""
        first, last = SAMPLED
        if step == first:
            self._start = time.perf_counter()
        if step != min(last, self._stage_steps) or step <= first:
            return None
        return (time.perf_counter() - self._start) / (step - first) * self._stage_steps / self._share


def minutes(seconds: float) -> str:
    """For people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def limits(weights: list[float], spent: list[float], minutes: float) -> float:
    """Seconds for the next stage: its share, by weight, of what earlier stages left.

    weights: cost of every stage; spent: seconds of those that are done. Infinite where minutes are 0.
    """
    if not minutes:
        return math.inf
    left = max(0.0, 60 * minutes - sum(spent))
    return left * weights[len(spent)] / max(sum(weights[len(spent) :]), 1e-9)
