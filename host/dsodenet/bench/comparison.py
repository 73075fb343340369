"""The accelerator against software: every path gets the same model and images, warm, in turn in each round of one run.

Software and boards are timed from images in host memory to logits in host memory. The rtl kernel without a board is
its cycle count at the spec's clock, an assumption until a bitstream has met timing. Each row says whether it is
measured, simulated or estimated.
"""

from __future__ import annotations

import dataclasses
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet import __version__
from dsodenet.bench.energy import joules_per_call, rail_joules_per_call, rapl_domains
from dsodenet.bench.machine import all_threads, cpu_name, versions
from dsodenet.bench.modelled import MODELLED, Modelled, slow_simulation
from dsodenet.bench.paths import TIMED, Images, Job, Timed
from dsodenet.bench.published import PUBLISHED
from dsodenet.bench.report import comparison_text
from dsodenet.bench.rows import END_TO_END, KERNEL, Row
from dsodenet.bench.speedups import SOFTWARE, ratios, reference_ratios
from dsodenet.bench.subject import RANDOM, Subject
from dsodenet.errors import DeviceError, InputError, SpecError, ToolError
from dsodenet.reference import Reference
from dsodenet.spec import Params, macs

BACKENDS = (*SOFTWARE, *MODELLED, "zcu104-sim", "zcu104")
DEFAULT = tuple(name for name in (*SOFTWARE, *MODELLED) if name != "torch-compile")  # which compiles for minutes
MAX_BATCH, MAX_REPEATS = 4096, 10_000
UNAVAILABLE = (ModuleNotFoundError, ToolError, DeviceError, SpecError)  # such a row is left out, in words


