"""What the host library costs and how it fails, on the simulated board.

A call is taken apart into steps, which are counted and timed, and estimated for a ZCU104 by declared factors; on a real
board the same steps are measured instead. Then come waiting, many calls of random shapes on one accelerator, every
fault, and what pynq reads of the hand-off file.
"""

from __future__ import annotations

import argparse
import dataclasses
import mmap
import random
import re
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pynq

from dsodenet.bench.host_share import (
    HostShare,
    InstantKernel,
    host_share,
    open_instant,
    pixel_sums,
    shortest_us,
    steps_of,
    waiting,
)
from dsodenet.bench.machine import origin
from dsodenet.bench.published import (
    A53_PYTHON_FACTOR,
    A53_PYTHON_SOURCE,
    BUS_SOURCE,
    BUS_US,
    CLEAN_SOURCE,
    CLEAN_US,
    FINN_CALL_US,
    FINN_SOURCE,
    FLUSH_SOURCE,
    FLUSH_US,
)
from dsodenet.command import Values
from dsodenet.contract import Kind, block_design
from dsodenet.errors import InputError
from dsodenet.runtime import POLL, SPIN_S, Accelerator
from dsodenet.runtime import WAITS as WAYS
from dsodenet.runtime.simulated import FAULTS, SimulatedZcu104, trial, write_overlay
from dsodenet.spec import Params, Spec, random_images, random_params
from dsodenet.text import paragraph, table

SPECS = ("xs", "s", "m")
BATCHES = (1, 8, 256)
LAYOUTS = ("nchw", "nhwc")
CODES = {"python": False, "native": None}  # what makes the calls, as Accelerator's `native`
KERNELS_S = (20e-6, 86e-6, 500e-6, 5e-3)  # 86 us: `s` on the rtl kernel
ROUNDS = 4
WAITS = 100  # timed commands of each
MANY_BATCH = 9  # the largest of the many calls
WARM_CALLS = 50  # after which memory must not grow, once every shape was seen
FAULT_TIMEOUT_S = 0.25
BOARDS = ("sim", "zcu104")


