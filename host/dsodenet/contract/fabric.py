"""The device of the ZCU104: what it has, and how many of its memory blocks a memory takes, before any tool has run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from dsodenet.contract.boards import ZCU104

DEVICE = dict(ZCU104.device)
DEVICE_FF = 460_800
BUDGET = {
    "LUT": 0.70,
    "FF": 0.70,
    "DSP": 0.95,
    "BRAM36": 0.80,
    "URAM": 0.80,
}  # most that a build may take of the device
BRAM36 = {72: 512, 36: 1024, 18: 2048, 9: 4096}  # bits of a word -> words
URAM = {72: 4096, 36: 8192, 18: 16384, 9: 32768}
LUT_RAM_WORDS = 64  # of one bit, in a LUT


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


def blocks(words: int, bits: int, shapes: dict[int, int]) -> int:
    """How many memory blocks of the best shape hold `words` of `bits`."""
    return min(math.ceil(bits / width) * math.ceil(words / depth) for width, depth in shapes.items())


def memory(words: int, bits: int) -> Resources:
    """A memory of this many words: LUTs for a shallow one, else BRAM36."""
    if words <= LUT_RAM_WORDS:
        return Resources(LUT=bits)
    return Resources(BRAM36=blocks(words, bits, BRAM36))
