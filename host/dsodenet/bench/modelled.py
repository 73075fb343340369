"""Rows that no clock of this host makes: cycles of the rtl kernel, whole calls made of them, and published rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dsodenet.bench.published import A53, A53_GMAC_PER_S, A53_PYTHON_FACTOR, A53_SOURCE, FINN_CALL_US, FINN_SOURCE
from dsodenet.bench.rows import END_TO_END, KERNEL, Row, integers
from dsodenet.contract import ZCU104
from dsodenet.reference import Reference
from dsodenet.rtl import estimate
from dsodenet.runtime import SPIN_S, Accelerator, Programs, rtl_programs
from dsodenet.spec import Params, lanes_text, macs

Images = NDArray[np.uint8]
Modelled = Callable[[int], list[Row]]  # batch -> rows
RTL, OUR_HOST, FINN_CALL = "rtl", "rtl + our host", "rtl + FINN call"  # paths
CLOSED_FORM = "closed form of the kernel's cycles, which equals its simulation"
SIMULATED_AT_MOST = 4_000_000  # multipliers times cycles of an image; more takes minutes to build and to run
HOST_REPEATS = 100  # at batch 1


def simulated_kernel(params: Params, images: Images) -> Modelled:
    """Cycles of one frame, counted by the simulated rtl kernel."""
    programs, counted = rtl_programs(params), dict[int, tuple[int, int]]()  # images of a frame -> (cycles, differing)

    def simulated(count: int) -> tuple[int, int]:
        if count not in counted:
            with Accelerator(params, "rtl", images_at_once=count) as accelerator:
                logits = accelerator.predict(images[:count])
                assert accelerator.last_call is not None
                assert accelerator.last_call.cycles is not None
                counted[count] = (
                    accelerator.last_call.cycles,
                    int((logits != Reference(params).predict(images[:count])).sum()),
                )
        return counted[count]

    def rows(batch: int) -> list[Row]:
        count = programs.best(batch).images
        cycles, differing = simulated(count)
        note = "register CYCLES of one simulated image, times the batch"
        if count > 1:
            note = f"register CYCLES of a simulated frame of {count} images, computed as one, times the frames"
        return [_kernel_row(params, "simulated", batch, cycles * -(-batch // count), note, differing)]

    simulated(1)
    return rows


def slow_simulation(params: Params) -> str | None:
    """Why the simulation of this kernel is left out unless it is asked for; None when it is quick."""
    result = estimate(params)
    if result.cycles * result.peak_macs <= SIMULATED_AT_MOST:
        return None
    return (
        f"simulating {lanes_text(result.engine)} lanes takes minutes, and its cycles are those of the closed form; "
        "--backends rtl simulates them all the same"
    )


def estimated_kernel(params: Params, images: Images) -> Modelled:
    """Cycles by the closed form."""
    programs = rtl_programs(params)
    return lambda batch: [_estimated(params, programs, batch)]


def with_our_host(params: Params, images: Images) -> Modelled:
    """A call of the kernel through our host library on a ZCU104."""
    from dsodenet.bench.host_share import host_share  # imports pynq

    programs = rtl_programs(params)

    def rows(batch: int) -> list[Row]:
        kernel = _estimated(params, programs, batch)
        # A longer kernel is only started by native code: Python sleeps until it is done.
        native = None if kernel.median_us < 1e6 * SPIN_S else False
        share = host_share(params, images[:batch], max(1, HOST_REPEATS // batch), native=native)
        note = (
            f"batch {batch} is made of the kernel's estimated cycles and {share.a53_us():.0f} µs of the host library "
            f"({'native code' if share.native else 'Python'}) on a Cortex-A53 of the ZCU104: {share.us:.1f} µs on this "
            f"processor by {A53_PYTHON_FACTOR[1]:g}, and {share.accesses} register accesses; `dsodenet study host` "
            "names the assumptions"
        )
        return [_whole_call(kernel, OUR_HOST, share.a53_us(), note)]

    return rows


def with_finn_call(params: Params, images: Images) -> Modelled:
    """The same, as if our host library took as long as a published one."""
    programs = rtl_programs(params)
    note = f"made of the kernel's estimated cycles and {FINN_CALL_US:g} µs: {FINN_SOURCE}"
    return lambda batch: [_whole_call(_estimated(params, programs, batch), FINN_CALL, FINN_CALL_US, note)]


def _estimated(params: Params, programs: Programs, batch: int) -> Row:
    program = programs.best(batch)
    note = CLOSED_FORM + (f"; {program.images} images are computed as one" if program.images > 1 else "")
    return _kernel_row(params, "estimated", batch, program.cycles(batch), note)


def _whole_call(kernel: Row, path: str, rest_us: float, note: str) -> Row:
    """End to end: the kernel, and rest_us of a call."""
    us = kernel.median_us + rest_us
    return dataclasses.replace(
        kernel, path=path, scope=END_TO_END, note=note, cycles=None, median_us=us, min_us=us, max_us=us
    )


def _kernel_row(params: Params, kind: str, batch: int, cycles: int, note: str, differing: int | None = None) -> Row:
    kernel = params.spec.kernel
    clock = ZCU104.clock(kernel.clock_mhz).mhz
    machine = f"rtl kernel, {lanes_text(kernel)} lanes, assumed {clock:g} MHz"
    times = (cycles / clock,) * 3
    row = Row(RTL, KERNEL, kind, machine, 1, integers(params), "SystemVerilog", batch, *times, 0, params.fingerprint)
    return dataclasses.replace(row, cycles=cycles, clock_mhz=clock, differing=differing, note=note)


def published_a53(params: Params, images: Images) -> Modelled:
    """The ZCU104's own processor, at a published rate of another network."""
    work = sum(macs(params.spec).values())

    def rows(batch: int) -> list[Row]:
        found = []
        for threads, numbers, rate in A53_GMAC_PER_S:
            times = (1e-3 * work * batch / rate,) * 3
            about = (END_TO_END, "estimated", A53, threads, numbers, f"ncnn, {rate:g} GMAC/s", batch)
            found.append(Row("a53", *about, *times, 0, params.fingerprint, note=A53_SOURCE))
        return found

    return rows


MODELLED: dict[str, Callable[[Params, Images], Modelled]] = {
    "rtl": simulated_kernel,
    "estimate": estimated_kernel,
    "estimate-host": with_our_host,
    "estimate-finn": with_finn_call,
    "a53": published_a53,
}
