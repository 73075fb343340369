"""Normalisation inside the ODE block (arXiv 2004.09222) on the digits: each norm is trained and measured here.

Every norm is trained in float over the time spans given. A longer span makes f act more strongly.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from typing import Any

import torch

from dsodenet.bench.machine import origin
from dsodenet.bench.studies.recipe_rows import DEFAULT
from dsodenet.bench.studies.solver_grid import drift
from dsodenet.command import Values
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.nets import BATCH_NORM_KNOTS, DsODENet
from dsodenet.spec import NORMS, Spec
from dsodenet.text import paragraph, percent_text, progress_bar, spread, table
from dsodenet.training import Options, accuracy, load_float_model, train

SOLVERS = {"euler": 8, "rk4": 2}  # n_steps of training: eight evaluations of f each
TEST_STEPS = (2, 4, 16)
NOTES = (
    "n=...: the (S, n) test, the same model under other step counts.",
    "batch stat.: every evaluation of f takes the statistics of its own test batch instead of the running ones. "
    "The lead over `accuracy` is what shared statistics cost.",
    "moved: how far the mean of what is normalised moves over the evaluations of f, in standard deviations, worst "
    "ODE block.",
)


def study_spec(norm: str, solver: str, span: float) -> Spec:
    spec = DEFAULT.spec.with_solver(solver, SOLVERS[solver])
    network, time = dataclasses.replace(spec.network, norm=norm), dataclasses.replace(spec.solver, t1=span)
    return dataclasses.replace(spec, network=network, solver=time)


@torch.no_grad()
def batch_accuracy(model: DsODENet, data: Dataset) -> float:
    """Accuracy with each evaluation of f, and it alone, normalised by the statistics of the whole test split."""
    for block in model.blocks():
        block.norm.train()
    guesses = model(torch.from_numpy(data.test_images)).argmax(dim=1).numpy()
    model.eval()
    return float((guesses == data.test_labels).mean())


def cell(spec: Spec, data: Dataset, options: Options) -> dict[str, float]:
    """Train once; the figures of one seed."""
    with tempfile.TemporaryDirectory() as folder:
        train(spec, data, folder, options, "float")
        model, _, _ = load_float_model(folder)
    result = {"accuracy": accuracy(model, data.test_images, data.test_labels)}
    result["moved"] = max(block["mean"] for block in drift(model, data))
    for n_steps in TEST_STEPS:
        model.spec = spec.with_solver(None, n_steps)
        result[f"n={n_steps}"] = accuracy(model, data.test_images, data.test_labels)
    model.spec = spec
    if spec.network.norm in BATCH_NORM_KNOTS:
        result["batch stat."] = batch_accuracy(model, data)
    return result


def measure(
    norms: tuple[str, ...],
    solvers: tuple[str, ...],
    spans: tuple[float, ...],
    seeds: int,
    epochs: int,
    quiet: bool = True,
) -> list[dict[str, Any]]:
    """One row for each solver, span and norm: figure -> its mean and sample standard deviation over the seeds."""
    data = load_dataset("digits", DEFAULT.spec.network)
    cases = [(solver, span, norm) for solver in solvers for span in spans for norm in norms]
    rows = []
    with progress_bar("norms", len(cases) * seeds, quiet) as step:
        for solver, span, norm in cases:
            spec, found = study_spec(norm, solver, span), []
            for seed in range(seeds):
                found.append(cell(spec, data, dataclasses.replace(DEFAULT.options, epochs=epochs, seed=seed)))
                step(f"{norm}, {solver}, span {span:g}, seed {seed}")
            figures = {key: spread([one[key] for one in found]) for key in found[0]}
            row = {"solver": solver, "n_steps": SOLVERS[solver], "span": span, "norm": norm, "figures": figures}
            rows.append(row)
    return rows


def text(rows: list[dict[str, Any]]) -> str:
    names = ("accuracy", "batch stat.", *(f"n={n}" for n in TEST_STEPS), "moved")
    lines = []
    for row in rows:
        cells = []
        for name in names:
            figure = row["figures"].get(name)
            cells.append(f"{figure['mean']:.2f}" if name == "moved" else percent_text(figure))
        lines.append((f"{row['solver']} {row['n_steps']}", f"{row['span']:g}", row["norm"], *cells))
    return table(("trained by", "span", "norm", *names), lines)


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study norms`."""
    norms, solvers = tuple(args.norms.split(",")), tuple(args.solvers.split(","))
    for what, given, allowed in (("norms", norms, NORMS), ("solvers", solvers, tuple(SOLVERS))):
        if unknown := [word for word in given if word not in allowed]:
            raise InputError(f"{what} is {unknown[0]!r}, but it must be some of {', '.join(allowed)}")
    try:
        spans = tuple(map(float, args.spans.split(",")))
    except ValueError:
        raise InputError(f"spans is {args.spans!r}, but it must be numbers such as 1,4") from None
    if args.seeds < 1:
        raise InputError(f"seeds is {args.seeds}, but it must be 1 or more")
    for solver in solvers:
        for span in spans:
            study_spec("none", solver, span)  # refuses what no solver can do, before the work
    rows = measure(norms, solvers, spans, args.seeds, args.epochs, args.quiet)
    head = origin("dsodenet study norms", {"accuracies": "measured"}, "torch")
    return Values(head | {"seeds": args.seeds, "epochs": args.epochs, "rows": rows}, result_text)


def result_text(result: dict[str, Any]) -> str:
    about = f"mean and standard deviation of {result['seeds']} seeds, {result['epochs']} epochs"
    notes = "\n".join(map(paragraph, NOTES))
    return f"digits at 8 x 8, float, accuracy % measured: {about}\n{text(result['rows'])}\n\n{notes}"
