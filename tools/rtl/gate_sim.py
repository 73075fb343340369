"""Gate-level simulation: Yosys reads a small engine, breaks it down to gates (memories stay), and random models run
on the netlist.

python -m tools.rtl.gate_sim --lanes 1x4x4 --models 6
python -m tools.rtl.gate_sim --lanes 2x4x4@2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.errors import DeviceError, ToolError
from dsodenet.files import how_to_install
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from dsodenet.text import progress_bar, table
from tests.models import kernel, random_model
from tools import command_line

GATES = (
    "proc; flatten; opt -fast; wreduce; alumacc; opt -fast; memory_dff; memory_collect; techmap; simplemap; opt -fast; "
    "clean -purge"
)
# A netlist has none of the habits that lint asks for.
QUIET = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-UNOPTFLAT"]


def build(engine: Engine, folder: Path) -> Path:
    try:
        from pyosys import libyosys
    except ImportError as error:
        raise ToolError(f"pyosys is not installed ({error}); {how_to_install('rtl')} brings it") from None
    files = " ".join(map(str, [*rtl.generated_sources(folder), *rtl.engine_sources()]))
    values = " ".join(f"-G {name}={value}" for name, value in rtl.engine_parameters(engine).items())
    netlist, design = folder / "gates.v", libyosys.Design()
    for command in (f"read_slang --top {rtl.ENGINE_TOP} {values} {files}", GATES, f"write_verilog -noattr {netlist}"):
        libyosys.run_pass(command, design)
    words = sum(netlist.read_text(encoding="utf-8").count(operator) for operator in (" + ", " * ", " >>> "))
    if words:
        raise ToolError(f"{words} arithmetic operators are left in the netlist")
    rtl.compile_library(rtl.verilator(), folder, [*QUIET, str(netlist)], engine.double_pumped)
    return folder / rtl.LIBRARY


def check(params: Params, library: Path) -> int:
    driver = KernelDriver(LibraryTransport(library), params)
    images = random_images(params.spec, 1, 1)
    same = np.array_equal(driver.predict(images), Reference(params).predict(images))
    driver.close()
    if not same:
        raise DeviceError(f"the netlist differs from the reference: {params.spec}")
    return driver.cycles or 0


def work(args: argparse.Namespace) -> Values:
    # Memories as small as the models allow: they are no gates, and cost simulation time.
    engine = replace(Engine.of(kernel(args.lanes)), map_words=2048, pw_words=2048, bias_words=2048, dw_words=256)
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="dsodenet-gates-") as folder,
        progress_bar("gates", args.models + 1, args.quiet) as step,
    ):
        start = time.monotonic()
        step("netlist")
        library = build(engine, Path(folder))
        seconds = time.monotonic() - start
        for seed in range(args.models):
            step(f"model {seed}")
            params = random_model(seed, args.lanes)
            start = time.monotonic()
            rows.append({"seed": seed, "cycles": check(params, library), "seconds": time.monotonic() - start})
    return Values({"kind": "simulated", "lanes": args.lanes, "netlist_seconds": seconds, "models": rows}, text)


def text(result: dict[str, Any]) -> str:
    rows = [(row["seed"], f"{row['cycles']:,}", f"{row['seconds']:.1f}", "bit-exact") for row in result["models"]]
    models = table(("model", "cycles", "seconds", "result"), rows)
    return f"netlist built in {result['netlist_seconds']:.0f} s\n{models}"


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.gate_sim", __doc__)
    parser.add_argument("--lanes", type=checked_lanes, default="1x4x4")
    parser.add_argument("--models", type=int, default=6)
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
