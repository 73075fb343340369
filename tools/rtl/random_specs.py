"""Random specs on engines of several lane shapes: logits word for word against the reference, cycles against the closed
form. With GARBAGE the engine shows that it looks at nothing before it is there, and at no word that is being written.

Simulated here by Verilator.

python -m tools.rtl.random_specs --specs 50 --seed 1
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.cycles import estimate
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from dsodenet.text import progress_bar, table
from tests.models import random_model
from tools import command_line

LANES = ("1x4x8", "3x4x8", "2x8x16", "1x16x16", "4x8x8", "4x8x16@2")
IMAGES = 2


def compared(params: Params, seed: int, garbage: bool) -> tuple[int, int, bool]:
    """(words that differ, words, whether the cycles are those of the closed form) of one model."""
    transport = LibraryTransport(rtl.engine_library(params.spec.kernel, **({"GARBAGE": 1} if garbage else {})))
    try:
        driver = KernelDriver(transport, params)
        images = random_images(params.spec, IMAGES, seed)
        expected = Reference(params, threads=1).predict(images)
        differing = int(np.count_nonzero(driver.predict(images) != expected))
        return differing, expected.size, driver.cycles == estimate(params).command_cycles(IMAGES)
    finally:
        transport.close()


def work(args: argparse.Namespace) -> Values:
    rows = []
    with progress_bar("specs", args.specs * len(args.lanes), args.quiet) as step:
        for lanes in args.lanes:
            start, found = time.perf_counter(), []
            for seed in range(args.seed, args.seed + args.specs):
                step(lanes)
                found.append(compared(random_model(seed, lanes), seed, args.garbage))
            differing, words, exact = (sum(values) for values in zip(*found))
            seconds = time.perf_counter() - start
            rows.append(
                {"lanes": lanes, "specs": args.specs, "words": words, "differing": differing, "cycles_exact": exact}
                | {"seconds": round(seconds, 1)}
            )
    ok = all(row["differing"] == 0 and row["cycles_exact"] == row["specs"] for row in rows)
    about = {"kind": "simulated", "seed": args.seed, "garbage": args.garbage, "ok": ok}
    return Values(about | {"rows": rows}, text)


def text(result: dict[str, Any]) -> str:
    columns = ("lanes", "specs", "words", "differing", "cycles_exact", "seconds")
    about = f"simulated by Verilator, seed {result['seed']}{', with GARBAGE' if result['garbage'] else ''}"
    return "\n".join([table(columns, [[row[key] for key in columns] for row in result["rows"]]), about])


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.random_specs", __doc__)
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=LANES)
    parser.add_argument("--specs", type=int, default=50, metavar="N", help="specs on each shape")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first spec; the next ones follow")
    parser.add_argument("--garbage", action="store_true", help="what the hardware leaves open is wrong")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
