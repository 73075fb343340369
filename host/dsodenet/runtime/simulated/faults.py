"""Faults of the simulated ZCU104: data that its parts look at; fault_trials.py says what each raises."""

from __future__ import annotations

from dataclasses import dataclass, field

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

    # ---- where a kernel's register file and output meet them

    def before_read(self, offset: int) -> None:
        """Before a register of the kernel is read."""
        if offset == REGISTERS["CTRL"].offset and self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt

    def read_as(self, offset: int) -> int | None:
        """What a register of the kernel reads as, where that is not what it holds."""
        if offset == REGISTERS["CTRL"].offset and self.busy_reads:
            self.busy_reads -= 1
            return AP_START
        return next((value for name, value in self.results.items() if offset == REGISTERS[name].offset), None)

    def loses_start(self) -> bool:
        """Whether the kernel does not see that it is started."""
        lost = self.lost_starts > 0
        self.lost_starts -= lost
        return lost

    def starts_again(self) -> bool:
        """Whether the command that ends now starts once more, as by a second doorbell."""
        again = self.doubled_starts > 0
        self.doubled_starts -= again
        return again

    def loses_interrupt(self) -> bool:
        """Whether the program is not told of this one."""
        lost = self.lost_interrupts > 0
        self.lost_interrupts -= lost
        return lost

    def interrupts_early(self) -> bool:
        """Whether the program is told of one before there is one."""
        early = self.false_interrupts > 0
        self.false_interrupts -= early
        return early

    def hides_packet(self) -> bool:
        """Whether the packet that the DMA has written is not there for the processor."""
        hidden = self.unseen_packets > 0
        self.unseen_packets -= hidden
        return hidden

    def at_start(self) -> tuple[bool, float]:
        """(whether the command that starts now never ends, seconds by which it is late)."""
        hangs, stall_s = self.kernel_hangs > 0, self.stall_s
        self.kernel_hangs -= hangs
        self.stall_s = 0.0
        return hangs, stall_s

    def damaged(self, output: bytes) -> bytes:
        """The output of a command as it leaves the kernel."""
        if output and self.short_packets:
            self.short_packets -= 1
            output = output[:-BEAT_BYTES]
        if output and self.corrupt_words:
            self.corrupt_words -= 1
            output = bytes([output[0] ^ 0x10]) + output[1:]
        return output
