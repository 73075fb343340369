"""The contract on the buses of the rtl kernel: each cocotb test of tests/rtl on the Verilated engine."""

from __future__ import annotations

import bus
import pytest
from rtl_models import kernel

from dsodenet import rtl
from dsodenet.engine import Engine
from dsodenet.errors import ToolError

try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
LANES = "1x4x8"


@pytest.fixture(scope="module")
def results() -> dict[str, list[str]]:
    engine = Engine.of(kernel(LANES))
    folder, sources = bus.engine_build(engine)
    return bus.run("rtl", rtl.TOP, sources, folder, {"DSODENET_LANES": LANES}, rtl.parameters(engine))


@pytest.mark.parametrize("name", bus.names("rtl"))
def test_bus(name: str, results: dict[str, list[str]]) -> None:
    assert results[name] == []
