"""Faults of the simulated ZCU104: data that its parts look at; fault_trials.py says what each raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dsodenet.contract import AP_START, BEAT_BYTES, REGISTERS


@dataclass
class Faults:
    """What goes wrong from now on; counts are used up."""

    allocations: int = 0  # next allocations fail
    busy_reads: int = 0  # next reads of CTRL still find the kernel running
    late_idle_reads: int = 0  # next reads of a DMA status do not show idle yet
    kernel_hangs: int = 0  # next commands never end; only a new configuration ends them
    mm2s_error: int = 0  # DMASR error bits of the next transfer to the kernel ...
    s2mm_error: int = 0  # ... and from it
    short_packets: int = 0  # next output packets end one beat early
    corrupt_words: int = 0  # next output packets have one bit of one word wrong
    lost_starts: int = 0  # next doorbells reach no kernel
    doubled_starts: int = 0  # next commands start once more when they end
    lost_interrupts: int = 0  # next interrupts do not reach the program
    false_interrupts: int = 0  # next commands raise the interrupt as they start
    unseen_packets: int = 0  # next output packets reach memory where the processor does not see them
    stall_s: float = 0.0  # the next command ends this much later
    dma_delay_s: float = 0.0  # the next output packet reaches memory this much after the kernel is done
    interrupts: int = 0  # next reads of CTRL raise KeyboardInterrupt, as Ctrl-C during a wait does
    lost_accesses: int = 0  # next register accesses fail, as when the way to the board is gone
    results: dict[str, int] = field(default_factory=dict)  # result registers that read as this value

    def happens(self, name: str) -> bool:
        """Whether a counted fault happens now; that uses it up once."""
        count = int(getattr(self, name))
        setattr(self, name, max(0, count - 1))
        return count > 0

    def spent(self, name: str) -> Any:
        """The value of a fault that happens once."""
        value = getattr(self, name)
        setattr(self, name, type(value)())
        return value

    # ---- where a kernel's register file and output meet them

    def before_read(self, offset: int) -> None:
        """Before a register of the kernel is read."""
        if offset == REGISTERS["CTRL"].offset and self.happens("interrupts"):
            raise KeyboardInterrupt

    def read_as(self, offset: int) -> int | None:
        """What a register of the kernel reads as, where that is not what it holds."""
        if offset == REGISTERS["CTRL"].offset and self.happens("busy_reads"):
            return AP_START
        return next((value for name, value in self.results.items() if offset == REGISTERS[name].offset), None)

    def damaged(self, output: bytes) -> bytes:
        """The output of a command as it leaves the kernel."""
        if output and self.happens("short_packets"):
            output = output[:-BEAT_BYTES]
        if output and self.happens("corrupt_words"):
            output = bytes([output[0] ^ 0x10]) + output[1:]
        return output
