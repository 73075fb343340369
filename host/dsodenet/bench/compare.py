"""The accelerator against software: every path gets the same model and images, warm, one after another in each round of one run.

Software and boards are timed from images in host memory to logits in host memory. The rtl kernel without a board is its cycle count
at the spec's clock, an assumption until a bitstream has met timing. Each row says whether it is measured, simulated or estimated.
"""

from __future__ import annotations

import dataclasses
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet import __version__
from dsodenet.bench.energy import joules_per_call, rail_joules_per_call, rapl_domains
from dsodenet.bench.machine import all_threads, cpu_name, versions
from dsodenet.bench.paths import TIMED, Images, Job, Timed
from dsodenet.bench.rows import END_TO_END, KERNEL, LABELS, MODELLED, PUBLISHED, Row
from dsodenet.errors import DeviceError, InputError, SpecError, ToolError
from dsodenet.layers import macs
from dsodenet.params import Params
from dsodenet.reference import Reference
from dsodenet.synthetic import random_images
from dsodenet.verify import IMAGE_SEED, load_images

BACKENDS = ("cpu", "torch", "torch-compile", "onnxruntime", "onnxruntime-int8", "rtl", "estimate", "a53", "zcu104-sim", "zcu104")
DEFAULT = BACKENDS[:8]
SOFTWARE = BACKENDS[:5]
MAX_BATCH, MAX_REPEATS = 4096, 10_000
UNAVAILABLE = (ModuleNotFoundError, ToolError, DeviceError, SpecError)  # a row that cannot be had here is left out, in words


