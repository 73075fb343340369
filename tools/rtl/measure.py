"""Simulate one image of a size on the full engine and hold it against reference and estimate; building takes about a minute.

python -m tools.rtl.measure s m l --lanes 1x32x64 3x16x64 --json build/cycles.json
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.bench import Parser
from dsodenet.bench.machine import origin
from dsodenet.bench.output import exit_status
from dsodenet.cli.arguments import checked_lanes
from dsodenet.errors import DeviceError
from dsodenet.files import write_json
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.cycles import DEVICE_MACS, estimate
from dsodenet.runs import check_output
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.lanes import with_lanes
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images, random_params

DEFAULT_LANES = ("1x32x64", "3x16x64")
KINDS = {
    "cycles, latency_us at the assumed clock": "simulated",
    "simulated_cycles_per_s": "measured",
    "macs": "counted",
}


def measure(spec: Spec) -> dict[str, Any]:
    """Figures of one simulated image, batch 1, from its pixels to its logits; DeviceError where reference or estimate differ."""
    params = random_params(spec, 1)
    images = random_images(spec, 1, 1)
    driver = KernelDriver(LibraryTransport(rtl.engine_library(spec.kernel)), params)
    start = time.monotonic()
    logits = driver.predict(images)
    seconds = time.monotonic() - start
    driver.close()
    expected = estimate(params)
    if not np.array_equal(logits, Reference(params).predict(images)):
        raise DeviceError(f"{spec.name}: the logits differ from the reference")
    if driver.cycles != expected.command_cycles(1):
        raise DeviceError(
            f"{spec.name}: simulated {driver.cycles} cycles, but the estimate is {expected.command_cycles(1)}"
        )
    figures = expected.to_dict()
    same = (
        "lanes",
        "assumed_clock_mhz",
        "macs",
        "macs_per_cycle",
        "share_of_own_peak",
        "share_of_device",
        "occupancy_in_ode_blocks",
    )
    return {
        "size": spec.name,
        "solver": spec.solver.method,
        "n_steps": spec.solver.n_steps[0],
        "cycles": driver.cycles,
        "latency_us": driver.cycles / spec.kernel.clock_mhz,
        "simulated_cycles_per_s": driver.cycles / seconds,
    } | {key: figures[key] for key in same}


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    return (
        f"| {row['size']} | {row['solver']} N={row['n_steps']} | {row['lanes']} | {row['cycles']:,} "
        f"| {row['occupancy_in_ode_blocks']:.1%} | {row['macs_per_cycle']:,.0f} | {row['share_of_own_peak']:.1%} "
        f"| {row['share_of_device']:.1%} | {row['simulated_cycles_per_s']:,.0f} |"
    )


def work(arguments: list[str] | None) -> int:
    parser = Parser(
        prog="python -m tools.rtl.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="+", help="xs, s, m, l or a spec JSON file")
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=DEFAULT_LANES)
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures to a file")
    options = parser.parse_args(arguments)
    if options.json:
        check_output(options.json, ".json")
    specs = [Spec.load(size) for size in options.sizes]
    result = origin("python -m tools.rtl.measure", KINDS, "verilator") | {
        "device_macs_per_cycle": DEVICE_MACS,
        "rows": [],
    }
    print("| size | solver | lanes | cycles (simulated) | array busy | MAC/cycle | of own peak | "
          f"of {DEVICE_MACS:,} | simulated cycles/s |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for lanes in options.lanes:
        for spec in specs:
            variants = [with_lanes(spec, lanes, "rtl")]
            if spec.name == "l":
                variants.append(variants[0].with_solver("rk4", 3))
            for variant in variants:
                result["rows"].append(measure(variant))
                print(line(result["rows"][-1]), flush=True)
    if options.json:
        write_json(result, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("measure", lambda: work(None)))
