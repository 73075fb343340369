"""Estimated hardware of the two kernels on the XCZU7EV, before any tool has run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

DEVICE = {"DSP": 1_728, "BRAM36": 312, "URAM": 96, "LUT": 230_400}  # xczu7ev, data sheet DS891
BRAM_BITS, BRAM_DEPTH = 72, 512  # of a BRAM36 as a simple dual-port memory
LUT_RAM_BITS = 64  # of a LUT


@dataclass(frozen=True)
class Resources:
    DSP: float = 0
    BRAM36: float = 0
    URAM: float = 0
    LUT: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values())))

    def share(self, name: str) -> float:
        """Of the device, 1 being all of it."""
        return float(getattr(self, name)) / DEVICE[name]

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def memory(words: int, bits: int) -> Resources:
    """A memory of this many words: LUTs for a shallow one, else BRAM36."""
    if words <= LUT_RAM_BITS:
        return Resources(LUT=bits * math.ceil(words / LUT_RAM_BITS))
    return Resources(BRAM36=math.ceil(bits / BRAM_BITS) * math.ceil(words / BRAM_DEPTH))


def rtl_resources(engine):
    return Resources(
        DSP=engine.pixel_lanes * engine.input_lanes * engine.output_lanes / 2 + 2 * engine.pixel_lanes * engine.input_lanes
    )
