"""Runs the cocotb tests of tests/rtl on the Verilated engine, once, and reports each of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from rtl_models import kernel

from dsodenet import rtl
from dsodenet.engine import Engine
from dsodenet.errors import ToolError

runner_module = pytest.importorskip("cocotb_tools.runner", reason="cocotb is not installed")
try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
HERE = Path(__file__).parent
LANES = "1x4x8"
TESTS = re.findall(r"async def (\w+)\(dut", (HERE / "rtl" / "tb_engine.py").read_text(encoding="utf-8"))
TESTS.remove("started")


@pytest.fixture(scope="module")
def results() -> dict[str, list[str]]:
    """Failure texts of each cocotb test, by the name of its function."""
    engine = Engine.of(kernel(LANES))
    build = rtl.build_folder() / f"cocotb-{rtl.key(engine)}"
    build.mkdir(parents=True, exist_ok=True)
    packages = rtl.generate(build)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rtl.environment().items():
            patch.setenv(name, value)
        runner = runner_module.get_runner("verilator")
        runner.build(
            sources=[rtl.engine_folder() / "lint.vlt", *packages, *rtl.sources()],
            hdl_toplevel=rtl.TOP,
            parameters=rtl.parameters(engine),
            build_args=["-O3"],
            build_dir=build,
            timescale=("1ns", "1ps"),
            log_file=build / "build.log",
        )
        patch.syspath_prepend(HERE / "rtl")  # the runner hands sys.path on
        patch.delenv("PYTEST_CURRENT_TEST")  # so that it leaves a report, and does not exit
        report = runner.test(
            hdl_toplevel=rtl.TOP,
            test_module="tb_engine",
            build_dir=build,
            test_dir=build,
            extra_env={"DSODENET_LANES": LANES},
            log_file=build / "test.log",
        )
    found: dict[str, list[str]] = {name: [] for name in TESTS}
    ran = set()
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "").split("/")[0]
        ran.add(name)
        found.setdefault(name, [])
        found[name] += [
            f"{case.get('name')}: {item.get('message') or item.text}" for item in case if item.tag in ("failure", "error")
        ]
    for name in set(TESTS) - ran:
        found[name].append(f"{name} did not run, see {build / 'test.log'}")
    return found


@pytest.mark.parametrize("name", TESTS)
def test_bus(name: str, results: dict[str, list[str]]) -> None:
    assert results[name] == []
