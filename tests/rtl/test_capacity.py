"""The limits of an engine at their very edge: a model that fills every memory runs, with a word less it is refused."""

from __future__ import annotations

import dataclasses

import pytest

from dsodenet.errors import SpecError, ToolError
from dsodenet.rtl import build as rtl
from dsodenet.rtl.builder import Builder, program
from dsodenet.rtl.engine import Engine
from dsodenet.rtl.passes import Pass
from dsodenet.spec.layers import all_layers
from dsodenet.spec.params import Params
from tests.models import kernel, model, on
from tests.rtl.against_reference import check

# One block of 12 channels, 3 words of 4, on 4 x 62 pixels.
FULL = on(model("full", "euler", 1, in_channels=1, height=4, width=62, channels=(12,), num_classes=9), "3x4x8")
NEEDED = {  # by FULL; counted by hand
    "map_words": ("map words per lane", 249),  # 248 pixels, three a group, of 3 words
    "line_words": ("line buffer words", 64),  # a row of 62 pixels lies in up to 21 groups; one word is being written
    "max_tiles": ("input words of a layer", 3),
    "logit_words": ("logit words", 3),  # of 9 classes
    "dw_words": ("depthwise weight words", 12),  # three each for stem, both layers and head
    "pw_words": ("pointwise weight words", 24),  # 3 times 2 output tiles for each of them
    "bias_words": ("bias words", 12),
    "max_passes": ("passes", 4),
}
EXACT = dataclasses.replace(Engine.of(kernel("3x4x8")), **{name: words for name, (_, words) in NEEDED.items()})

WEIGHT = "f1.pw1.weight"


@pytest.mark.slow
def test_a_model_that_fills_every_memory_runs() -> None:
    try:
        rtl.verilator()
    except ToolError as error:
        pytest.skip(str(error))
    check(FULL, engine=EXACT, GARBAGE=1)


@pytest.mark.parametrize("name", NEEDED)
def test_a_word_less_is_refused_with_both_numbers(name: str) -> None:
    what, words = NEEDED[name]
    assert program(FULL, EXACT)
    with pytest.raises(SpecError, match=f"has {words - 1} {what}, but this model needs {words}"):
        program(FULL, dataclasses.replace(EXACT, **{name: words - 1}))


def test_an_image_takes_at_most_65536_beats() -> None:
    """The count less one travels in 16 bits. 64 channels of 128 x 128 pixels are 2**20 bytes."""
    engine = dataclasses.replace(Engine.of(kernel("1x64x64")), map_words=1 << 15)
    largest = model("large", "euler", 1, in_channels=64, height=128, width=128, channels=(4,))
    passes = Builder(on(largest, "1x64x64"), engine)
    passes.build()
    assert passes.passes[0].image_beats_last == 0xFFFF
    larger = model("larger", "euler", 1, in_channels=64, height=129, width=128, channels=(4,))
    with pytest.raises(SpecError, match="has 65536 image beats, but this model needs 66048"):
        program(on(larger, "1x64x64"), engine)


def passes(params: Params, lanes: str) -> list[Pass]:
    builder = Builder(on(params, lanes), Engine.of(kernel(lanes)))
    builder.build()
    return builder.passes


def waits(params: Params, lanes: str) -> list[int]:
    return [item.wait_cycles for item in passes(params, lanes)]


@pytest.mark.parametrize(
    ("lanes", "side", "expected"),
    [
        # A result is written up to 39 cycles after its token, or 53 on 64 output lanes; the scheduler takes 4 of them.
        # The next pass reads a word per cycle from the first one on, so it follows the writes where there are enough.
        ("1x4x8", 4, 39 - 4 - 16 * 2 + 1),  # 16 pixels of 2 words
        ("3x4x8", 4, 39 - 4 - 4 * 2 + 1),  # four whole groups of three pixels before the last
        ("1x4x8", 6, 0),  # 72 words: more than the wait
        ("1x4x64", 6, 16 - 4),  # a tile of 16 words still has to leave
        ("1x4x64", 4, 53 - 4 - 16 * 2 + 1),
    ],
)
def test_a_pass_waits_no_cycle_longer_than_its_results(lanes: str, side: int, expected: int) -> None:
    network = model("small", "euler", 1, in_channels=1, height=side, width=side, channels=(5,))
    stem, hidden, slope, _ = waits(network, lanes)
    assert (stem, hidden, slope) == (expected,) * 3


