"""Many calls and many opens on the simulated board: every word right, and neither memory nor handles grow.

python -m tools.endure --calls 1000000 --opens 2000    (an hour; the defaults take minutes)
"""

from __future__ import annotations

import argparse
import gc
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet import Accelerator
from dsodenet.command import Values
from dsodenet.errors import InputError
from dsodenet.reference import Reference
from dsodenet.spec import Spec, random_images, random_params
from dsodenet.text import progress_bar, table
from tools import command_line

GROWTH_BYTES = 2 << 20  # of the process in the second half; in the first, pools of memory fill
CHUNKS = 20
IMAGES = 4


def held() -> dict[str, int]:
    """Bytes of the process, and its open files."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"bytes": pages * mmap.PAGESIZE, "files": len(os.listdir("/proc/self/fd"))}


def repeated(once: Callable[[int], int], times: int, step: Callable[[str], None], what: str) -> dict[str, Any]:
    """Do something many times: wrong words, and what is held at half and at the end."""
    wrong, done, before = 0, 0, held()
    for chunk in range(1, CHUNKS + 1):
        while done < times * chunk // CHUNKS:
            wrong += once(done)
            done += 1
        if chunk == CHUNKS // 2:
            before = held()
        step(f"{done} {what}")
    after = held()
    ok = not wrong and after["bytes"] - before["bytes"] <= GROWTH_BYTES and after["files"] <= before["files"]
    return {"what": what, "times": done, "wrong_words": wrong, "before": before, "after": after, "ok": ok}


def work(args: argparse.Namespace) -> Values:
    for name in ("calls", "opens"):
        if getattr(args, name) < CHUNKS:
            raise InputError(f"{name} is {getattr(args, name)}, but it must be {CHUNKS} or more")
    data = Spec.named("xs").to_dict()
    data["network"] |= {"channels": [3, 4], "height": 8, "width": 8, "time": "bias"}
    data["solver"]["n_steps"] = [1, 1]
    params = random_params(Spec.from_dict(data), 1)
    images = random_images(params.spec, IMAGES, 2)
    expected = Reference(params).predict(images)

    def opened(number: int) -> int:
        backend = ("zcu104-sim", "cpu")[number % 2]
        options = {"simulate_with": "reference"} if backend == "zcu104-sim" else {}
        with Accelerator(params, backend, **options) as accelerator:
            return int((accelerator.predict(images[:1]) != expected[:1]).sum())

    with progress_bar("endure", 2 * CHUNKS, args.quiet) as step:
        with Accelerator(params, "zcu104-sim", simulate_with="reference") as accelerator:

            def called(number: int) -> int:
                count = number % IMAGES + 1
                return int(np.count_nonzero(accelerator.predict(images[:count]) != expected[:count]))

            rows = [repeated(called, args.calls, step, "calls")]
        rows.append(repeated(opened, args.opens, step, "opens"))
    return Values({"rows": rows, "ok": all(row["ok"] for row in rows)}, text)


def text(result: dict[str, Any]) -> str:
    header = ("what", "times", "wrong words", "MiB at half", "MiB at the end", "files", "result")
    rows = [
        (
            row["what"],
            row["times"],
            row["wrong_words"],
            *(f"{row[key]['bytes'] / 2**20:.1f}" for key in ("before", "after")),
            f"{row['before']['files']} -> {row['after']['files']}",
            "no growth" if row["ok"] else "GROWS",
        )
        for row in result["rows"]
    ]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.endure", __doc__)
    parser.add_argument("--calls", type=int, default=20_000, metavar="N", help="on one open board (default 20000)")
    parser.add_argument("--opens", type=int, default=400, metavar="N", help="boards opened and closed (default 400)")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
