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
from dsodenet.rtl import Estimate, estimate
from dsodenet.runtime import Accelerator
from dsodenet.spec import Params, lanes_text, macs

Images = NDArray[np.uint8]
Modelled = Callable[[int], list[Row]]  # batch -> rows
RTL, OUR_HOST, FINN_CALL = "rtl", "rtl + our host", "rtl + FINN call"  # paths
CLOSED_FORM = "closed form of the kernel's cycles, which equals its simulation"
SIMULATED_AT_MOST = 4_000_000  # multipliers times cycles of an image; more takes minutes to build and to run
HOST_REPEATS = 100  # at batch 1


def simulated_kernel(params: Params, images: Images) -> Modelled:
    """Cycles of one image, counted by the simulated rtl kernel."""
    with Accelerator(params, "rtl") as accelerator:
        differing = int((accelerator.predict(images[:1]) != Reference(params).predict(images[:1])).sum())
        assert accelerator.last_call is not None
        cycles = accelerator.last_call.cycles
    assert cycles is not None
    note = "register CYCLES of one simulated image, times the batch"
    return lambda batch: [_kernel_row(params, "simulated", batch, cycles * batch, note, differing)]


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
    result = estimate(params)
    return lambda batch: [_estimated(params, result, batch)]


def with_our_host(params: Params, images: Images) -> Modelled:
    """A call of the kernel through our host library on a ZCU104."""
    from dsodenet.bench.host_share import host_share  # imports pynq

    result = estimate(params)

    def rows(batch: int) -> list[Row]:
        share = host_share(params, images[:batch], max(1, HOST_REPEATS // batch))
        note = (
            f"batch {batch} is made of the kernel's estimated cycles and {share.a53_us():.0f} us of the host library "
            f"on a Cortex-A53 of the ZCU104: {share.us:.1f} us on this processor by {A53_PYTHON_FACTOR[1]:g}, and "
            f"{share.accesses} register accesses; `dsodenet study host` names the assumptions"
        )
        return [_whole_call(_estimated(params, result, batch), OUR_HOST, share.a53_us(), note)]

    return rows


def with_finn_call(params: Params, images: Images) -> Modelled:
    """The same, as if our host library took as long as a published one."""
    result = estimate(params)
    note = f"made of the kernel's estimated cycles and {FINN_CALL_US:g} us: {FINN_SOURCE}"
    return lambda batch: [_whole_call(_estimated(params, result, batch), FINN_CALL, FINN_CALL_US, note)]


def _estimated(params: Params, result: Estimate, batch: int) -> Row:
    return _kernel_row(params, "estimated", batch, result.command_cycles(batch), CLOSED_FORM)


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
