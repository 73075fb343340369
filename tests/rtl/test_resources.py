"""Resource estimates against what Yosys found for whole engines, as `make rtl-checks` left it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsodenet.contract.fabric import BRAM36, URAM, blocks
from dsodenet.rtl.engine import Engine
from dsodenet.rtl.resources import memory_map, rtl_resources
from dsodenet.spec.lanes import parse_lanes
from dsodenet.spec.specification import Kernel

SYNTHESISED = json.loads((Path(__file__).parents[2] / "docs" / "results" / "resources.json").read_text())["lanes"]
LUT_TOLERANCE = 0.03


def engine(lanes: str) -> Engine:
    return Engine.of(Kernel("rtl", 200.0, 1, *parse_lanes(lanes)))


@pytest.mark.parametrize("lanes", SYNTHESISED)
def test_closed_form_equals_synthesis_but_for_a_few_luts(lanes: str) -> None:
    found, expected = rtl_resources(engine(lanes)), SYNTHESISED[lanes]
    for name in ("DSP", "BRAM36", "URAM"):
        assert getattr(found, name) == expected[name]
    assert pytest.approx(expected["LUT"], rel=LUT_TOLERANCE) == found.LUT


@pytest.mark.parametrize(
    ("words", "bits", "shapes", "count"),
    [(512, 72, BRAM36, 1), (513, 72, BRAM36, 2), (4096, 9, BRAM36, 1), (8192, 512, URAM, 15)],
)
def test_memories_take_the_best_shape(words: int, bits: int, shapes: dict[int, int], count: int) -> None:
    assert blocks(words, bits, shapes) == count


def test_memory_map_of_the_first_target() -> None:
    kib = {name: size // 1024 for name, size in memory_map(engine("1x32x64")).items()}
    assert (kib["feature maps"], kib["state"], kib["slopes"], kib["pointwise weights"]) == (512, 512, 768, 1024)
