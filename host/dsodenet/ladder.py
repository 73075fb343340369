"""The bit-exact ladder: the same images through every backend, each logit compared with the integer reference's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from dsodenet.errors import InputError, RunError, ToolError
from dsodenet.evaluation import IMAGE_SEED
from dsodenet.reference import Reference
from dsodenet.runtime import BACKENDS, Accelerator, as_pixels, backend_options
from dsodenet.spec import Params, Solver, random_images
from dsodenet.text import html_table, paragraph, table

HEADER = ("rung", "time is", "images", "words", "differing", "seconds", "cycles/image")
LADDER = ("torch", "cpu", "csim", "rtl", "zcu104-sim")


@dataclass(frozen=True)
class Rung:
    """What one backend did with the images."""

    backend: str
    kind: str  # measured or simulated, as in runtime.CallInfo
    images: int
    words: int  # logits compared
    differing: int
    seconds: float
    cycles: int | None


@dataclass(frozen=True)
class Ladder:
    """All rungs. It prints itself as a table, and `differing` counts the words that are not the reference's."""

    images: str  # what they are
    solver: Solver
    rungs: tuple[Rung, ...]
    left_out: dict[str, str] = field(default_factory=dict)  # backend -> why it could not run, and what brings it

    @property
    def differing(self) -> int:
        return sum(rung.differing for rung in self.rungs)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `dsodenet verify`."""
        return {
            "images": self.images,
            "solver": self.solver.method,
            "n_steps": list(self.solver.n_steps),
            "differing": self.differing,
            "rungs": [asdict(rung) for rung in self.rungs],
            "left_out": self.left_out,
        }

    def table(self) -> str:
        """A line for each rung."""
        return table(HEADER, rungs_rows(self.to_dict()))

    def __str__(self) -> str:
        return rungs_text(self.to_dict())

    def __repr__(self) -> str:
        return f"<Ladder of {', '.join(rung.backend for rung in self.rungs)}: {self.differing} words differ>"

    def _repr_html_(self) -> str:
        return html_table(HEADER, rungs_rows(self.to_dict()), f"{self.differing} words differ")


def rungs_rows(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The JSON of a ladder as rows under HEADER."""
    return [
        (
            r["backend"],
            r["kind"],
            r["images"],
            r["words"],
            r["differing"],
            f"{r['seconds']:.3f}",
            "-" if r["cycles"] is None else r["cycles"] // r["images"],
        )
        for r in result["rungs"]
    ]


def rungs_text(result: dict[str, Any]) -> str:
    """The JSON of a ladder as a table, and what it says."""
    rows = rungs_rows(result)
    steps = ",".join(map(str, result["n_steps"]))
    differing = result["differing"]
    left_out = result.get("left_out", {})
    same = f"every rung that ran computes the same integers ({len(rows)} of {len(rows) + len(left_out)})"
    verdict = (
        f"{differing} words differ" if differing else same if left_out else "every rung computes the same integers"
    )
    verdict = "\n".join([verdict, *(paragraph(f"left out: {name}: {why}") for name, why in left_out.items())])
    head = paragraph(f"images: {result['images']}; solver {result['solver']}, n_steps {steps}")
    return f"{head}\n{table(HEADER, rows)}\n{verdict}"


def verify(
    run: str | Path,
    backends: str | Sequence[str] | None = None,
    images: ArrayLike | None = None,
    *,
    source: str = "given",
    limits: dict[str, int] | None = None,
    method: str | None = None,
    n_steps: int | tuple[int, ...] | None = None,
    progress: Callable[[str], None] = lambda backend: None,
    simulate_with: str | None = None,
) -> Ladder:
    """Run each backend on the images and compare its logits with the reference's.

    backends: some of BACKENDS. By default LADDER, where what is not installed or built is left out by name.
    images: uint8, or float in [0, 1], (N, channels, height, width); generated ones by default.
    source: what the images are, in words.
    limits: backend -> the most images that it runs.
    method, n_steps: another solver than the run's.
    progress: called with each backend before it computes.
    simulate_with: what computes inside the simulated board, by default the kernel of the spec.

    All backends are opened before any computes, so that what is missing shows at once: as an error where it was named.
    """
    chosen = backends is not None
    backends = (backends,) if isinstance(backends, str) else LADDER if backends is None else backends
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown or not backends:
        raise InputError(f"backend is {', '.join(unknown) or 'empty'}, but it must be some of {', '.join(BACKENDS)}")
    params = Params.load(run).with_solver(method, n_steps)
    solver = params.spec.solver
    if images is None:
        images, source = random_images(params.spec, 16, IMAGE_SEED), f"16 generated, seed {IMAGE_SEED}"
    pixels = as_pixels(images, params.spec.network)
    with ExitStack() as stack:
        opened = {}
        left_out = {}
        for name in sorted(backends, key=lambda name: name == "rtl"):  # its build takes minutes: what lacks shows first
            simulated = simulate_with if "simulate_with" in backend_options(name) else None
            try:
                opened[name] = stack.enter_context(Accelerator(run, name, simulate_with=simulated))
            except (ToolError, RunError, ModuleNotFoundError) as error:
                if chosen:
                    raise
                left_out[name] = str(error)
                continue
            opened[name].set_solver(solver.method, solver.n_steps)
        truth = Reference(params).predict(pixels)
        rungs = []
        for name in filter(opened.__contains__, backends):
            accelerator = opened[name]
            progress(name)
            part = pixels[: (limits or {}).get(name)]
            start = time.perf_counter()
            logits = accelerator.predict(part)
            seconds = time.perf_counter() - start
            call = accelerator.last_call
            assert call is not None
            differing = int((logits != truth[: len(part)]).sum())
            rungs.append(Rung(name, call.kind, len(part), logits.size, differing, seconds, call.cycles))
    return Ladder(source, solver, tuple(rungs), left_out)
