"""Rows of a comparison, and those that no clock of this host makes: cycles of the rtl kernel, and published figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from dsodenet.bench.paths import Images, integers
from dsodenet.estimate import estimate
from dsodenet.lanes import lanes_text
from dsodenet.layers import macs
from dsodenet.params import Params
from dsodenet.reference import Reference
from dsodenet.runtime import Accelerator

LABELS = ("measured", "simulated", "estimated")
END_TO_END, KERNEL = "end to end", "kernel"

A53 = "four Cortex-A53 at 1.2 GHz"
A53_SOURCE = "multiply-accumulates over the published rate of ncnn on MobileNet-v1, larger layers than these: optimistic"
A53_GMAC_PER_S = ((1, "float32", 2.3), (1, "int8", 2.8), (4, "float32", 6.3), (4, "int8", 8.9))
FINN_CALL_US = (822, 843)  # least and most published for one execute() of its driver from Python, for a small model (RadioML)
HOST_SOURCE = (
    f"kernel plus {FINN_CALL_US[1]} us, the published time of one FINN execute() from Python on a ZCU104, its kernel included"
)


@dataclass(frozen=True)
class Published:
    """A speed-up that others measured on a ZCU104."""

    system: str
    source: str
    factor: float
    timed: str  # what of the network
    against: str


PUBLISHED = (
    Published("dsODENet 2021", "arXiv 2107.12824", 27.9, "prediction", "its software counterpart"),
    Published("dsODENet 2023", "IEICE Trans. E106-D(7)", 23.8, "inference", "its software counterpart"),
    Published("Okubo et al.", "arXiv 2401.02721", 34.01, "accelerated part", "its software counterpart"),
    Published("Okubo et al.", "arXiv 2401.02721", 9.85, "end to end", "its software counterpart"),
)


@dataclass(frozen=True)
class Row:
    """One path at one batch; times are of a call of the whole batch."""

    path: str
    scope: str  # END_TO_END: images in host memory to logits in host memory; or KERNEL
    label: str  # measured, simulated or estimated
    machine: str
    threads: int
    numbers: str
    library: str
    batch: int
    median_us: float
    min_us: float
    max_us: float
    calls: int  # timed ones
    fingerprint: str  # of the exported run
    cycles: int | None = None
    clock_mhz: float | None = None
    differing: int | None = None  # logits that differ from the reference, of rows that compute integers
    same_class: float | None = None  # share of the images with the reference's class
    energy_mj: dict[str, float] = field(default_factory=dict)  # sensor -> millijoules per image, see energy.py
    note: str = ""

    @property
    def title(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.scope == END_TO_END else ""
        return f"{self.path}{threads}, {self.numbers}"


def simulated_kernel(params: Params, images: Images) -> Callable[[int], list[Row]]:
    """Cycles of one image, counted by the simulated rtl kernel."""
    with Accelerator(params, "rtl") as accelerator:
        differing = int((accelerator.predict(images[:1]) != Reference(params).predict(images[:1])).sum())
        assert accelerator.last_call is not None
        cycles = accelerator.last_call.cycles
    assert cycles is not None
    note = "register CYCLES of one simulated image, times the batch"
    return lambda batch: [_kernel_row(params, "rtl", "simulated", batch, cycles * batch, note, differing)]


def estimated_kernel(params: Params, images: Images) -> Callable[[int], list[Row]]:
    """Cycles by the closed form; and end to end, as if our host program took as long as a published one."""
    result = estimate(params)

    def rows(batch: int) -> list[Row]:
        kernel = _kernel_row(params, "rtl", "estimated", batch, result.command_cycles(batch), "closed form of the kernel's cycles")
        whole = kernel.median_us + FINN_CALL_US[1]
        end_to_end = dataclasses.replace(
            kernel, scope=END_TO_END, note=HOST_SOURCE, cycles=None, median_us=whole, min_us=whole, max_us=whole
        )
        return [kernel, end_to_end]

    return rows


def _kernel_row(params: Params, name: str, label: str, batch: int, cycles: int, note: str, differing: int | None = None) -> Row:
    kernel = params.spec.kernel
    machine = f"rtl kernel, {lanes_text(kernel)} lanes, assumed {kernel.clock_mhz:g} MHz"
    times = (cycles / kernel.clock_mhz,) * 3
    row = Row(name, KERNEL, label, machine, 1, integers(params), "SystemVerilog", batch, *times, 0, params.fingerprint)
    return dataclasses.replace(row, cycles=cycles, clock_mhz=kernel.clock_mhz, differing=differing, note=note)


def published_a53(params: Params, images: Images) -> Callable[[int], list[Row]]:
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


MODELLED: dict[str, Callable[[Params, Images], Callable[[int], list[Row]]]] = {
    "rtl": simulated_kernel,
    "estimate": estimated_kernel,
    "a53": published_a53,
}
