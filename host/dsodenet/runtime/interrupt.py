"""The kernel's interrupt, as Linux gives it to a program: a UIO device.

pynq.Interrupt needs an asyncio loop, which a notebook has running already and a thread has none of; a file is enough.
Linux turns the interrupt off as it comes, and a write of 1 turns it on again. It is a level: one that is still there
comes again.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any

from dsodenet.errors import DeviceError

POLL, INTERRUPT = WAITS = ("poll", "interrupt")  # how to wait for a kernel
ON = (1).to_bytes(4, "little")
COUNT_BYTES = 4  # what a read gives: how often the interrupt has come


class InterruptLine:
    """An interrupt behind the descriptor of a UIO device, which it closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def enable(self) -> None:
        """Let the interrupt come, once. One that came unasked, or for a command that was given up, is forgotten."""
        self.wait(0)
        os.write(self._descriptor, ON)

    def wait(self, seconds: float) -> bool:
        """Whether it came in this time."""
        came = bool(self._poll.poll(max(0.0, 1e3 * seconds)))
        if came:
            os.read(self._descriptor, COUNT_BYTES)
        return came

    def close(self) -> None:
        os.close(self._descriptor)


def open_uio(number: int) -> int:
    """The descriptor of the UIO device of an interrupt of the processor; DeviceError where Linux has none."""
    from pynq.interrupt import get_uio_irq

    try:
        path: Any = get_uio_irq(number)
        if path is None:
            raise DeviceError(
                f"Linux gives programs no interrupt {number} here (no line of /proc/interrupts with a UIO device has "
                "it), but wait='interrupt' needs it; wait='poll' works without"
            )
        return os.open(Path(path), os.O_RDWR)
    except OSError as error:
        raise DeviceError(f"interrupt {number} cannot be opened ({error}); wait='poll' works without it") from None
