"""`make demo`: train on real digits, lower, run on the simulated ZCU104 through pynq, and prove that every rung agrees.

Writes the run and a picture to the folder given (default build/demo). Every number printed is computed in this run.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from dsodenet.commands import EXPORT_STEPS, LOWER_STEPS, progress_bar, show_rungs
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import DsodenetError
from dsodenet.export import export
from dsodenet.layers import macs, parameter_comparison, parameters
from dsodenet.lower import find_compiler, lower
from dsodenet.params import Params
from dsodenet.plots import save, trajectory_figure
from dsodenet.rtl import verilator
from dsodenet.runtime import Accelerator
from dsodenet.spec import Spec
from dsodenet.tables import table
from dsodenet.train import Options, train
from dsodenet.verify import LADDER, as_dict, verify

LIMITS = {"zcu104-sim": 64}  # images; the other rungs take the whole test split
PLOTTED_IMAGES = 200


def demo(out: Path, epochs: int | None = None) -> int:
    """Returns the number of differing words."""
    find_compiler(), verilator()  # what is missing shows before any long work
    spec, clock = Spec.named("xs"), time.perf_counter
    data = load_dataset("digits", spec.network)
    took: dict[str, float] = {}
    options = Options() if epochs is None else Options(epochs=epochs, qat_epochs=max(1, epochs // 3))

    start = clock()
    metrics = train(spec, data, out, options)
    took["train (float, then w8a8)"] = clock() - start
    start = clock()
    with progress_bar("export", EXPORT_STEPS, False) as step:
        params = export(out, step)
    took["export"] = clock() - start
    start = clock()
    with progress_bar("lower", LOWER_STEPS, False) as step:
        lower(out, step)
    took["lower (hls4ml, g++)"] = clock() - start
    start = clock()
    with progress_bar("verify", len(LADDER), False) as step:
        rungs = verify(out, LADDER, data.test_images, LIMITS, progress=step)
    took["verify"] = clock() - start
    figure = trajectory_figure(params, data.test_images[:PLOTTED_IMAGES], data.test_labels[:PLOTTED_IMAGES])
    picture = save(figure, out / "trajectory.png")

    solver = params.spec.solver
    differing = sum(rung.differing for rung in rungs)
    ladder = {"images": f"test split of {data.name}", "solver": solver.method, "n_steps": list(solver.n_steps)}
    print(f"\nLadder\n{show_rungs(ladder | {'differing': differing, 'rungs': as_dict(rungs)})}")
    print(f"\nAccuracy on {len(data.test_images)} test images\n{_accuracies(params, data, metrics)}")
    print(f"\nSize\n{_sizes(params)}")
    print(f"\nTime on this machine\n{table(('step', 'seconds'), [(name, f'{s:.1f}') for name, s in took.items()])}")
    print(f"\nPicture: {picture}\nThe board was simulated: its seconds say nothing about a ZCU104.")
    return differing


def _accuracies(params: Params, data: Dataset, metrics: dict[str, float]) -> str:
    with Accelerator(params, "cpu") as accelerator:
        integer = float(np.mean(accelerator.predict(data.test_images).argmax(axis=1) == data.test_labels))
    rows = [("float", metrics["float_accuracy"]), ("w8a8, Brevitas", metrics["qat_accuracy"]), ("w8a8, integers", integer)]
    return table(("model", "accuracy %"), [(name, f"{100 * value:.2f}") for name, value in rows])


def _sizes(params: Params) -> str:
    spec = params.spec
    compared = parameter_comparison(spec)
    names = {
        "dsodenet": "this network",
        "full": "the same, full 3x3 convolutions",
        "residual": "residual network, no block shared",
    }
    own = compared["dsodenet"]
    rows = [(names[key], value, "-" if value == own else f"{100 * (own / value - 1):.1f}") for key, value in compared.items()]
    total = (
        f"{sum(parameters(spec).values())} parameters with stem and head, {sum(macs(spec).values())} multiply-accumulates per image"
    )
    note = "ODE blocks and downs only, as in arXiv 2107.12824, whose dsODENet has 54.2 to 79.8 % fewer than its Neural ODE"
    return f"{table(('parameters of', 'count', 'this network %'), rows)}\n({note})\n{total}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dsodenet.demo", description=__doc__, epilog="example: python -m dsodenet.demo")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), metavar="RUN", help="run folder (default build/demo)")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of the float stage, for a quick look")
    args = parser.parse_args()
    try:
        return 1 if demo(args.out, args.epochs) else 0
    except DsodenetError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
