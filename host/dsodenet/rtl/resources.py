"""Estimated hardware of the rtl kernel, from its lanes and memories."""

from __future__ import annotations

import math

from dsodenet.contract import BRAM36, URAM, ZCU104, Board, Resources, blocks
from dsodenet.rtl.engine import PW_BEAT_WEIGHTS, Engine
from dsodenet.spec import MAX_STAGES

# LUTs of the rtl kernel's parts, as Yosys maps them (synth.py); a test holds their sum against whole engines.
LUT_BASE, LUT_PER_WORD_LANE = (
    8953,
    251,
)  # what is there once, and what grows with pixel x input lanes, lanes themselves apart
LUT_OUTPUT_LANE, LUT_DEPTHWISE_LANE, LUT_DIVIDER = 1072, 775, 304
LUT_DEPTHWISE_DSP_LANE = 288  # where its products are made by DSPs
LUT_PAIR, LUT_PAIR_CASCADE = 40, 39  # two outputs of one pixel: their accumulators, and the sum of each cascade
LUT_DW_BEAT = 740 / 256  # LUT RAM and its multiplexers per word of 128 bits
DSP_CONTROL = 3  # addresses
TAPS = 9  # of a depthwise layer


def rtl_resources(engine: Engine, board: Board = ZCU104) -> Resources:
    """The rtl kernel by its lanes and memories; maps and biases in block RAM where the board has no URAM.

    DSP, BRAM36 and URAM as Yosys counts them, LUT within a few percent of it.
    """
    p, i, o = engine.pixel_lanes, engine.input_lanes, engine.output_lanes
    cascades = i // engine.cascade
    weights = engine.cascade * math.ceil(cascades * o / PW_BEAT_WEIGHTS) * blocks(engine.pw_words, 72, BRAM36)
    lines = 2 * p * blocks(engine.line_words, 8 * i, BRAM36)
    wide = URAM if board.map_style == "ultra" else BRAM36
    small = blocks(engine.map_words, 8 * i, wide)  # each of two maps and of the slopes
    maps = p * ((2 + MAX_STAGES - 1) * small + blocks(engine.map_words, 16 * i, wide))
    bias = i // 4 * blocks(engine.bias_words, 128, wide)
    logic = (
        LUT_BASE
        + p * i * (LUT_PER_WORD_LANE + LUT_OUTPUT_LANE)
        + p * i * (LUT_DEPTHWISE_DSP_LANE if engine.double_pumped else LUT_DEPTHWISE_LANE)
        + i * LUT_DIVIDER
        + i * 3 / 4 * engine.dw_words * LUT_DW_BEAT
        + o / 2 * p * (LUT_PAIR + LUT_PAIR_CASCADE * cascades)
    )
    products = p * i * o  # in a cycle of the fabric; a slice makes two in a cycle of its own clock
    if engine.double_pumped:
        products = products // 2 + TAPS * p * i
    dsp, lut, block = products // 2 + DSP_CONTROL, round(logic), weights + lines
    if wide is URAM:
        return Resources(DSP=dsp, BRAM36=block, URAM=maps + bias, LUT=lut)
    return Resources(DSP=dsp, BRAM36=block + maps + bias, LUT=lut)


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
