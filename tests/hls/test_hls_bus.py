"""The contract on the buses of the hls kernel: the cocotb tests of the rtl kernel on the lowered C++, which is not
cycle-accurate.

With `--vitis-run RUN`, the folder of a run whose overlay was built with kernel hls, they also run on the Verilog that
Vitis HLS made.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.contract import registers
from dsodenet.contract.registers import Command, Status
from dsodenet.errors import ToolError
from dsodenet.files import source_folder
from dsodenet.hls.concurrent import concurrent_library
from dsodenet.hls.lowering import lowered_folder
from dsodenet.ladder import verify
from dsodenet.rtl import build as rtl
from dsodenet.runs import Run
from dsodenet.spec.solvers import TABLEAUS
from tests.bus import cocotb_runner as bus
from tests.hls.test_lower import Kernel, packed

try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.usefixtures("compiler")
TOP = "hls_kernel"
SHIM = bus.HERE / f"{TOP}.sv"
CSIM = bus.HERE / "hls_csim.sv"


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    """A lowered run of xs with a time table, and images that saturate its state."""
    run = tmp_path_factory.mktemp("timed") / "run"
    return run, make_run(CASES["xs_timed"].spec("xs_timed"), run, seed=0)


@pytest.fixture(scope="module")
def csim(timed: tuple[Path, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return simulated(timed[0], Run(timed[0]).csim, (), tmp_path_factory.mktemp("csim"))


@pytest.fixture(scope="module")
def concurrent(timed: tuple[Path, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    pytest.importorskip("tree_sitter_cpp")
    library, scheduler = concurrent_library(timed[0]), source_folder("hls") / "csim" / "concurrent"
    return simulated(timed[0], library, (scheduler,), tmp_path_factory.mktemp("concurrent"))


def simulated(run: Path, library: Path, includes_first: tuple[Path, ...], folder: Path) -> dict[str, list[str]]:
    """The bus tests on a library of the lowered C++."""
    hls = lowered_folder(run)
    package = folder / "dsodenet_registers_pkg.sv"
    package.write_text(registers.sv_package(), encoding="utf-8")
    places = [*includes_first, *(hls / part for part in ("", "include", "include/csim", "include/ap_types"))]
    arguments = [
        "-Wno-SYMRSVDWORD",
        str(CSIM.with_suffix(".cpp")),
        "-CFLAGS",
        " ".join(f"-I{place}" for place in places),
        "-LDFLAGS",
        f"{library} -Wl,-rpath,{hls}",
    ]
    return bus.run("hls", TOP, [package, CSIM, SHIM], folder, {"DSODENET_RUN": str(run)}, build_args=arguments)


@pytest.fixture(scope="module")
def vitis(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    run, folder = Path(pytestconfig.getoption("vitis_run")).resolve(), tmp_path_factory.mktemp("vitis")
    verilog = Run(run).overlay / "hls" / "kernel" / "ip" / "hdl" / "verilog"
    sources = sorted(verilog.glob("*.v"))
    assert sources, f"{verilog}: no Verilog here; run `dsodenet overlay {run} --kernel hls`"
    for table in verilog.glob("*.dat"):
        shutil.copy(table, folder)  # $readmemh looks in the working folder
    return bus.run(
        "hls", TOP, [*sources, SHIM], folder, {"DSODENET_RUN": str(run)}, build_args=["-Wno-fatal", "-Wno-lint"]
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        metafunc.parametrize(
            "kernel", ["csim", "concurrent", *(["vitis"] if metafunc.config.getoption("vitis_run") else [])]
        )


@pytest.mark.parametrize("name", bus.names("hls"))
def test_bus(kernel: str, name: str, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(kernel)[name] == []


@pytest.mark.parametrize(("method", "n_steps"), [*((method, n) for method in TABLEAUS for n in (1, 2, 7)), ("rk4", 32)])
def test_every_solver_runs_on_one_build(timed: tuple[Path, NDArray[np.uint8]], method: str, n_steps: int) -> None:
    run, images = timed
    rungs = verify(run, ("torch", "csim", "zcu104-sim"), images[:2], method=method, n_steps=n_steps).rungs
    assert [(rung.backend, rung.differing) for rung in rungs] == [("torch", 0), ("csim", 0), ("zcu104-sim", 0)]


def test_timed_kernel_wants_its_tables(timed: tuple[Path, NDArray[np.uint8]]) -> None:
    kernel = Kernel(timed[0])
    data = packed(timed[1][:1], kernel.params)
    assert kernel.command(Command.RUN, data)[0] == Status.NOT_LOADED
    assert kernel.command(Command.LOAD, data)[0] in (Status.SHORT_INPUT, Status.LONG_INPUT)
    assert kernel.command(Command.RUN, data)[0] == Status.NOT_LOADED
    kernel.library.close()