def test_after_a_map_of_one_group_the_whole_way_is_waited_for() -> None:
    """The results of 2 x 2 pixels may all lie in the last group."""
    network = model("tiny", "euler", 1, in_channels=1, height=4, width=4, channels=(5, 5))
    *_, hidden, slope, logits = waits(network, "3x4x8")
    assert (hidden, slope, logits) == (39 - 4 + 1,) * 3


# A pass that fills the window of the next one reads a word of the next map when all but the pixels of the window have
# come after it. With a token a pixel, and 39 cycles to its result, that is in time from 41 pixels on.
IN_TIME = (7, 7)  # rows, columns: 49 pixels, 8 of them for the window
TOO_EARLY = (5, 10)  # 50, 11 of them
SMALL = (5, 9)  # 45, 10 of them: a window that was filled would be wrong


@pytest.mark.parametrize(("size", "expected"), [(IN_TIME, [1, 1, 1, 0]), (TOO_EARLY, [1, 0, 0, 0])])
def test_a_pass_fills_the_window_of_the_next_one_where_its_results_are_in_time(
    size: tuple[int, int], expected: list[int]
) -> None:
    """The stem takes three tokens a pixel. Nothing follows the logits."""
    network = model("edge", "euler", 2, in_channels=1, height=size[0], width=size[1], channels=(3,))
    assert [item.fills for item in passes(network, "1x4x8")] == expected


def test_a_window_is_filled_across_blocks_of_equal_maps_only() -> None:
    """The map that a block leaves is what down reads; the one that down writes is smaller."""
    network = model("blocks", "heun", 1, in_channels=1, height=12, width=12, channels=(8, 8))
    kinds = [(item.kind_name, item.block, item.fills) for item in passes(network, "1x4x8")]
    first = [("state", 0, 0), ("hidden", 0, 1), ("slope", 0, 1), ("state", 1, 0)]
    assert kinds == [*first, ("hidden", 1, 1), ("slope", 1, 1), ("logits", 1, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("size", [IN_TIME, TOO_EARLY, SMALL])
def test_a_window_that_is_filled_just_in_time_is_right(size: tuple[int, int]) -> None:
    """A word that is read while it is written, or before, would be wrong."""
    try:
        rtl.verilator()
    except ToolError as error:
        pytest.skip(str(error))
    check(on(model("edge", "rk4", 2, in_channels=1, height=size[0], width=size[1], channels=(3,)), "1x4x8"), GARBAGE=1)


def test_a_shift_beyond_seven_bits_is_the_furthest_one() -> None:
    """Formats so far apart that all is rounded away, or saturates: shifts of 64 and of -65 LSBs."""
    base = on(model("far", "euler", 1, in_channels=1, height=4, width=4, channels=(3,)), "1x4x8")
    layer = next(layer for layer in all_layers(base.spec.network) if f"{layer.name}.weight" == WEIGHT)
    for shift, taken in ((62, 62), (63, 63), (64, 63), (-64, -64), (-65, -64)):
        end = -16 if shift > 0 else 32  # of the integer bits that a format may have
        inputs = {name: dataclasses.replace(base.formats[name], integer_bits=end) for name in (layer.source, WEIGHT)}
        own = sum(fmt.frac_bits for fmt in inputs.values())
        fmt = base.formats[layer.dest]
        result = {layer.dest: dataclasses.replace(fmt, integer_bits=fmt.bits - (own - shift))}
        params = dataclasses.replace(base, formats=base.formats | inputs | result)
        builder = Builder(params, Engine.of(base.spec.kernel))
        builder.build()
        assert builder.passes[1].out_shift == taken
