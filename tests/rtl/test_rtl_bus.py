"""The contract on the buses of the rtl kernel: each cocotb test of tests/rtl on the Verilated engine."""

from __future__ import annotations

import pytest

from dsodenet.errors import ToolError
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from tests.bus import cocotb_runner as bus
from tests.models import kernel

pytestmark = pytest.mark.slow

try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
LANES = "1x4x8"


@pytest.fixture(scope="module")
def results() -> dict[str, list[str]]:
    engine = Engine.of(kernel(LANES))
    folder, sources = bus.engine_build(engine)
    return bus.run("rtl", rtl.ENGINE_TOP, sources, folder, {"DSODENET_LANES": LANES}, rtl.engine_parameters(engine))


@pytest.mark.parametrize("name", bus.names("rtl"))
def test_bus(name: str, results: dict[str, list[str]]) -> None:
    assert results[name] == []
