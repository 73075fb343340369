"""How long to sleep before a kernel is asked whether it is done.

A kernel that takes less than about 150 us is asked at once and again until it is done: Linux sleeps some 50 us more
than it is told to. A longer one is slept for, almost to its end.
"""

from __future__ import annotations

from dataclasses import dataclass

SPIN_S = 150e-6  # a kernel is asked without a pause for this long, and one that takes no longer is not slept for
OVERSLEEP_S = 80e-6  # what a sleep may take on top: it ends this much before the command is expected to
# A command that is done when the sleep ends may have been done for a while, so the next sleep is this much shorter.
SHRINK = 0.98
# A command that takes this many times as long as expected was held up. If the next one does too, that is its time.
STALL = 2.0


@dataclass
class Pace:
    """What is known of the time of equal commands."""

    expected_s: float = 0.0  # 0: nothing is known
    sleep_s: float = 0.0  # before the first question
    # The factor of the next expectation. It falls with each command in a row that was done at once, to leave a stall
    # behind.
    _shrink: float = SHRINK
    _held_up: bool = False

    @property
    def pause_s(self) -> float:
        """Between late questions: a little more than what the last command may have been too early by."""
        return 1.6 * (1 - SHRINK) * self.expected_s

    def done_at_once(self) -> None:
        """The command was done after sleep_s."""
        self._expect(self.expected_s * self._shrink)
        self._shrink, self._held_up = self._shrink**1.5, False

    def done_later(self, seconds: float) -> None:
        """It was not done after sleep_s, but `seconds` after its start."""
        self._shrink = SHRINK
        self._held_up = 0 < STALL * self.expected_s < seconds and not self._held_up
        if not self._held_up:
            self._expect(seconds)

    def _expect(self, seconds: float) -> None:
        self.expected_s = seconds
        self.sleep_s = SHRINK * seconds - OVERSLEEP_S if seconds > SPIN_S else 0.0
