"""The delay model on small netlists whose longest path is known, and a module of the engine as committed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dsodenet.rtl import build as rtl
from tools.rtl import paths
from tools.rtl.delays import CLOCK_TO_Q, LUT, SETTLE_CYCLES, SETUP, WIDEST_NET, Timing, net

pytestmark = pytest.mark.slow

UNITS = ["divide_lane", "commander DRAIN_PATIENCE=1024 WATCHDOG_BITS=24", "scheduler GARBAGE=0 MAX_PASSES=32"]


def netlist(fan_out: int) -> dict[str, Any]:
    """Register a, a LUT, and as many registers as the LUT drives."""

    def cell(kind: str, **pins: int) -> dict[str, Any]:
        ways = {pin: "output" if pin in "QO" else "input" for pin in pins}
        return {"type": kind, "port_directions": ways, "connections": {pin: [bit] for pin, bit in pins.items()}}

    cells = {"a": cell("FDRE", C=2, D=3, Q=4), "lut": cell("LUT1", I0=4, O=5)}
    cells |= {f"b{i}": cell("FDRE", C=2, D=5, Q=6 + i) for i in range(fan_out)}
    ports = {"clk": {"direction": "input", "bits": [2]}, "in": {"direction": "input", "bits": [3]}}
    return {"cells": cells, "ports": ports, "netnames": {"a_q": {"bits": [4]}, "b_q": {"bits": [6]}}}


@pytest.mark.parametrize(("fan_out", "wire"), [(1, net(1)), (100, net(100)), (5000, WIDEST_NET)])
def test_a_path_is_its_cells_and_its_wires(fan_out: int, wire: float) -> None:
    path = Timing(netlist(fan_out), lambda kind, values: None).paths[0]
    assert path.ns == pytest.approx(CLOCK_TO_Q + net(1) + LUT + wire + SETUP)
    assert (path.begin, path.end[0], path.static) == ("a_q", "b", False)


def test_a_static_register_has_its_cycles() -> None:
    live, static = (Timing(netlist(1), lambda kind, values: None, names).paths[0] for names in ((), ("a_q",)))
    assert static.static
    assert static.ns == pytest.approx(live.ns / SETTLE_CYCLES)


def test_a_module_inside_another_is_as_long_as_flattened() -> None:
    inner = netlist(1)
    inner["ports"]["out"] = {"direction": "output", "bits": [5]}  # the LUT's, beside its register
    borders = Timing(inner, lambda kind, values: None).borders
    ways = {"in": "input", "out": "output"}
    outer = netlist(1)
    outer["cells"]["lut"] |= {"type": "LUT1"}
    outer["cells"]["box"] = {"type": "inner", "port_directions": ways, "connections": {"in": [5], "out": [50]}}
    outer["cells"]["c"] = {"type": "FDRE", "port_directions": {"C": "input", "D": "input", "Q": "output"},
                           "connections": {"C": [2], "D": [50], "Q": [51]}}  # fmt: skip
    found = Timing(outer, lambda kind, values: borders if kind == "inner" else None)
    assert max(path.ns for path in found.paths if path.end == "c") == pytest.approx(
        CLOCK_TO_Q + net(1) + LUT + net(1) + SETUP
    )


def test_modules_keep_to_what_is_committed() -> None:
    """A change that is meant: `python -m tools.rtl.paths --write` writes the figures anew."""
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    units = [paths.parse_unit(name) for name in UNITS]
    found = {paths.unit_name(unit): some[0].ns for unit, some in paths.timed(units).items() if some}
    assert found.keys() <= paths.committed().keys()
    assert paths.complaints(found, paths.committed()) == []


def test_a_longer_path_is_complained_about() -> None:
    assert paths.complaints({"a": 3.0}, {"a": 2.9}) == []
    assert "2.90 ns are committed" in paths.complaints({"a": 3.1}, {"a": 2.9})[0]
    assert "the budget is" in paths.complaints({"new": paths.BUDGET_NS + 0.1}, {})[0]


def test_static_registers_count_by_the_name_that_is_left() -> None:
    """Yosys keeps one name of a wire: that of the register, or one of those behind its `settled`."""
    for name in ("update_context_q", "update_context", "u_update_context.value_i"):
        assert name in paths.static_names("core")
    assert {"pass_word", "pass", "u_settled.value_i"} <= paths.static_names("scheduler")
    assert paths.static_names("commander") == set()


def test_committed_paths_keep_the_budget() -> None:
    assert max(paths.committed().values()) <= paths.BUDGET_NS


def test_the_constraints_name_the_static_registers() -> None:
    text = rtl.engine_constraints().read_text(encoding="utf-8")
    named = set(re.findall(r"(\w+)_reg\*", text))
    counted = {name.rpartition(".")[2] for names in paths.STATIC.values() for name in names}
    assert named == {"read_q" if name == "pass_word" else name for name in counted}
