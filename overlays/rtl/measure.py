"""Simulate one image of a size on the full engine and hold it against reference and estimate; building takes about a minute.

python overlays/rtl/measure.py s m l --lanes 1x32x64 3x16x64
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from dsodenet import rtl
from dsodenet.estimate import estimate
from dsodenet.lanes import with_lanes
from dsodenet.reference import Reference
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec import Spec
from dsodenet.synthetic import random_images, random_params


def measure(spec: Spec) -> str:
    params = random_params(spec, 1)
    images = random_images(spec, 1, 1)
    driver = KernelDriver(LibraryTransport(rtl.library(spec.kernel)), params)
    start = time.monotonic()
    logits = driver.predict(images)
    seconds = time.monotonic() - start
    driver.close()
    expected = estimate(params)
    if not np.array_equal(logits, Reference(params).predict(images)):
        raise SystemExit("the logits differ from the reference")
    if driver.cycles != expected.command_cycles(1):
        raise SystemExit(f"simulated {driver.cycles} cycles, but the estimate is {expected.command_cycles(1)}")
    return (
        f"| {spec.name} | {spec.solver.method} N={spec.solver.n_steps[0]} | {expected.to_dict()['lanes']} | {driver.cycles:,} "
        f"| {expected.occupancy:.1%} | {expected.macs_per_cycle:,.0f} | {expected.to_dict()['share_of_own_peak']:.1%} "
        f"| {expected.to_dict()['share_of_device']:.1%} | {driver.cycles / seconds:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="+")
    parser.add_argument("--lanes", nargs="+", default=["1x32x64", "3x16x64"])
    options = parser.parse_args()
    print("| size | solver | lanes | cycles (simulated) | array busy | MAC/cycle | of own peak | of 3,456 | simulated cycles/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for lanes in options.lanes:
        for size in options.sizes:
            spec = with_lanes(Spec.named(size), lanes, "rtl")
            print(measure(spec), flush=True)
            if size == "l":
                print(measure(spec.with_solver("rk4", 3)), flush=True)


if __name__ == "__main__":
    main()
