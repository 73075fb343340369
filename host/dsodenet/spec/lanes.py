"""Lanes of the rtl kernel as text, such as 1x32x64: pixel x input x output lanes of the pointwise array.

Read and written here only.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from dsodenet.errors import InputError
from dsodenet.spec.specification import Spec


class Lanes(Protocol):
    """A spec.Kernel or an engine.Engine."""

    @property
    def pixel_lanes(self) -> int: ...
    @property
    def input_lanes(self) -> int: ...
    @property
    def output_lanes(self) -> int: ...


def parse_lanes(text: str) -> tuple[int, int, int]:
    """(pixel, input, output) lanes; InputError for other text. Whether there is such an engine is Engine's to say."""
    words = text.split("x")
    if len(words) != 3 or not all(word.isascii() and word.isdecimal() for word in words):
        raise InputError(f"lanes are {text!r}, but they must be pixels x inputs x outputs, such as 1x32x64")
    pixel, inputs, outputs = map(int, words)
    return pixel, inputs, outputs


def lanes_text(lanes: Lanes) -> str:
    """What `parse_lanes` reads."""
    return f"{lanes.pixel_lanes}x{lanes.input_lanes}x{lanes.output_lanes}"


def with_lanes(spec: Spec, text: str | None, kernel: str | None = None) -> Spec:
    """The spec with the lanes of this text, and of this kernel; None keeps its own."""
    pixel, inputs, outputs = parse_lanes(lanes_text(spec.kernel) if text is None else text)
    changed = dataclasses.replace(
        spec.kernel, name=kernel or spec.kernel.name, pixel_lanes=pixel, input_lanes=inputs, output_lanes=outputs
    )
    return dataclasses.replace(spec, kernel=changed)
