"""Accuracy of one trained model over solvers and steps at test time, the (S, n) test of arXiv 2004.09222.

A model that solved its equation keeps its accuracy under more steps or a better solver. A model that learned its steps
loses it. `float` is the float model, `integer` the exported one's arithmetic. Below the table stands how far the
statistics that a BatchNorm shares move from one evaluation of f to the next. That decides whether sharing them harms.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsodenet.bench.machine import origin
from dsodenet.command import Values
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.rtl import of_spec
from dsodenet.runs import check_output
from dsodenet.spec import MAX_STEPS, Spec, tableau
from dsodenet.text import progress_bar, table

if TYPE_CHECKING:
    from dsodenet.nets import DsODENet

Accuracy = Callable[[Spec], float]


def accuracies(run: Path, data: Dataset) -> tuple[Spec, dict[str, Accuracy]]:
    """The spec of a run, and what measures each of its number formats under another solver of that spec."""
    from dsodenet.exporting import extract
    from dsodenet.reference import Reference
    from dsodenet.training import accuracy, load_checkpoint, load_float_model

    model, spec, _ = load_float_model(run)

    def in_float(other: Spec) -> float:
        model.spec = other
        return accuracy(model, data.test_images, data.test_labels)

    result: dict[str, Accuracy] = {"float": in_float}
    if not spec.network.float_only:
        params = extract(load_checkpoint(run)[0])

        def in_integers(other: Spec) -> float:
            reference = Reference(params.with_solver(other.solver.method, other.solver.n_steps))
            return float(np.mean(reference.predict(data.test_images).argmax(axis=1) == data.test_labels))

        result["integer"] = in_integers
    return spec, result


def drift(model: DsODENet, data: Dataset) -> list[dict[str, float]]:
    """How far the statistics of what f normalises move over the evaluations of f; one row for each ODE block.

    mean: the standard deviation of its mean, in units of its standard deviation. std_ratio: the largest of its standard
    deviations by the smallest. Both are taken for each channel on the test images and averaged over the channels.
    """
    import torch

    seen: dict[int, list[torch.Tensor]] = {}
    hooks = []

    def note(block: int, result: torch.Tensor) -> None:
        std, mean = torch.std_mean(result, dim=(0, 2, 3))
        seen.setdefault(block, []).append(torch.stack([mean, std]))

    for block in model.blocks():
        convolution = block.f.get_submodule(block.f.biased.part)
        hooks.append(
            convolution.register_forward_hook(lambda module, inputs, result, number=block.block: note(number, result))
        )
    with torch.no_grad():
        model.eval()(torch.from_numpy(data.test_images))
    found = []
    for hook in hooks:
        hook.remove()
    for values in seen.values():
        mean, std = torch.stack(values, dim=1)
        spread = mean.std(dim=0) / std.mean(dim=0) if len(mean) > 1 else torch.zeros(1)
        found.append({"mean": float(spread.mean()), "std_ratio": float((std.amax(0) / std.amin(0)).mean())})
    return found


def measure(
    run: Path, data: Dataset, solvers: tuple[str, ...], steps: tuple[int, ...], progress: bool = True
) -> dict[str, Any]:
    """Accuracy in [0, 1] of every number format, solver and n_steps (the same for all ODE blocks).

    Rows of integers also have the rtl kernel's cycles per image on the spec's lanes, estimated.
    """
    from dsodenet.training import load_float_model

    spec, measured = accuracies(run, data)
    cases = [(numbers, solver, n) for numbers in measured for solver in solvers for n in steps]
    rows = []
    with progress_bar("solvers", len(cases), not progress) as step:
        for numbers, solver, n_steps in cases:
            step(f"{numbers}, {solver}, {n_steps} steps")
            other = spec.with_solver(solver, n_steps)
            row = {"numbers": numbers, "solver": solver, "n_steps": n_steps, "accuracy": measured[numbers](other)}
            if numbers == "integer":
                found = of_spec(other)
                row |= {"cycles": found.cycles, "assumed_clock_mhz": found.clock_mhz}
            rows.append(row)
    trained = {"solver": spec.solver.method, "n_steps": list(spec.solver.n_steps)}
    return {
        "model": spec.name,
        "norm": spec.network.norm,
        "trained": trained,
        "images": len(data.test_images),
        "drift": drift(load_float_model(run)[0], data),
        "rows": rows,
    }


def text(result: dict[str, Any]) -> str:
    steps = list(dict.fromkeys(row["n_steps"] for row in result["rows"]))
    lines: dict[tuple[str, str], list[str]] = {}
    for row in result["rows"]:
        lines.setdefault((row["numbers"], row["solver"]), []).append(f"{100 * row['accuracy']:.1f}")
    trained = f"{result['trained']['solver']}, n_steps {','.join(map(str, result['trained']['n_steps']))}"
    title = (
        f"{result['model']}, norm {result['norm']}, trained with {trained}; "
        f"accuracy % on {result['images']} test images, measured"
    )
    moved = ", ".join(f"{block['mean']:.2f}" for block in result["drift"])
    ratios = ", ".join(f"{block['std_ratio']:.2f}" for block in result["drift"])
    shared = (
        f"over the evaluations of f, what is normalised moves its mean by {moved} standard deviations "
        f"(one figure an ODE block)\n"
        f"and its standard deviation by factors up to {ratios}: what a shared BatchNorm ignores"
    )
    header = ("numbers", "solver", *(f"n={n}" for n in steps))
    return f"{title}\n{table(header, [(*key, *cells) for key, cells in lines.items()])}\n{shared}"


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study solvers`."""
    solvers = tuple(args.solvers.split(","))
    for solver in solvers:
        tableau(solver)
    if not all(word.isdecimal() and 1 <= int(word) <= MAX_STEPS for word in args.n_steps.split(",")):
        raise InputError(f"n-steps is {args.n_steps!r}, but it must be numbers from 1 to {MAX_STEPS}, such as 4,16")
    steps = tuple(map(int, args.n_steps.split(",")))
    if args.plot:
        check_output(args.plot, ".png")
    from dsodenet.training import load_float_model

    data = load_dataset(args.data, load_float_model(args.run)[1].network)
    result = measure(args.run, data, solvers, steps, not args.quiet)
    if args.plot:
        from dsodenet.plots import save, solvers_figure

        save(solvers_figure(result), args.plot)
    kinds = {"accuracy, drift": "measured", "cycles": "estimated"}
    return Values(origin("dsodenet study solvers", kinds, "torch", "brevitas") | result, text)
