"""What the host library costs and how it fails, on the simulated board.

Counted are the register accesses of a call; timed is what a call costs outside the kernel. The same is estimated for a
ZCU104. Then come many calls on one accelerator, every fault, and what pynq reads of the hand-off file.
"""

from __future__ import annotations

import argparse
import dataclasses
import mmap
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pynq

from dsodenet.bench.host_share import InstantKernel, host_share, open_instant
from dsodenet.bench.machine import origin
from dsodenet.bench.published import ACCESS_SOURCE, ACCESS_US, FINN_CALL_US, FINN_SOURCE
from dsodenet.command import Values
from dsodenet.contract import Kind, block_design
from dsodenet.errors import InputError
from dsodenet.runtime.simulated import FAULTS, SimulatedZcu104, trial, write_overlay
from dsodenet.spec import Params, Spec, random_images, random_params
from dsodenet.text import paragraph, table

SPEC = "s"  # 32 x 32 x 3 pixels, 10 classes
BATCHES = (1, 256)
WARM_CALLS = 50  # after which memory must not grow
FAULT_TIMEOUT_S = 0.25


def calls(params: Params, repeats: int) -> list[dict[str, Any]]:
    """Microseconds of a call with an instant kernel: the host library, pynq, and the simulated board's own work."""
    rows = []
    for batch in BATCHES:
        share = host_share(params, random_images(params.spec, batch, 0), repeats)
        result = share.timing
        rows.append(
            {
                "batch": batch,
                "accesses": share.accesses,
                "calls": result.calls,
                "median_us": share.median_us,
                "p99_us": result.latency_us["p99"],
                "us_per_image": share.median_us / batch,
                "stages_us": result.stages_us,
            }
        )
    return rows


class _Mapped:
    """A pynq device whose registers are ordinary memory, for the time that pynq's MMIO takes."""

    def has_capability(self, name: str) -> bool:
        return name == "MEMORY_MAPPED"

    def mmap(self, base: int, length: int) -> mmap.mmap:
        return mmap.mmap(-1, length)


def mmio_cost(repeats: int = 20_000) -> dict[str, float]:
    """Microseconds here of one register write through pynq's MMIO, and through its array, the mapped memory itself."""
    mmio = pynq.MMIO(0, 4096, device=_Mapped())
    array = mmio.array

    def us(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        return 1e6 * (time.perf_counter() - start) / repeats

    return {"mmio_us": us(lambda: mmio.write(16, 1)), "array_us": us(lambda: array.__setitem__(4, 1))}


def board_estimate(count: int) -> list[dict[str, Any]]:
    """A call's register accesses on a ZCU104, by the published time of one.

    Mapped registers are taken to be faster by the ratio that is measured here.
    """
    cost = mmio_cost()
    mapped = ACCESS_US * cost["array_us"] / cost["mmio_us"]
    return [
        {"what": "ours, through pynq's MMIO", "accesses": count, "us_each": ACCESS_US, "us": count * ACCESS_US},
        {"what": "ours, through mapped registers", "accesses": count, "us_each": mapped, "us": count * mapped},
        {"what": "FINN, a whole call", "accesses": None, "us_each": None, "us": FINN_CALL_US},
    ]


def endurance(params: Params, repeats: int) -> dict[str, Any]:
    """Many calls on one accelerator: the same logits, and memory and buffers before and after."""
    device, accelerator = open_instant(params)
    with accelerator:
        images = random_images(params.spec, 5, 3)
        expected = accelerator.predict(images)
        tracemalloc.start()
        try:
            different = 0
            for done in range(repeats + WARM_CALLS):
                if done == WARM_CALLS:
                    before = memory(device)
                different += not np.array_equal(accelerator.predict(images), expected)
            after = memory(device)
        finally:
            tracemalloc.stop()
    return {
        "calls": repeats,
        "different": different,
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


def hand_off(folder: Path) -> list[dict[str, Any]]:
    """What the real pynq.Overlay makes of the generated .bit and .hwh of both kernels."""
    found = []
    for kind in Kind:
        bit = write_overlay(block_design(f"host_{kind.name.lower()}", kind, 200.0), "kernel_0", folder)
        engine = InstantKernel(random_params(Spec.named("xs"), 0))
        engine.kind = kind  # nothing is run
        overlay = pynq.Overlay(str(bit), device=SimulatedZcu104(engine))
        found += [
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
    return found


def measure(repeats: int, many: int) -> dict[str, Any]:
    """Everything that this module shows.

    repeats: timed calls of each batch size; many: calls that must leave nothing behind.
    """
    params = random_params(Spec.named(SPEC), 1)
    small = random_params(
        dataclasses.replace(Spec.named("xs"), network=dataclasses.replace(Spec.named("xs").network, time="bias")), 1
    )
    rows = calls(params, repeats)
    with tempfile.TemporaryDirectory() as folder:
        overlays = hand_off(Path(folder))
    kinds = {
        "microseconds, seconds, bytes": "measured, of a simulated board",
        "register accesses, calls, buffers": "counted",
        "board_estimate": "estimated",
    }
    return origin("dsodenet study host", kinds, "numpy", "pynq") | {
        "spec": SPEC,
        "calls": rows,
        "board_estimate": board_estimate(rows[0]["accesses"]),
        "endurance": endurance(small, many),
        "fault_timeout_s": FAULT_TIMEOUT_S,
        "faults": [dataclasses.asdict(trial(name, small, FAULT_TIMEOUT_S)) for name in FAULTS],
        "hand_off": overlays,
    }


def text(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    found = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    height = Spec.named(SPEC).network.height
    stages = list(result["calls"][0]["stages_us"])
    many = result["endurance"]
    before, after = many["before"], many["after"]
    parts = [
        f"measured on {result['cpu']}, {found}: simulated board with an instant kernel, "
        f"images of {height} x {height} x 3 pixels",
        _table(
            result["calls"],
            {"batch": "", "calls": "", "accesses": "", "median_us": ".1f", "p99_us": ".1f", "us_per_image": ".2f"},
        ),
        "of which, median us by stage (start holds the simulated board's own work)",
        _table(
            [{"batch": row["batch"]} | row["stages_us"] for row in result["calls"]],
            {"batch": ""} | dict.fromkeys(stages, ".1f"),
        ),
        "estimated for a ZCU104: register accesses of one call, the rest of the host's work left out",
        _table(result["board_estimate"], {"what": "", "accesses": "", "us_each": ".1f", "us": ".0f"}),
        f"us_each: {ACCESS_SOURCE}; mapped: less by the ratio of both here. FINN: {FINN_SOURCE}",
        f"{many['calls']} calls: {many['different']} with other logits; Python holds {before['python']:,} bytes before "
        f"and {after['python']:,} after, the process {before['process']:,} and {after['process']:,}; "
        f"{before['buffers']} buffers before, {after['buffers']} after, {many['buffers_after_close']} once closed",
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
    return table([*columns], cells)


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study host`."""
    if args.repeats < 1 or args.many < 1:
        raise InputError(f"repeats is {args.repeats} and many {args.many}, but both must be at least 1")
    warnings.filterwarnings("ignore", message="Unsupported register size", module="pynq")
    result = measure(args.repeats, args.many)
    ok = not result["endurance"]["different"] and all(row["next_call_right"] for row in result["faults"])
    return Values(result | {"ok": ok}, text)
