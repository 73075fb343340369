"""A pass of the rtl kernel: one run of its pipeline over a map, as a dataclass that Python and SystemVerilog share.

A pass reads a map, takes it through the depthwise unit and the pointwise array, and does with the results what `kind`
says. Counts are in words of `input_lanes` channels and in groups of `pixel_lanes` pixels. A field called `..._last` is
a count minus one. Every field travels as 16 bits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import SpecError

KINDS = {
    "state": "stem, down: the state z and its 8-bit copy x",
    "hidden": "first half of f: p",
    "slope": "second half of f: k, then the state update",
    "logits": "linear: accumulators",
}
WORDS_PER_BEAT = 8  # fields in 128 bits


def _count(meaning: str, most: int = 0xFFFF) -> Any:
    """An unsigned field."""
    return field(default=0, metadata={"meaning": meaning, "low": 0, "high": most})


def _integer(meaning: str, low: int = -0x8000, high: int = 0x7FFF) -> Any:
    """A signed field, in two's complement."""
    return field(default=0, metadata={"meaning": meaning, "low": low, "high": high})


def _byte(meaning: str) -> Any:
    """A signed field of which the engine reads eight bits."""
    return _integer(meaning, -0x80, 0x7F)


def _shift(meaning: str) -> Any:
    """A shift to the right in seven bits: beyond them only zero does not saturate, or all is rounded away."""
    return _integer(meaning, -64, 63)


