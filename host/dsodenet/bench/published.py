"""Figures that others published, each once.

Speed-ups on a ZCU104, its processor's rate, and what a call from Python costs on it.
"""

from __future__ import annotations

from dataclasses import dataclass

A53 = "four Cortex-A53 at 1.2 GHz"
A53_SOURCE = (
    "multiply-accumulates over the published rate of ncnn on MobileNet-v1, larger layers than these: optimistic"
)
A53_GMAC_PER_S = (
    (1, "float32", 2.3),
    (1, "int8", 2.8),
    (4, "float32", 6.3),
    (4, "int8", 8.9),
)  # (threads, numbers, rate)

# A register access through pynq's MMIO, and a whole call of a FINN accelerator, both from Python on a ZCU104.
ACCESS_US, ACCESS_SOURCE = 30.0, "a read or write through pynq's MMIO on a ZCU104 takes about this long"
FINN_CALL_US, FINN_SOURCE = (
    822.0,
    "one execute() of FINN's driver on a ZCU104 (finn-examples, RadioML), its kernel included",
)


@dataclass(frozen=True)
class Published:
    """A speed-up that others measured on a ZCU104."""

    system: str
    source: str
    factor: float
    timed: str  # what of the network
    against: str


PUBLISHED = (
    Published("dsODENet 2021", "arXiv 2107.12824", 27.9, "prediction", "its software counterpart"),
    Published("dsODENet 2023", "IEICE Trans. E106-D(7)", 23.8, "inference", "its software counterpart"),
    Published("Okubo et al.", "arXiv 2401.02721", 34.01, "offloaded", "its software counterpart"),
    Published("Okubo et al.", "arXiv 2401.02721", 9.85, "end to end", "its software counterpart"),
)
