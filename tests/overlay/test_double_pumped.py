"""The overlay of an engine whose array has a clock of its own: what is different about it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dsodenet.contract import design
from dsodenet.contract.registers import Kind
from dsodenet.errors import InputError, RunError, SpecError, ToolError
from dsodenet.overlay.flow import build, first_clock, publish_from
from dsodenet.runtime.artefacts import read_manifest
from dsodenet.runtime.simulated import hwh
from dsodenet.spec.lanes import lanes_text, with_lanes
from tests.models import MODELS
from tests.overlay.test_overlay import check_design
from tests.vivado import recorder

PARAMS = dataclasses.replace(MODELS["time_bias"], spec=with_lanes(MODELS["time_bias"].spec, "2x4x8@2", "rtl"))
TABLE = design.block_design("any", Kind.RTL, 187.5, double_pumped=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    pytest.importorskip("pynq")
    PARAMS.save(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def tools(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> recorder.Recorder:
    made = recorder.make(tmp_path / "tools", hwh.write_overlay(TABLE, "kernel_0", tmp_path / "bit"), monkeypatch)
    made.install("vivado")
    return made


def test_one_wizard_makes_every_clock_of_the_fabric() -> None:
    nets = {net.driver: net.loads for net in TABLE.nets}
    assert nets["zynq_ultra_ps_e_0", "pl_clk0"] == (("clk_wiz_0", "clk_in1"),)
    assert nets["clk_wiz_0", "clk_out1"] == (("kernel_0", "clk2"),)
    slow = nets["clk_wiz_0", "clk_out2"]
    assert slow == tuple((i.name, pin) for i in TABLE.instances for pin in i.clocks)
    assert ("kernel_0", "clk") in slow
    assert nets["clk_wiz_0", "locked"] == (
        ("proc_sys_reset_0", "dcm_locked"),
    )  # no reset ends before the clocks are there
    settings = dict(TABLE.instance("clk_wiz_0").parameters)
    fast, fabric = (float(settings[f"CLKOUT{i}_REQUESTED_OUT_FREQ"]) for i in (1, 2))
    assert fabric == pytest.approx(TABLE.pl_clock.mhz)
    assert fast == pytest.approx(2 * fabric)


def test_the_design_without_is_the_one_of_before() -> None:
    plain = design.block_design("any", Kind.RTL, 187.5)
    assert plain.clock == plain.clock_source == ("zynq_ultra_ps_e_0", "pl_clk0")
    assert "clk_wiz_0" not in {instance.name for instance in plain.instances}


def test_the_overlay(run: Path, tools: recorder.Recorder, tmp_path: Path) -> None:
    build(run, "rtl", tmp_path / "out")
    check_design(tools, Kind.RTL, double_pumped=True)
    wrapper = (run / "overlay/rtl/inputs/src/dsodenet_rtl.v").read_text()
    assert ".DOUBLE_PUMPED(1)" in wrapper
    assert "input wire clk2" in wrapper
    assert ".clk2(clk2)" in wrapper


def test_a_plain_engine_has_no_fast_clock(tmp_path: Path) -> None:
    MODELS["time_bias"].save(tmp_path / "run")
    inputs = build(tmp_path / "run", "rtl", inputs_only=True)
    wrapper = (inputs / "inputs/src/dsodenet_rtl.v").read_text()
    assert "wire clk2" not in wrapper
    assert ".clk2(1'b0)" in wrapper


def test_out_of_context_the_fast_clock_has_half_the_period(run: Path, tools: recorder.Recorder) -> None:
    first_clock(run)
    slow, fast = (float(period) for (period,) in tools.of("clock"))
    assert fast == pytest.approx(slow / 2)


def test_a_slower_clock_needs_another_build(run: Path, tools: recorder.Recorder, tmp_path: Path) -> None:
    """The wizard's PLL is made for one frequency."""
    with pytest.raises(InputError, match="clock is 'auto', but the array of 2x4x8@2 lanes has a clock"):
        build(run, "rtl", clock="auto")
    build(run, "rtl", tmp_path / "out")
    with pytest.raises(ToolError, match=r"for 187.498 MHz and no other; build again with --clock 99"):
        publish_from(run / "overlay/rtl", run, "rtl", tmp_path / "other", clock=100.0)


def test_the_lanes_of_an_overlay_may_be_others_than_the_runs(tools: recorder.Recorder, tmp_path: Path) -> None:
    """What is published holds them, so a program of the model fits the kernel."""
    MODELS["time_bias"].save(tmp_path / "other")
    bit = build(tmp_path / "other", "rtl", tmp_path / "out", lanes="2x4x8@2")
    check_design(tools, Kind.RTL, double_pumped=True)
    assert lanes_text(read_manifest(bit)[0].spec.kernel) == "2x4x8@2"
    with pytest.raises(RunError, match="was built with 2x4x8@2 lanes, but the run has 1x4x8"):
        publish_from(tmp_path / "other/overlay/rtl", tmp_path / "other", "rtl", tmp_path / "again")
    publish_from(tmp_path / "other/overlay/rtl", tmp_path / "other", "rtl", tmp_path / "again", lanes="2x4x8@2")
    with pytest.raises(InputError, match="lanes are '2x4x8', but only the rtl kernel has lanes"):
        build(tmp_path / "other", "hls", lanes="2x4x8", force=True, inputs_only=True)
    with pytest.raises(SpecError, match="pixel_lanes is 3, but at twice the clock"):
        build(tmp_path / "other", "rtl", lanes="3x4x8@2", inputs_only=True)
