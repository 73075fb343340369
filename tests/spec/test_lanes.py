"""The text of --lanes: one reader for the command line, the search and the scripts of the engine."""

from __future__ import annotations

import re

import pytest

from dsodenet.errors import InputError
from dsodenet.rtl.engine import Engine
from dsodenet.spec.lanes import lanes_text, parse_lanes, with_lanes
from dsodenet.spec.specification import Spec


def test_pixel_input_and_output_lanes_in_this_order() -> None:
    assert parse_lanes("3x16x64") == (3, 16, 64)
    spec = with_lanes(Spec.named("l"), "3x16x64", "rtl")
    kernel = spec.kernel
    assert (kernel.name, kernel.pixel_lanes, kernel.input_lanes, kernel.output_lanes) == ("rtl", 3, 16, 64)
    assert lanes_text(kernel) == lanes_text(Engine.of(kernel)) == "3x16x64"
    assert with_lanes(spec, None) == spec


@pytest.mark.parametrize("text", ["", "4", "1x32", "1x32x64x2", "1xax64", "1x-4x8", "1x 4x8", "1x4x²"])
def test_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"lanes are {text!r}, but they must be pixels x inputs x outputs")):
        parse_lanes(text)
