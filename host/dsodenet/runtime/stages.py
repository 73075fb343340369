"""Where the time of a call goes: one stopwatch that every layer of a call laps, while somebody looks."""

from __future__ import annotations

import time


class Stages:
    """Seconds per stage since `start`.

    Laps of the same name add up, so that a call of several batches has one figure for each stage. A lap costs as much
    as some of the stages, so it is taken only while `on`.
    """

    def __init__(self) -> None:
        self.on = False
        self.seconds: dict[str, float] = {}
        self._last = 0.0

    def start(self) -> None:
        self.seconds = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """The time since the last lap belongs to stage `name`; ask `on` before."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
