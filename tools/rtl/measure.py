"""Simulate one image of a size on the full engine and hold it against reference and estimate.

Building takes about a minute.

python -m tools.rtl.measure s m l --lanes 1x32x64 3x16x64 --json build/cycles.json
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from dsodenet.bench.machine import origin
from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.errors import DeviceError
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.cycles import DEVICE_MACS, estimate
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.lanes import lanes_text, with_lanes
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images, random_params
from dsodenet.text import progress_bar, table
from tools import command_line

DEFAULT_LANES = ("1x32x64", "3x16x64", "4x16x64@2")

KINDS = {
    "cycles, latency_us at the assumed clock": "simulated",
    "simulated_cycles_per_s": "measured",
    "macs": "counted",
}


def measure(spec: Spec) -> dict[str, Any]:
    """Figures of one simulated image, batch 1, from its pixels to its logits.

    DeviceError where reference or estimate differ.
    """
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
        "latency_us": driver.cycles / expected.clock_mhz,
        "simulated_cycles_per_s": driver.cycles / seconds,
    } | {key: figures[key] for key in same}


HEADER = ("size", "solver", "lanes", "cycles", "array busy", "MAC/cycle", "of own peak", "of device", "simulated/s")


def text(result: dict[str, Any]) -> str:
    rows = [
        (
            row["size"],
            f"{row['solver']} N={row['n_steps']}",
            row["lanes"],
            f"{row['cycles']:,}",
            f"{row['occupancy_in_ode_blocks']:.1%}",
            f"{row['macs_per_cycle']:,.0f}",
            f"{row['share_of_own_peak']:.1%}",
            f"{row['share_of_device']:.1%}",
            f"{row['simulated_cycles_per_s']:,.0f}",
        )
        for row in result["rows"]
    ]
    about = (
        f"cycles: simulated; of device: of {DEVICE_MACS:,} MAC per cycle of one DSP clock, which @2 may exceed;\n"
        "  simulated/s: cycles per second, measured"
    )
    return f"{table(HEADER, rows)}\n{about}"


def work(args: argparse.Namespace) -> Values:
    specs = [Spec.load(size) for size in args.sizes]
    variants = []
    for lanes in args.lanes:
        for spec in specs:
            variants.append(with_lanes(spec, lanes, "rtl"))
            if spec.name == "l":
                variants.append(variants[-1].with_solver("rk4", 3))
    rows = []
    with progress_bar("measure", len(variants), args.quiet) as step:
        for variant in variants:
            step(f"{variant.name} on {lanes_text(variant.kernel)}")
            rows.append(measure(variant))
    head = origin("python -m tools.rtl.measure", KINDS, "verilator")
    return Values(head | {"device_macs_per_cycle": DEVICE_MACS, "rows": rows}, text)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.measure", __doc__)
    parser.add_argument("sizes", nargs="+", help="xs, s, m, l or a spec JSON file")
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=DEFAULT_LANES)
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
