"""How long to sleep before asking a kernel whether it is done.

Each question is a register read, which costs microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

# A command that is done when the sleep ends may have been done for a while, so the next sleep is this much shorter.
SHRINK = 0.98
# A command that takes this many times as long as expected was held up. If the next one does too, that is its time.
STALL = 2.0


@dataclass
class Pace:
    """What is known of the time of equal commands.

    In steady state every second command is asked once, and the others twice.
    """

    sleep_s: float = 0.0  # before the first question; 0: nothing is known
    # The factor of the next sleep. It falls with each command in a row that was done at once, to leave a stall behind.
    _shrink: float = SHRINK
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