@dataclass(frozen=True)
class Comparison:
    """Rows of software and of the accelerator for one model, and what follows from them. It prints itself."""

    subject: Subject
    images: str  # what they are
    repeats: int
    rows: tuple[Row, ...]
    left_out: dict[str, str]  # path -> why it has no row

    @property
    def differing(self) -> int:
        """Integer logits that differ from the reference."""
        return sum(row.differing or 0 for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `dsodenet bench`."""
        params = self.subject.params
        solver = params.spec.solver
        by_batch = [
            [row for row in self.rows if row.batch == batch] for batch in dict.fromkeys(row.batch for row in self.rows)
        ]
        return {
            "command": "dsodenet bench",
            "model": params.spec.name,
            "weights": self.subject.weights,
            "fingerprint": params.fingerprint,
            "solver": solver.method,
            "n_steps": list(solver.n_steps),
            "macs_per_image": sum(macs(params.spec).values()),
            "cpu": cpu_name(),
            "cpu_threads": all_threads(),
            "system": platform.platform(),
            "versions": {"dsodenet": __version__}
            | versions("numpy", "threadpoolctl", "torch", "onnx", "onnxruntime", "pynq"),
            "images": self.images,
            "repeats": self.repeats,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "ratios": [ratio for part in by_batch for ratio in ratios(part)],
            "reference_ratios": [ratio for part in by_batch for ratio in reference_ratios(part)],
            "left_out": self.left_out,
            "published": [dataclasses.asdict(line) for line in PUBLISHED],
            "energy_sensors": sorted({name for row in self.rows for name in row.energy_mj}),
            "differing": self.differing,
        }

    def __str__(self) -> str:
        return comparison_text(self.to_dict())


def compare(
    model: str | Path,
    backends: Sequence[str] | None = None,
    batches: Sequence[int] = (1, 16),
    repeats: int = 11,
    lanes: str | None = None,
    progress: Callable[[str], None] = lambda step: None,
    data: str | None = None,
) -> Comparison:
    """Time software and boards, and model the rest. progress is called once per backend, then once per batch.

    model, lanes and data: as in Subject.load. backends: by default DEFAULT, without a simulation that takes minutes.
    InputError for a request that cannot be met, and where no row is left.
    """
    chosen = DEFAULT if backends is None else backends
    check(chosen, batches, repeats)
    subject = Subject.load(model, lanes, data)
    images, source = subject.images(max(batches))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dsodenet-")))
        threads = tuple(sorted({1, all_threads()}))
        job = Job(subject.run or subject.params, subject.params, images, tuple(batches), threads, folder, stack)
        timed, modelled, left_out = gather(job, chosen, backends is not None, progress)
        if not timed and not modelled:
            raise InputError(f"no row is left: {'; '.join(f'{name}: {why}' for name, why in left_out.items())}")
        rows: list[Row] = []
        for batch in batches:
            progress(f"batch {batch}")
            rows += _time(timed, subject.params, images[:batch], repeats)
            rows += [row for make in modelled for row in make(batch)]
    if subject.weights == RANDOM:
        rows = [dataclasses.replace(row, same_class=None) for row in rows]
    return Comparison(subject, source, repeats, tuple(rows), left_out)


def gather(
    job: Job, names: Sequence[str], asked_for: bool, progress: Callable[[str], None]
) -> tuple[list[Timed], list[Modelled], dict[str, str]]:
    """(paths to time, rows that need no clock of ours, backend -> why it is left out).

    asked_for: the user named the backends, so that a slow simulation is run, too.
    """
    timed: list[Timed] = []
    modelled: list[Modelled] = []
    left_out: dict[str, str] = {}
    # A real board comes before a simulated one: pynq knows one of them.
    for name in sorted(names, key=lambda name: name in MODELLED):
        progress(name)
        slow = slow_simulation(job.params) if name == "rtl" and not asked_for else None
        try:
            if slow:
                left_out[name] = slow
            elif name in TIMED:
                timed += TIMED[name](job)
            else:
                modelled.append(MODELLED[name](job.params, job.images))
        except UNAVAILABLE as error:
            left_out[name] = _why(error)
    return timed, modelled, left_out


def check(backends: Sequence[str], batches: Sequence[int], repeats: int) -> None:
    """InputError for a request that cannot be met."""
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown or not backends:
        raise InputError(
            f"backend is {', '.join(map(repr, unknown)) or 'empty'}, but it must be some of {', '.join(BACKENDS)}"
        )
    for what, values in (("backend", backends), ("batch", batches)):
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise InputError(f"{what} {twice[0]} is given twice")
    if not batches or not all(1 <= batch <= MAX_BATCH for batch in batches):
        raise InputError(f"batches are {','.join(map(str, batches))}, but each must be 1 to {MAX_BATCH}")
    if not 1 <= repeats <= MAX_REPEATS:
        raise InputError(f"repeats is {repeats}, but it must be 1 to {MAX_REPEATS}")


def _why(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"the package {(error.name or '').partition('.')[0]} is not installed"
    return " ".join(str(error).split())


def _time(paths: Sequence[Timed], params: Params, images: Images, repeats: int) -> list[Row]:
    """Rounds over all paths.

    An untimed call precedes each timed one. Caches are warm then, and the threads of another library, which wait for
    work for a while after its call, have gone to sleep.
    """
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
            path.kind,
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
            note=path.note,
        )
        rows.append(row)
        clock = path.accelerator.clock_mhz if path.accelerator else None
        if cycles[i] and clock and path.kind == "measured":  # a simulated board's clock is a setting without effect
            median, low, high = _spread(np.array(cycles[i]))
            row = dataclasses.replace(row, median_us=median / clock, min_us=low / clock, max_us=high / clock)
            rows.append(dataclasses.replace(row, scope=KERNEL, cycles=round(median), clock_mhz=clock))
    return rows


def _energy_mj(path: Timed, images: Images) -> dict[str, float]:
    """sensor -> millijoules per image, of calls after the timed ones.

    None of what is simulated, or where there is no sensor.
    """
    if path.kind != "measured":
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
