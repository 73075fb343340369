"""Simulated cycles per second of one engine and one model: the rtl backend's C++ harness against cocotb's drivers.

Measured here.

python -m tools.rtl.rates --lanes 1x4x8
"""

from __future__ import annotations

import argparse
import time
import xml.etree.ElementTree as ElementTree

import numpy as np

from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.synthetic import random_images
from dsodenet.text import table
from tests.bus import cocotb_runner as bus
from tests.models import MODELS, kernel, on

CASE = "frames_without_a_pause"
CLOCK_NS = 5  # of the cocotb bench
IMAGES = 20


def harness(lanes: str) -> float:
    params = on(MODELS["plain"], lanes)
    transport = LibraryTransport(rtl.engine_library(params.spec.kernel))
    driver = KernelDriver(transport, params)
    images = random_images(params.spec, IMAGES, 1)
    start = time.perf_counter()
    logits = driver.predict(images)
    seconds = time.perf_counter() - start
    if not np.array_equal(logits, Reference(params).predict(images)):
        raise SystemExit("the logits differ from the reference")
    driver.close()
    return (driver.cycles or 0) / seconds


def cocotb(lanes: str) -> float:
    engine = Engine.of(kernel(lanes))
    folder, sources = bus.engine_build(engine)
    failed = bus.run(
        "rtl", rtl.ENGINE_TOP, sources, folder, {"DSODENET_LANES": lanes}, rtl.engine_parameters(engine), only=CASE
    )[CASE]
    if failed:
        raise SystemExit("; ".join(failed))
    properties = {
        item.get("name"): item.get("value") for item in ElementTree.parse(folder / bus.REPORT).iter("property")
    }
    return float(properties["sim_time_ratio"] or 0) / CLOCK_NS  # simulated ns per second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", default="1x4x8")
    lanes = parser.parse_args().lanes
    rates = {"C++ harness": harness(lanes), "cocotb": cocotb(lanes)}
    print(table(("simulation", "cycles/s"), [(name, f"{rate:,.0f}") for name, rate in rates.items()]))
    print(f"ratio {rates['C++ harness'] / rates['cocotb']:.1f}, {lanes} lanes, measured on this machine")


if __name__ == "__main__":
    main()
