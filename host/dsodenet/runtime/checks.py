"""What a board user asks of an open accelerator: is it right (validate), and how fast is it (throughput_test)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.contract import image_bytes, logits_bytes
from dsodenet.errors import ToolError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.backends import check_number
from dsodenet.runtime.pixels import as_pixels
from dsodenet.runtime.power import PowerMeter
from dsodenet.spec import random_images

VALIDATE_BATCH = 64
WARM_UP_CALLS = 3
TIMED_CALLS = 25  # at most, for the stages
PERCENTILES = (50, 90, 99)
MAX_COUNT, MAX_SECONDS = 1 << 20, 86_400


@dataclass(frozen=True)
class Validation:
    """Logits of a backend against the integer reference, word by word."""

    backend: str
    kind: str  # as CallInfo.kind
    images: int
    wrong_images: int
    first_wrong: int | None  # index of an image ...
    expected: list[int] | None  # ... its logits by the reference
    received: list[int] | None  # ... and by the backend

    @property
    def ok(self) -> bool:
        return not self.wrong_images

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"ok": self.ok}

    def __str__(self) -> str:
        if self.ok:
            return f"{self.backend} ({self.kind}): {self.images} images, bit for bit as the reference"
        return (
            f"{self.backend} ({self.kind}): {self.wrong_images} of {self.images} images differ from the reference; "
            f"image {self.first_wrong} gives {self.received}, but the reference {self.expected}"
        )


def validate(
    accelerator: Accelerator,
    images: ArrayLike | None = None,
    count: int = 256,
    seed: int = 0,
    batch: int = VALIDATE_BATCH,
) -> Validation:
    """Compare an accelerator with the reference on images, or on `count` generated ones, in calls of `batch`.

    InputError for images that do not fit.
    """
    spec = accelerator.params.spec
    for name, value in (("count", count), ("batch", batch)):
        check_number(name, value, int, 1, MAX_COUNT)
    pixels = random_images(spec, count, seed) if images is None else as_pixels(images, spec.network)
    expected = Reference(accelerator.params).predict(pixels)
    received = np.concatenate([accelerator.predict(pixels[i : i + batch]) for i in range(0, len(pixels), batch)])
    wrong = np.flatnonzero((received != expected).any(axis=1))
    first = int(wrong[0]) if wrong.size else None
    return Validation(
        accelerator.backend,
        accelerator.kind,
        len(pixels),
        wrong.size,
        first,
        None if first is None else expected[first].tolist(),
        None if first is None else received[first].tolist(),
    )


@dataclass(frozen=True)
class Throughput:
    """Times of equal calls on this host.

    With kind "simulated" they are the simulation's, and say nothing about a board.
    """

    backend: str
    kind: str
    clock_mhz: float | None  # the fabric's clock, where there is one
    batch: int
    calls: int
    images_per_s: float
    latency_us: dict[str, float]  # p50, p90, p99, min, max and mean over the calls
    stages_us: dict[str, float]  # median of each stage, of some calls after the timed ones
    input_mb_per_s: float  # stream bytes to and from the kernel over the time of the calls, 1 MB = 10**6 bytes
    output_mb_per_s: float
    cycles_per_image: float | None  # where the kernel counts them
    power_w: dict[str, dict[str, float]]  # rail -> mean, max, samples; empty without a meter
    power_note: str  # why there are no figures, or what is missing

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def throughput_test(
    accelerator: Accelerator,
    images: ArrayLike | None = None,
    batch: int = 256,
    calls: int = 50,
    max_s: float = 60.0,
    power: bool = False,
    progress: Callable[[int], None] = lambda calls: None,
) -> Throughput:
    """Time `calls` equal calls of `batch` images, or as many as end in max_s. Three calls before that are not counted.

    images: a batch of one's own, which sets `batch`.
    power: also sample the power rails of the board; `power_note` says what is missing.
    progress: called with the number of calls that are done.
    """
    spec = accelerator.params.spec
    for name, value in (("batch", batch), ("calls", calls)):
        check_number(name, value, int, 1, MAX_COUNT)
    check_number("max_s", max_s, float, 1e-3, MAX_SECONDS)
    pixels = random_images(spec, batch, 0) if images is None else as_pixels(images, spec.network)
    for _ in range(WARM_UP_CALLS):
        accelerator.predict(pixels)
    seconds: list[float] = []
    cycles: list[int] = []
    deadline = time.monotonic() + max_s
    rails, missing = _rails(accelerator) if power else ({}, "not asked for")
    with PowerMeter(rails) as meter:
        while len(seconds) < calls and (not seconds or time.monotonic() < deadline):
            start = time.perf_counter()
            accelerator.predict(pixels)
            seconds.append(time.perf_counter() - start)
            info = accelerator.last_call
            assert info is not None
            if info.cycles is not None:
                cycles.append(info.cycles)
            progress(len(seconds))
    stages = _stages(accelerator, pixels, min(len(seconds), TIMED_CALLS))
    latency = 1e6 * np.array(seconds)
    total = float(np.sum(seconds))
    per_second = len(pixels) * len(seconds) / total
    return Throughput(
        accelerator.backend,
        accelerator.kind,
        accelerator.clock_mhz,
        len(pixels),
        len(seconds),
        per_second,
        _latencies(latency),
        {
            name: float(np.median([stage.get(name, 0.0) for stage in stages]))
            for name in dict.fromkeys(k for s in stages for k in s)
        },
        1e-6 * per_second * image_bytes(spec.network),
        1e-6 * per_second * logits_bytes(spec.network),
        float(np.mean(cycles)) / len(pixels) if cycles else None,
        meter.watts(),
        missing or meter.note,
    )


def _stages(accelerator: Accelerator, pixels: NDArray[np.uint8], calls: int) -> list[dict[str, float]]:
    """Microseconds by stage of each of some more calls, which are timed apart since that takes time itself."""
    accelerator.timed = True
    try:
        found = []
        for _ in range(calls):
            accelerator.predict(pixels)
            assert accelerator.last_call is not None
            found.append(accelerator.last_call.stages_us)
        return found
    finally:
        accelerator.timed = False


def _rails(accelerator: Accelerator) -> tuple[Mapping[str, Any], str]:
    """The rails to sample, or why there are none."""
    try:
        rails = accelerator.power_rails()
    except ToolError as error:
        return {}, str(error)
    return rails, "" if rails else "no power rails found"


def _latencies(microseconds: NDArray[np.float64]) -> dict[str, float]:
    result = {f"p{p}": float(np.percentile(microseconds, p)) for p in PERCENTILES}
    return result | {
        "min": float(microseconds.min()),
        "max": float(microseconds.max()),
        "mean": float(microseconds.mean()),
    }
