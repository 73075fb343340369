"""The boards that an overlay can be built for, one row each: part, clocks, memory, and what its device has.

A clock of the fabric is a PLL of the processor over two dividers, so few clocks exist: `Board.clock` names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dsodenet.errors import InputError

REFERENCE_MHZ = 33.333  # PSS_REF_CLK, as the presets of these boards and pynq's ps.py have it
MAX_DIVISOR = 63  # of each of the two dividers, 6 bits (UG1087, PL0_REF_CTRL)
SAME_CLOCK = 1e-5  # the share by which 187.498 MHz, as printed, may miss 187.498125 MHz


@dataclass(frozen=True)
class PlClock:
    """One clock that the processor can give to the fabric."""

    pll_mhz: float
    divisors: tuple[int, int]

    @property
    def mhz(self) -> float:
        return self.pll_mhz / (self.divisors[0] * self.divisors[1])

    @property
    def asked_mhz(self) -> float:
        """What Vivado is asked for: the clock of a reference of 100/3 MHz, rounded up; it gives none over that."""
        return math.ceil(round(1e3 * self.mhz * (100 / 3) / REFERENCE_MHZ, 3)) / 1e3


@dataclass(frozen=True)
class Window:
    """A part of the processor's memory behind its HP port, and its address segment (UG1085, PG201)."""

    segment: str
    base: int
    size: int


LOW_DDR = Window("HP0_DDR_LOW", 0, 2 << 30)
HIGH_DDR = Window("HP0_DDR_HIGH", 0x8_0000_0000, 2 << 30)


@dataclass(frozen=True)
class Board:
    name: str
    title: str
    part: str
    board_part: str  # of the board files that Vivado needs, in any revision
    io_pll_factor: int  # IOPLL = REFERENCE_MHZ times this, the source of the fabric's clock
    device: Mapping[str, int]  # DSP48E2, RAMB36, URAM288 and LUTs of the part (DS891, DS987)
    lanes: str  # of the engine that fits it, pixel x input x output
    memory: tuple[Window, ...] = (LOW_DDR,)  # what the DMA reaches
    map_style: str = "ultra"  # the memories that hold the engine's maps, as Vivado's ram_style names them
    # Most words of the engine's maps, pointwise weights and biases, where its usual ones do not fit.
    most_words: tuple[int, int, int] = (1 << 16, 1 << 16, 1 << 16)

    @cached_property
    def clocks(self) -> tuple[PlClock, ...]:
        """Every clock that IOPLL and the dividers give, the fastest first."""
        pll_mhz = REFERENCE_MHZ * self.io_pll_factor
        # As pynq divides: the first divider as large as it may be.
        products = {i * j: (i, j) for i in range(1, MAX_DIVISOR + 1) for j in range(1, MAX_DIVISOR + 1)}
        return tuple(PlClock(pll_mhz, products[product]) for product in sorted(products))

    def clock(self, at_most_mhz: float) -> PlClock:
        """The fastest clock that is not over at_most_mhz."""
        return next(clock for clock in self.clocks if clock.mhz <= at_most_mhz * (1 + SAME_CLOCK))


ZCU104 = Board(
    "zcu104",
    "ZCU104",
    part="xczu7ev-ffvc1156-2-e",
    board_part="xilinx.com:zcu104:part0",
    io_pll_factor=45,
    device={"DSP": 1_728, "BRAM36": 312, "URAM": 96, "LUT": 230_400},
    lanes="1x32x64",
)
KV260 = Board(
    "kv260",
    "KV260",
    part="xck26-sfvc784-2LV-c",
    board_part="xilinx.com:kv260_som:part0",
    io_pll_factor=30,  # public code for Kria divides 1.0 GHz; the host compares the clock that runs anyway
    device={"DSP": 1_248, "BRAM36": 144, "URAM": 64, "LUT": 117_120},
    lanes="1x16x64",
    memory=(LOW_DDR, HIGH_DDR),
)
ULTRA96_V2 = Board(
    "ultra96-v2",
    "Ultra96-V2",
    part="xczu3eg-sbva484-1-i",
    board_part="avnet.com:ultra96v2:part0",
    io_pll_factor=45,
    device={"DSP": 360, "BRAM36": 216, "URAM": 0, "LUT": 70_560},
    lanes="1x8x32",
    map_style="block",  # the device has no URAM
    most_words=(4096, 1024, 2048),
)
BOARDS = {board.name: board for board in (ZCU104, KV260, ULTRA96_V2)}
REFUSED = {
    "pynq-z2": "its XC7Z020 has DSP48E1, whose multiplier takes 25 bits, but the engine packs two products into 27",
}


def board_named(name: str) -> Board:
    """A board by its name; InputError names those that there are, and why a well-known one is none of them."""
    if name not in BOARDS:
        why = f"; {name}: {REFUSED[name]}" if name in REFUSED else ""
        raise InputError(f"board is {name!r}, but it must be one of {', '.join(BOARDS)}{why}")
    return BOARDS[name]