@dataclass(frozen=True)
class Pass:
    """What one pass does. Construction checks that every field fits; SpecError names one that does not."""

    # ---- what it is
    kind: int = _count("what happens to the results, a kind_e", 3)
    block: int = _count("ODE block whose steps, coefficients and state it uses", 2)
    stride2: int = _count("keep every second pixel of every second row", 1)
    source_unsigned: int = _count("the map holds unsigned bytes", 1)
    truncate: int = _count("round down instead of half to even", 1)
    accumulate: int = _count("the last evaluation adds the state to the average of the head", 1)
    # ---- loops of the pass runner
    wait_cycles: int = _count("cycles from the last token to the next pass", 127)
    width: int = _count("pixels in a row of the map")
    height: int = _count("rows of the map")
    pitch: int = _count("pixels from row to row in memory")
    lead_groups: int = _count("pixel groups that fill the window before the first result")
    last_group: int = _count("number of the last pixel group, the leading ones counted")
    tiles_last: int = _count("words of a source pixel", 1023)
    reps_last: int = _count("input words made of each of them", 8)
    inputs_last: int = _count("input words of a pixel group", 1023)
    slot_last: int = _count("cycles of an output tile: its input words, or the words that leave meanwhile", 1023)
    outputs_last: int = _count("output tiles of a pixel group", 1023)
    words_last: int = _count("words of an output tile", 31)
    tail_last: int = _count("words of the last output tile", 31)
    row_words: int = _count("words of an output pixel", 1023)
    # ---- reading the map: window and line buffers
    fetch_start: int = _integer("address of the first word that is fetched; of lanes before `fetch_rotate`: 0")
    fetch_rotate: int = _count("lane of the pixel that the first group begins with", 7)
    map_last: int = _count("last word of the map; after it come the first ones of the map that the next pass reads")
    fills: int = _count("with these the next pass finds its window filled", 1)
    line_rotate: int = _count("lanes by which a row begins later than the row before it", 7)
    line_near: int = _count("words between a pixel and the pixel above it")
    line_far: int = _count("the same where the row above begins in an earlier word")
    # ---- writing the map
    dst_row_words: int = _count("words from row to row of the destination, for stride 2")
    dst_row_rotate: int = _count("lanes by which its rows begin later, for stride 2", 7)
    # ---- weights
    dw_base: int = _count("first depthwise word")
    pw_base: int = _count("first pointwise word")
    bias_base: int = _count("first bias word")
    bias_stride: int = _count("bias words from evaluation to evaluation; 0 without a time table")
    loop_passes: int = _count("passes of an evaluation before this one, to which the solver goes back", 31)
    # ---- formats: shift to the right, then the range
    dw_shift: int = _shift("depthwise accumulator to bytes")
    dw_min: int = _byte("least depthwise result")
    dw_max: int = _byte("largest depthwise result")
    out_shift: int = _shift("pointwise accumulator to its format")
    out_min: int = _integer("least pointwise result")
    out_max: int = _integer("largest pointwise result")
    update_shift: int = _shift("sum of coefficient and slope to the state's LSBs")
    state_min: int = _integer("least state")
    state_max: int = _integer("largest state")
    x_shift: int = _shift("state to its 8-bit copy")
    x_shift_last: int = _shift("the same after the last evaluation, for the next layer")
    x_min: int = _byte("least copy")
    x_max: int = _byte("largest copy")
    average_shift: int = _integer("sum of states to the head's format", -15, 22)
    average_count_last: int = _count("pixels of the average")
    average_min: int = _byte("least average")
    average_max: int = _byte("largest average")
    # ---- image in, logits out
    image_beats_last: int = _count("stream beats of an image")
    image_width_last: int = _count("pixels of an image row, those of a block as one")
    image_height_last: int = _count("rows of an image")
    image_row_words: int = _count("words from row to row of the image in memory")
    image_row_rotate: int = _count("lanes by which its rows begin later", 7)
    block_shift: int = _count("log2 of the image rows that space to depth joins", 2)
    slot_shift: int = _count("log2 of the bytes of a pixel's slot", 15)
    replicate: int = _count("repeat the slot over the word", 1)
    pair: int = _count("two pixels, of two lanes, count as one above and come in a cycle", 1)
    chunks_last: int = _count("cycles that a pixel takes")
    tail_bytes: int = _count("bytes of a pixel's last chunk", 16)
    logit_beats_last: int = _count("stream beats of an image's logits")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, low, high = getattr(self, item.name), item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:
                raise SpecError(
                    f"{item.name} of a pass ({item.metadata['meaning']}) is {value}, "
                    f"but the rtl kernel takes {low} to {high}"
                )

    @property
    def kind_name(self) -> str:
        """The key of KINDS."""
        return [*KINDS][self.kind]

    def words(self) -> NDArray[np.uint16]:
        """(PASS_BYTES / 2,): the fields in their order, then zeros up to a whole beat."""
        words = np.zeros(PASS_BYTES // 2, "<u2")
        words[: len(FIELDS)] = [getattr(self, name) & 0xFFFF for name in FIELDS]
        return words


FIELDS = tuple(item.name for item in dataclasses.fields(Pass))
PASS_BYTES = 2 * -(-len(FIELDS) // WORDS_PER_BEAT) * WORDS_PER_BEAT


def pass_struct() -> str:
    """The SystemVerilog types `kind_e` and `pass_t`, and the range of each field.

    The first field of the struct is in the lowest bits.
    """
    width = (len(KINDS) - 1).bit_length()
    items = [f"    Kind{name.title()} = {width}'d{i}" for i, name in enumerate(KINDS)]
    kinds = [
        f"{item}{',' if i + 1 < len(KINDS) else ''}  // {text}"
        for i, (item, text) in enumerate(zip(items, KINDS.values()))
    ]
    meanings = {item.name: item.metadata["meaning"] for item in dataclasses.fields(Pass)}
    reserved = {f"reserved_{i}": "zero" for i in range(PASS_BYTES // 2 - len(FIELDS))}
    lines = [f"    logic [15:0] {name};  // {meaning}" for name, meaning in (meanings | reserved).items()]
    bounds = {"low": "least", "high": "largest"}
    limits = "".join(
        f"  localparam pass_t PASS_{key.upper()} = '{{  // {word} value of each field\n" + ",\n".join(
            f"    {name}: 16'h{value & 0xFFFF:04x}"
            for name, value in {item.name: item.metadata[key] for item in dataclasses.fields(Pass)}.items()
        ) + "".join(f",\n    {name}: 16'h0000" for name in reserved) + "\n  };\n"
        for key, word in bounds.items()
    )  # fmt: skip
    return (
        f"  typedef enum logic [{width - 1}:0] {{\n" + "\n".join(kinds) + "\n  } kind_e;\n"
        "  typedef struct packed {\n" + "\n".join(reversed(lines)) + "\n  } pass_t;\n" + limits
    )  # fmt: skip
