"""Faults of the simulated ZCU104: data that its parts look at; fault_trials.py says what each raises."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    stall_s: float = 0.0  # the next command ends this much later
    dma_delay_s: float = 0.0  # the next output packet reaches memory this much after the kernel is done
    interrupts: int = 0  # next reads of CTRL raise KeyboardInterrupt, as Ctrl-C during a wait does
    lost_accesses: int = 0  # next register accesses fail, as when the way to the board is gone
    results: dict[str, int] = field(default_factory=dict)  # result registers that read as this value
