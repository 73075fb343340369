"""A limit on the time of work that may be left undone, such as a compilation."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dsodenet.errors import ToolError


class _Over(BaseException):
    """No Exception: work that tries again after one shall not try again after this."""


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """ToolError when the work inside takes longer than what is left of a limit; a program that it waits for is ended with it.

    Signals make the limit, so it can be kept in the main thread only; elsewhere a ToolError says so before any work.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ToolError(f"{what} needs a time limit, which can be kept in the main thread only")

    active = True  # the alarm may still go off while it is being switched off

    def over(number: int, frame: FrameType | None) -> None:
        if active:
            raise _Over

    before = signal.signal(signal.SIGALRM, over)
    try:
        if seconds <= 0:
            raise _Over
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
        active = False
    except _Over:
        raise ToolError(f"not run: {what} takes longer here") from None
    finally:
        active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
