"""Builds a simulator of a kernel with Verilator and runs the cocotb tests of the contract on it, once."""

from __future__ import annotations

import hashlib
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine

HERE = Path(__file__).parent
from tests.bus.contract_cases import names  # noqa: E402

runner = pytest.importorskip("cocotb_tools.runner", reason="cocotb is not installed")


REPORT = "results.xml"


def engine_build(engine: Engine) -> tuple[Path, list[Path]]:
    """The folder, kept from run to run, and the sources of a cocotb build of the rtl kernel.

    Its makefiles name files of cocotb and of this checkout, so that another place has a folder of its own.
    """
    place = hashlib.sha256(f"{runner.__file__} {rtl.engine_folder()}".encode()).hexdigest()[:12]
    folder = rtl.build_folder() / f"cocotb-{rtl.key(engine)}-{place}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder, [rtl.engine_folder() / "sim" / "lint.vlt", *rtl.generated_sources(folder), *rtl.engine_sources()]


def run(
    kernel: str,
    top: str,
    sources: Sequence[Path],
    folder: Path,
    environment: Mapping[str, str],
    parameters: Mapping[str, object] | None = None,
    build_args: Sequence[str] = (),
    only: str | None = None,
) -> dict[str, list[str]]:
    """Failure texts of each case of `kernel`, by its name.

    folder: where the build is kept; environment: what bench.py reads;
    only: one case instead of all."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rtl.environment().items():
            patch.setenv(name, value)
        simulator = runner.get_runner("verilator")
        simulator.build(
            sources=list(sources),
            hdl_toplevel=top,
            parameters=dict(parameters or {}),
            build_args=["-O3", "--build-jobs", str(os.cpu_count() or 1), *build_args],
            build_dir=folder,
            timescale=("1ns", "1ps"),
            log_file=folder / "build.log",
        )
        patch.syspath_prepend(HERE.parents[1])  # the runner hands sys.path on
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)  # so that it leaves a report, and does not exit
        report = simulator.test(
            hdl_toplevel=top,
            test_module="tests.bus.tb_contract",
            build_dir=folder,
            test_dir=folder,
            results_xml=REPORT,
            test_filter=only,
            extra_env=dict(environment),
            log_file=folder / "test.log",
        )
    found: dict[str, list[str]] = {name: [f"did not run, see {folder / 'test.log'}"] for name in names(kernel)}
    ran: set[str] = set()
    for case in ElementTree.parse(report).iter("testcase"):
        name = str(case.get("name"))
        key = name if name in found else name.split("/")[0]
        if key not in ran:
            ran.add(key)
            found[key] = []
        found[key] += [
            f"{name}: {item.get('message') or item.text}" for item in case if item.tag in ("failure", "error")
        ]
    return found
