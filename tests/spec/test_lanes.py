"""The text of --lanes: one reader for the command line, the search and the scripts of the engine."""

from __future__ import annotations

import re

import pytest

from dsodenet.errors import InputError, SpecError
from dsodenet.rtl.engine import Engine
from dsodenet.spec.lanes import lanes_text, parse_lanes, with_lanes
from dsodenet.spec.specification import Spec


def test_pixel_input_and_output_lanes_in_this_order() -> None:
    assert parse_lanes("3x16x64") == (3, 16, 64, False)
    spec = with_lanes(Spec.named("l"), "3x16x64", "rtl")
    kernel = spec.kernel
    assert (kernel.name, kernel.pixel_lanes, kernel.input_lanes, kernel.output_lanes) == ("rtl", 3, 16, 64)
    assert lanes_text(kernel) == lanes_text(Engine.of(kernel)) == "3x16x64"
    assert with_lanes(spec, None) == spec


def test_twice_the_clock_is_part_of_the_lanes() -> None:
    assert parse_lanes("4x16x64@2") == (4, 16, 64, True)
    spec = with_lanes(Spec.named("l"), "4x16x64@2", "rtl")
    assert spec.kernel.double_pumped
    assert Spec.from_json(spec.to_json()) == spec
    assert lanes_text(Engine.of(spec.kernel)) == "4x16x64@2"
    assert not with_lanes(spec, "4x16x64").kernel.double_pumped
    with pytest.raises(SpecError, match=re.escape("pixel_lanes is 3, but at twice the clock")):
        Engine.of(with_lanes(spec, "3x16x64@2").kernel)


def test_a_spec_from_before_says_nothing_of_it_and_keeps_its_fingerprint() -> None:
    data = Spec.named("l").to_dict()
    del data["kernel"]["double_pumped"]
    assert Spec.from_dict(data) == Spec.named("l")
    assert "double_pumped" not in Spec.named("l").identity()["kernel"]
    pumped = with_lanes(Spec.named("l"), "4x16x64@2")
    assert pumped.fingerprint() != with_lanes(Spec.named("l"), "4x16x64").fingerprint()


@pytest.mark.parametrize(
    "text",
    ["", "4", "1x32", "1x32x64x2", "1xax64", "1x-4x8", "1x 4x8", "1x4x²", "4x16x64@", "4x16x64@2x", "@2", "4x16@2x64"],
)
def test_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"lanes are {text!r}, but they must be pixels x inputs x outputs")):
        parse_lanes(text)