def compare(
    run: Path,
    backends: Sequence[str] = DEFAULT,
    batches: Sequence[int] = (1, 16),
    repeats: int = 11,
    progress: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """Rows, ratios and what was left out. progress is called once per backend, then once per batch."""
    check(backends, batches, repeats)
    params = Params.load(run)
    images, source = _images(run, params, max(batches))
    left_out: dict[str, str] = {}
    paths: list[Timed] = []
    kernel: list[Callable[[int], list[Row]]] = []  # batch -> rows that need no clock of ours
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dsodenet-")))
        job = Job(run, params, images, tuple(sorted({1, all_threads()})), folder, stack)
        for name in backends:
            progress(name)
            try:
                if name in TIMED:
                    paths += TIMED[name](job)
                else:
                    kernel.append(MODELLED[name](params, images))
            except UNAVAILABLE as error:
                left_out[name] = _why(error)
        if not paths and not kernel:
            raise InputError(f"no row is left: {'; '.join(f'{name}: {why}' for name, why in left_out.items())}")
        rows = []
        for batch in batches:
            progress(f"batch {batch}")
            rows += _time(paths, params, images[:batch], repeats) + [row for make in kernel for row in make(batch)]
    solver = params.spec.solver
    return {
        "command": "dsodenet bench",
        "model": params.spec.name,
        "fingerprint": params.fingerprint,
        "solver": solver.method,
        "n_steps": list(solver.n_steps),
        "macs_per_image": sum(macs(params.spec).values()),
        "cpu": cpu_name(),
        "cpu_threads": all_threads(),
        "system": platform.platform(),
        "versions": {"dsodenet": __version__} | versions("numpy", "threadpoolctl", "torch", "onnx", "onnxruntime", "pynq"),
        "images": source,
        "repeats": repeats,
        "rows": [dataclasses.asdict(row) for row in rows],
        "ratios": [ratio for batch in batches for ratio in _ratios([row for row in rows if row.batch == batch])],
        "left_out": left_out,
        "published": [dataclasses.asdict(line) for line in PUBLISHED],
        "energy_sensors": sorted({name for row in rows for name in row.energy_mj}),
        "differing": sum(row.differing or 0 for row in rows),
    }


def check(backends: Sequence[str], batches: Sequence[int], repeats: int) -> None:
    """InputError for a request that cannot be met."""
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown or not backends:
        raise InputError(f"backend is {', '.join(map(repr, unknown)) or 'empty'}, but it must be some of {', '.join(BACKENDS)}")
    for what, values in (("backend", backends), ("batch", batches)):
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise InputError(f"{what} {twice[0]} is given twice")
    if not batches or not all(1 <= batch <= MAX_BATCH for batch in batches):
        raise InputError(f"batches are {','.join(map(str, batches))}, but each must be 1 to {MAX_BATCH}")
    if not 1 <= repeats <= MAX_REPEATS:
        raise InputError(f"repeats is {repeats}, but it must be 1 to {MAX_REPEATS}")


def _images(run: Path, params: Params, count: int) -> tuple[Images, str]:
    try:
        return load_images(str(count), run, params)
    except (ModuleNotFoundError, ToolError):  # the board has no data set libraries; times hardly depend on the pixels
        return random_images(params.spec, count, IMAGE_SEED), f"{count} generated, seed {IMAGE_SEED}"


def _why(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"the package {(error.name or '').partition('.')[0]} is not installed"
    return " ".join(str(error).split())


def _time(paths: Sequence[Timed], params: Params, images: Images, repeats: int) -> list[Row]:
    """Rounds over all paths. An untimed call precedes each timed one: caches are warm, and another library's threads, which
    wait for work for a while after its call, have gone to sleep."""
    truth = Reference(params).predict(images)
    seconds: list[list[float]] = [[] for _ in paths]
    cycles: list[list[int]] = [[] for _ in paths]
    logits: list[Any] = [None] * len(paths)
    for _ in range(repeats):
        for i, path in enumerate(paths):
            with path.within():
                path.call(images)
                start = time.perf_counter()
                logits[i] = path.call(images)
                seconds[i].append(time.perf_counter() - start)
            call = path.accelerator and path.accelerator.last_call
            if call and call.cycles:
                cycles[i].append(call.cycles)
    rows = []
    for i, path in enumerate(paths):
        row = Row(
            path.name,
            END_TO_END,
            path.label,
            path.machine,
            path.threads,
            path.numbers,
            path.library,
            len(images),
            *_spread(1e6 * np.array(seconds[i])),
            repeats,
            params.fingerprint,
            differing=int((logits[i] != truth).sum()) if path.integer else None,
            same_class=float((logits[i].argmax(axis=1) == truth.argmax(axis=1)).mean()),
            energy_mj=_energy_mj(path, images),
        )
        rows.append(row)
        clock = path.accelerator.clock_mhz if path.accelerator else None
        if cycles[i] and clock and path.label == "measured":  # the clock of a simulated board is a setting without effect
            median, low, high = _spread(np.array(cycles[i]))
            row = dataclasses.replace(row, median_us=median / clock, min_us=low / clock, max_us=high / clock)
            rows.append(dataclasses.replace(row, scope=KERNEL, cycles=round(median), clock_mhz=clock))
    return rows


def _energy_mj(path: Timed, images: Images) -> dict[str, float]:
    """sensor -> millijoules per image, of calls after the timed ones; none of what is simulated, or where there is no sensor."""
    if path.label != "measured":
        return {}
    with path.within():
        if path.accelerator is None:
            joules = joules_per_call(lambda: path.call(images), rapl_domains())
        else:
            try:
                rails = path.accelerator.power_rails()
            except ToolError:
                return {}
            joules = rail_joules_per_call(lambda: path.call(images), rails) if rails else {}
    return {name: 1e3 * value / len(images) for name, value in joules.items()}


def _spread(values: Any) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())


def _ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """How many times faster the accelerator is than the best and the weakest software path, here and on the A53.

    A library stands in them at the thread count that suits it: threads that hinder it make no baseline.
    """
    groups = {
        "measured here": [row for row in rows if row.path in SOFTWARE],
        "estimated for the A53": [row for row in rows if row.path == "a53"],
    }
    found = []
    for scope in (KERNEL, END_TO_END):
        # of several figures for the same thing, the one nearest to a measurement
        known = sorted(
            (row for row in rows if row.path in ("rtl", "zcu104") and row.scope == scope), key=lambda row: LABELS.index(row.label)
        )
        for where, paths in groups.items() if known else ():
            fastest: dict[tuple[str, str], Row] = {}
            for row in sorted(paths, key=lambda row: row.median_us):
                fastest.setdefault((row.path, row.numbers), row)
            if fastest:
                best, *_, weakest = *fastest.values(), *fastest.values()
                found.append(
                    {
                        "batch": best.batch,
                        "scope": scope,
                        "accelerator": known[0].path,
                        "accelerator_is": known[0].label,
                        "software_is": where,
                        "best": best.title,
                        "ratio_to_best": best.median_us / known[0].median_us,
                        "weakest": weakest.title,
                        "ratio_to_weakest": weakest.median_us / known[0].median_us,
                    }
                )
    return found
