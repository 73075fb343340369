"""Lanes of the rtl kernel as text, such as 1x32x64: pixel x input x output lanes of the pointwise array.

4x16x64@2 is an array that runs at twice the fabric's clock: it takes the multipliers of 2x16x64. Read and written
here only.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from dsodenet.errors import InputError
from dsodenet.spec.specification import Spec

PUMPED = "@2"
USUAL_LANES = ("1x4x8", "1x8x16", "5x8x32", "6x8x64", "1x16x32", "1x32x64", "2x16x64", "3x16x64")  # what is compared


class Lanes(Protocol):
    """A spec.Kernel or an engine.Engine."""

    @property
    def pixel_lanes(self) -> int: ...
    @property
    def input_lanes(self) -> int: ...
    @property
    def output_lanes(self) -> int: ...
    @property
    def double_pumped(self) -> bool: ...


def parse_lanes(text: str) -> tuple[int, int, int, bool]:
    """(pixel, input, output) lanes and whether double-pumped, as a spec.Kernel takes them; InputError for other text.

    Whether there is such an engine is Engine's to say.
    """
    lanes, pumped, _ = text.partition(PUMPED)
    words = lanes.split("x")
    if len(words) != 3 or not all(word.isascii() and word.isdecimal() for word in words) or not text.endswith(pumped):
        raise InputError(
            f"lanes are {text!r}, but they must be pixels x inputs x outputs, such as 1x32x64, or 4x16x64{PUMPED} for "
            "an array at twice the clock"
        )
    pixel, inputs, outputs = map(int, words)
    return pixel, inputs, outputs, bool(pumped)


def lanes_text(lanes: Lanes) -> str:
    """What `parse_lanes` reads."""
    text = f"{lanes.pixel_lanes}x{lanes.input_lanes}x{lanes.output_lanes}"
    return text + PUMPED if lanes.double_pumped else text


def with_lanes(spec: Spec, text: str | None, kernel: str | None = None) -> Spec:
    """The spec with the lanes of this text, and of this kernel; None keeps its own."""
    pixel, inputs, outputs, pumped = parse_lanes(lanes_text(spec.kernel) if text is None else text)
    changed = dataclasses.replace(
        spec.kernel,
        name=kernel or spec.kernel.name,
        pixel_lanes=pixel,
        input_lanes=inputs,
        output_lanes=outputs,
        double_pumped=pumped,
    )
    return dataclasses.replace(spec, kernel=changed)
