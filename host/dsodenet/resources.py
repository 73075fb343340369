"""Estimated hardware of the two kernels on the XCZU7EV, before any tool has run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from dsodenet.engine import PW_BEAT_WEIGHTS, Engine
from dsodenet.solvers import MAX_STAGES

DEVICE = {"DSP": 1_728, "BRAM36": 312, "URAM": 96, "LUT": 230_400}  # xczu7ev, data sheet DS891
DEVICE_FF = 460_800
BUDGET = {"LUT": 0.70, "FF": 0.70, "DSP": 0.95, "BRAM36": 0.80, "URAM": 0.80}  # most that a build may take of the device
BRAM36 = {72: 512, 36: 1024, 18: 2048, 9: 4096}  # bits of a word -> words
URAM = {72: 4096, 36: 8192, 18: 16384, 9: 32768}
LUT_RAM_WORDS = 64  # of one bit, in a LUT

# LUTs of the rtl kernel's parts, as Yosys maps them (synth.py); a test holds their sum against whole engines.
LUT_BASE, LUT_PER_WORD_LANE = 8953, 251  # what is there once, and what grows with pixel x input lanes, lanes themselves apart
LUT_OUTPUT_LANE, LUT_DEPTHWISE_LANE, LUT_DIVIDER = 1072, 775, 304
LUT_PAIR, LUT_PAIR_CASCADE = 40, 39  # two outputs of one pixel: their accumulators, and the sum of each cascade
LUT_DW_BEAT = 740 / 256  # LUT RAM and its multiplexers per word of 128 bits
DSP_CONTROL = 3  # addresses


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


def rtl_resources(engine: Engine) -> Resources:
    """The rtl kernel by its lanes and memories: DSP, BRAM36 and URAM as Yosys counts them, LUT within a few percent of it."""
    p, i, o = engine.pixel_lanes, engine.input_lanes, engine.output_lanes
    cascades = i // engine.cascade
    weights = engine.cascade * math.ceil(cascades * o / PW_BEAT_WEIGHTS) * blocks(engine.pw_words, 72, BRAM36)
    lines = 2 * p * blocks(engine.line_words, 8 * i, BRAM36)
    small = blocks(engine.map_words, 8 * i, URAM)  # each of two maps and of the slopes
    maps = p * ((2 + MAX_STAGES - 1) * small + blocks(engine.map_words, 16 * i, URAM))
    bias = i // 4 * blocks(engine.bias_words, 128, URAM)
    logic = (
        LUT_BASE
        + p * i * (LUT_PER_WORD_LANE + LUT_OUTPUT_LANE + LUT_DEPTHWISE_LANE)
        + i * LUT_DIVIDER
        + i * 3 / 4 * engine.dw_words * LUT_DW_BEAT
        + o / 2 * p * (LUT_PAIR + LUT_PAIR_CASCADE * cascades)
    )
    return Resources(DSP=p * i * o // 2 + DSP_CONTROL, BRAM36=weights + lines, URAM=maps + bias, LUT=round(logic))


def memory_map(engine: Engine) -> dict[str, int]:
    """Bytes of each memory of the rtl kernel that a model has to fit."""
    p, i, o = engine.pixel_lanes, engine.input_lanes, engine.output_lanes
    return {
        "feature maps": 2 * p * i * engine.map_words,
        "state": 2 * p * i * engine.map_words,
        "slopes": (MAX_STAGES - 1) * p * i * engine.map_words,
        "pointwise weights": i * o * engine.pw_words,
        "depthwise weights": 12 * i * engine.dw_words,
        "biases": 4 * i * engine.bias_words,
        "line buffers": 2 * p * i * engine.line_words,
    }
