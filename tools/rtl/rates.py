"""Simulated cycles per second of one engine and one model: the rtl backend's C++ harness against cocotb's drivers.

Measured here.

python -m tools.rtl.rates --lanes 1x4x8
"""

from __future__ import annotations

import argparse
import sys
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.errors import DeviceError
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.synthetic import random_images
from dsodenet.text import table
from tests.bus import cocotb_runner as bus
from tests.models import MODELS, kernel, on
from tools import command_line

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
        raise DeviceError("the logits differ from the reference")
    driver.close()
    return (driver.cycles or 0) / seconds


def cocotb(lanes: str) -> float:
    engine = Engine.of(kernel(lanes))
    folder, sources = bus.engine_build(engine)
    failed = bus.run(
        "rtl", rtl.ENGINE_TOP, sources, folder, {"DSODENET_LANES": lanes}, rtl.engine_parameters(engine), only=CASE
    )[CASE]
    if failed:
        raise DeviceError("; ".join(failed))
    properties = {
        item.get("name"): item.get("value") for item in ElementTree.parse(folder / bus.REPORT).iter("property")
    }
    return float(properties["sim_time_ratio"] or 0) / CLOCK_NS  # simulated ns per second


def work(args: argparse.Namespace) -> Values:
    rates = {"C++ harness": harness(args.lanes), "cocotb": cocotb(args.lanes)}
    return Values({"kind": "measured", "lanes": args.lanes, "cycles_per_s": rates}, text)


def text(result: dict[str, Any]) -> str:
    rates = result["cycles_per_s"]
    rows = table(("simulation", "cycles/s"), [(name, f"{rate:,.0f}") for name, rate in rates.items()])
    ratio = rates["C++ harness"] / rates["cocotb"]
    return f"{rows}\nratio {ratio:.1f}, {result['lanes']} lanes, measured on this machine"


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.rates", __doc__)
    parser.add_argument("--lanes", type=checked_lanes, default="1x4x8")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