def calls(repeats: int) -> list[dict[str, Any]]:
    """A call in steps, for each spec, batch and order of the axes, and its estimate for a Cortex-A53.

    Where native code makes calls, there is a row of it, too. Everything is measured in several rounds, since others may
    slow this machine down for seconds.
    """
    found: dict[tuple[str, int, str, str], HostShare] = {}
    for _, name, batch, layout, code in product(range(ROUNDS), SPECS, BATCHES, LAYOUTS, CODES):
        params, key = random_params(Spec.named(name), 1), (name, batch, layout, code)
        images = random_images(params.spec, batch, 0)
        share = host_share(params, images, max(3, repeats // batch), layout, CODES[code])
        if share.native == (code == "native") and (key not in found or share.us < found[key].us):
            found[key] = share
    rows = []
    for (name, batch, layout, code), share in found.items():
        low, used, high = (share.a53_us(factor) for factor in A53_PYTHON_FACTOR)
        rows.append(
            {
                "spec": name,
                "batch": batch,
                "layout": layout,
                "code": code,
                "accesses": share.accesses,
                "python_steps": share.python_steps,
                "us": share.us,
                "steps_us": share.steps_us,
                "a53_us": {"low": low, "used": used, "high": high},
            }
        )
    return rows


def assumptions() -> dict[str, Any]:
    """What the estimates for a ZCU104 are made of."""
    return {
        "python_factor": list(A53_PYTHON_FACTOR),
        "python_source": A53_PYTHON_SOURCE,
        "bus_us": BUS_US,
        "bus_source": BUS_SOURCE,
        "flush_us": FLUSH_US,
        "flush_source": FLUSH_SOURCE,
        "clean_us": CLEAN_US,
        "clean_source": CLEAN_SOURCE,
        "finn_call_us": FINN_CALL_US,
        "finn_source": FINN_SOURCE,
    }


def waits(params: Params) -> dict[str, Any]:
    """How long after its end a kernel is seen to be done, and what the processor does meanwhile."""
    return {
        "sleep_20_us": shortest_us(lambda: time.sleep(20e-6), 20),
        "rows": [
            dataclasses.asdict(waiting(params, kernel_s, WAITS, wait))
            for kernel_s, wait in product(KERNELS_S, WAYS)
            if wait == POLL or kernel_s > SPIN_S
        ],
    }


def endurance(params: Params, repeats: int, seed: int = 1) -> dict[str, Any]:
    """Many calls of random sizes and orders on one accelerator: every word, and memory and buffers before and after.

    One call in eight goes through `stream`.
    """
    device, accelerator = open_instant(params)
    rng = random.Random(seed)
    images = random_images(params.spec, 4 * MANY_BATCH, 3)
    expected = pixel_sums(images, params.spec.network.num_classes)
    orders = {"nchw": images, "nhwc": np.ascontiguousarray(images.transpose(0, 2, 3, 1))}
    with accelerator:
        for count in range(1, MANY_BATCH + 1):  # every shape is seen
            for layout, given in orders.items():
                accelerator.predict(given[:count], layout)
            list(accelerator.stream([images[:count], images[:count]]))
        tracemalloc.start()
        try:
            different = 0
            for done in range(repeats + WARM_CALLS):
                if done == WARM_CALLS:
                    before = memory(device)
                count, start = rng.randint(1, MANY_BATCH), rng.randrange(3 * MANY_BATCH)
                if rng.random() < 0.125:
                    (logits,) = accelerator.stream([images[start : start + count]])
                else:
                    layout = rng.choice(LAYOUTS)
                    logits = accelerator.predict(orders[layout][start : start + count], layout)
                different += int((logits != expected[start : start + count]).sum())
            after = memory(device)
        finally:
            tracemalloc.stop()
    return {
        "calls": repeats,
        "seed": seed,
        "wrong_words": different,
        "before": before,
        "after": after,
        "buffers_after_close": len(device.board.ddr.live),
    }


def memory(device: SimulatedZcu104) -> dict[str, int]:
    """Bytes that Python holds, bytes that the process occupies, and buffers on the board."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "python": tracemalloc.get_traced_memory()[0],
        "process": pages * mmap.PAGESIZE,
        "buffers": len(device.board.ddr.live),
    }


def hand_off() -> list[dict[str, Any]]:
    """What the real pynq.Overlay makes of the generated .bit and .hwh of both kernels."""
    with tempfile.TemporaryDirectory() as folder:
        return [row for kind in Kind for row in _hand_off(Path(folder), kind)]


def _hand_off(folder: Path, kind: Kind) -> list[dict[str, Any]]:
    bit = write_overlay(block_design(f"host_{kind.name.lower()}", kind, 200.0), "kernel_0", folder)
    engine = InstantKernel(random_params(Spec.named("xs"), 0))
    engine.kind = kind  # nothing is run
    overlay = pynq.Overlay(str(bit), device=SimulatedZcu104(engine))
    return [
        {
            "kernel": kind.name.lower(),
            "instance": name,
            "type": ip["type"],
            "address": ip["phys_addr"],
            "bytes": ip["addr_range"],
            "registers": len(ip["registers"]),
            "bound_to": type(getattr(overlay, name)).__name__,
            "clock_mhz": overlay.clock_dict[0]["frequency"],
        }
        for name, ip in overlay.ip_dict.items()
        if "phys_addr" in ip
    ]


def measure(repeats: int, many: int) -> dict[str, Any]:
    """Everything that this module shows, on the simulated board.

    repeats: timed runs of a step at batch 1; many: calls that must leave nothing behind.
    """
    small = random_params(
        dataclasses.replace(Spec.named("xs"), network=dataclasses.replace(Spec.named("xs").network, time="bias")), 1
    )
    kinds = {
        "us, microseconds, seconds, bytes": "measured, of a simulated board",
        "accesses, python_steps, calls, buffers": "counted",
        "a53_us": "estimated",
    }
    return origin("dsodenet study host", kinds, "numpy", "pynq") | {
        "calls": calls(repeats),
        "assumptions": assumptions(),
        "waiting": waits(small),
        "endurance": endurance(small, many),
        "fault_timeout_s": FAULT_TIMEOUT_S,
        "faults": [dataclasses.asdict(trial(name, small, FAULT_TIMEOUT_S)) for name in FAULTS],
        "hand_off": hand_off(),
    }


def measure_board(overlay: Path, repeats: int) -> dict[str, Any]:
    """The steps of a call on the real board, with the kernel's own time in `wait`."""
    rows = []
    for code, native in CODES.items():
        with Accelerator(overlay, "zcu104", native=native) as accelerator:
            for batch, layout in product(BATCHES, LAYOUTS):
                images = random_images(accelerator.params.spec, batch, 0)
                pixels = images if layout == "nchw" else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
                steps = steps_of(accelerator, pixels, layout, max(3, repeats // batch))
                if ("native" in steps) == (code == "native"):
                    row = {"spec": accelerator.params.spec.name, "batch": batch, "layout": layout, "code": code}
                    rows.append(row | {"us": sum(steps.values()), "steps_us": steps})
    kinds = {"us": "measured, on the board"}
    return origin("dsodenet study host --board zcu104", kinds, "numpy", "pynq") | {"calls": rows}


def text(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    found = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    rows = result["calls"]
    columns = {"spec": "", "batch": "", "layout": "", "code": ""}
    names = dict.fromkeys(name for row in rows for name in row["steps_us"])
    steps = [dict.fromkeys(names) | {key: row[key] for key in columns} | row["steps_us"] for row in rows]
    shown_steps = _table(steps, columns | dict.fromkeys(names, ".2f"))
    if "assumptions" not in result:
        parts = [
            f"measured on the board, {result['cpu']}, {found}: microseconds of the steps of a call, the kernel's time "
            "under `wait`; the shortest of many",
            shown_steps,
        ]
        return "\n".join(part if "\n" in part else paragraph(part) for part in parts)
    about, many = result["assumptions"], result["endurance"]
    before, after = many["before"], many["after"]
    totals = [row | {f"a53_{name}": value for name, value in row["a53_us"].items()} for row in rows]
    low, used, high = about["python_factor"]
    parts = [
        f"a call outside the kernel. Counted: register accesses, and bytecode instructions of Python. Measured on "
        f"{result['cpu']}, {found}, with registers in memory and a kernel that is done at once: µs, the shortest of "
        "many. Estimated for a ZCU104: a53",
        _table(
            totals,
            columns
            | {"accesses": "", "python_steps": "", "us": ".1f", "a53_low": ".0f", "a53_used": ".0f", "a53_high": ".0f"},
        ),
        f"a53: {low:g}, {used:g} and {high:g} times our µs ({about['python_source']}); {about['bus_us']:g} µs for each "
        f"access ({about['bus_source']}); {about['clean_us']:g} µs ({about['clean_source']}); and from Python "
        f"{about['flush_us']:g} µs ({about['flush_source']}). For comparison {about['finn_call_us']:g} µs: "
        f"{about['finn_source']}",
        "microseconds here by step",
        shown_steps,
        "how a kernel is waited for: how late its end is seen (the median), and the processor's share of the time; "
        f"time.sleep of 20 µs takes {result['waiting']['sleep_20_us']:.0f} µs here, and what stands for the kernel's "
        "interrupt is late by as much",
        _table(result["waiting"]["rows"], {"kernel_us": ".0f", "wait": "", "late_us": ".1f", "cpu": ".0%"}),
        f"{many['calls']} calls of random sizes and orders: {many['wrong_words']} wrong words; Python holds "
        f"{before['python']:,} bytes before and {after['python']:,} after, the process {before['process']:,} and "
        f"{after['process']:,}; {before['buffers']} buffers before, {after['buffers']} after, "
        f"{many['buffers_after_close']} once closed",
        f"faults, with a time limit of {result['fault_timeout_s']:g} s",
        _table(
            result["faults"],
            {"fault": "", "exception": "", "seconds": ".3f", "wrong_logits": "", "next_call_right": ""},
        ),
        *(f"{row['fault']}: {row['text'] or 'raises nothing; validate finds it'}" for row in result["faults"]),
        "pynq.Overlay on the generated .hwh",
        _table(
            result["hand_off"],
            {"instance": "", "type": "", "address": "#x", "registers": "", "bound_to": "", "clock_mhz": ".1f"},
        ),
    ]
    return "\n".join(part if "\n" in part else paragraph(part) for part in parts)


def _table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    """columns: key -> format."""
    cells = [
        [
            "-" if row[key] in (None, "") else format(row[key], how) if how else str(row[key])
            for key, how in columns.items()
        ]
        for row in rows
    ]
    return table([re.sub("(_|^)us$", " µs", key).strip() for key in columns], cells)


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study host`."""
    if args.repeats < 1 or args.many < 1:
        raise InputError(f"repeats is {args.repeats} and many {args.many}, but both must be at least 1")
    if args.board not in BOARDS:
        raise InputError(f"board is {args.board!r}, but it must be one of {', '.join(BOARDS)}")
    warnings.filterwarnings("ignore", message="Unsupported register size", module="pynq")
    if args.board == "zcu104":
        if args.overlay is None:
            raise InputError("board zcu104 needs --overlay FILE.bit, with its .hwh and .json beside it")
        return Values(measure_board(args.overlay, args.repeats), text)
    if args.overlay is not None:
        raise InputError("--overlay is for --board zcu104; the simulated board makes its own")
    result = measure(args.repeats, args.many)
    ok = not result["endurance"]["wrong_words"] and all(row["next_call_right"] for row in result["faults"])
    return Values(result | {"ok": ok}, text)
