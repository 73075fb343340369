"""`dsodenet estimate`: which builds of the rtl kernel it lists for a model and a board."""

from __future__ import annotations

import json

import pytest

from dsodenet.contract.boards import KV260, ULTRA96_V2, ZCU104, Board
from dsodenet.rtl.cycles import of_spec
from dsodenet.spec.lanes import USUAL_LANES, with_lanes
from dsodenet.spec.specification import Spec
from tests.command_line import call


@pytest.mark.parametrize("board", [ZCU104, KV260, ULTRA96_V2], ids=lambda board: board.name)
def test_builds_that_fit_are_listed_the_fastest_first(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("estimate", "xs", "--board", board.name, "--json") == 0
    engines = json.loads(capsys.readouterr().out)["engines"]
    cycles = [engine["cycles"] for engine in engines]
    assert cycles == sorted(cycles)
    for engine in engines:
        assert all(engine[kind] <= there for kind, there in board.device.items())
        assert engine["cycles"] == of_spec(with_lanes(Spec.named("xs"), engine["lanes"]), board).cycles
        assert engine["latency_us"] == pytest.approx(engine["cycles"] / board.clock(187.5).mhz)
    listed = {engine["lanes"] for engine in engines}
    assert listed <= {*USUAL_LANES, "4x16x64@2"}
    assert ("3x16x64" in listed) == (board is ZCU104)  # 1,539 DSPs


def test_a_build_whose_memories_are_too_small_for_the_model_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The maps of l need twice the words that 1x4x8 lanes have."""
    assert call("estimate", "l") == 0
    lines = capsys.readouterr().out.split("the rtl kernel by lanes (--lanes)")[1].strip().splitlines()
    lanes = [line.split()[0] for line in lines[2:]]
    assert lanes[0] == "4x16x64@2"
    assert {*lanes} == {*USUAL_LANES, "4x16x64@2"} - {"1x4x8"}
