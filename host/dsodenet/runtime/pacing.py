"""How long to sleep before asking a kernel whether it is done: each question is a register read, which costs microseconds."""

from __future__ import annotations

from dataclasses import dataclass

SHRINK = 0.98  # of the sleep after a command that was done when it ended: it may have been done for a while
STALL = 2.0  # a command that takes this many times as long as expected was held up; if the next one does too, that is its time


@dataclass
class Pace:
    """What is known of the time of equal commands. In steady state every second command is asked once, and the others twice."""

    sleep_s: float = 0.0  # before the first question; 0: nothing is known
    _shrink: float = (
        SHRINK  # of the next sleep; smaller with each command in a row that was done at once, to leave a stall behind
    )
    _held_up: bool = False

    @property
    def pause_s(self) -> float:
        """Before the second question: a little more than what the last command may have been too early by."""
        return 1.6 * (1 - SHRINK) * self.sleep_s

    def done_at_once(self) -> None:
        """The command was done after sleep_s."""
        self.sleep_s *= self._shrink
        self._shrink, self._held_up = self._shrink**1.5, False

    def done_later(self, seconds: float) -> None:
        """It was not done after sleep_s, but `seconds` after its start."""
        self._shrink = SHRINK
        self._held_up = 0 < STALL * self.sleep_s < seconds and not self._held_up
        if not self._held_up:
            self.sleep_s = seconds
