"""`dsodenet demo`: train on real digits, lower, run on the simulated ZCU104 through pynq, and prove that all agree.

Writes the run and a picture to the folder given (default build/demo). Every number printed is computed in this run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.bench import origin
from dsodenet.command import Values
from dsodenet.data import load_dataset
from dsodenet.exporting import export
from dsodenet.hls import find_compiler, lower
from dsodenet.ladder import LADDER, rungs_text, verify
from dsodenet.plots import save, trajectory_figure
from dsodenet.rtl import verilator
from dsodenet.runs import check_folder
from dsodenet.runtime import Accelerator
from dsodenet.spec import Spec, macs, parameter_comparison, parameters
from dsodenet.text import progress_bar, table
from dsodenet.training import Options, train

LIMITS = {"zcu104-sim": 64}  # images; the other rungs take the whole test split
PLOTTED_IMAGES = 200


def demo(out: Path, epochs: int | None = None, quiet: bool = False) -> Values:
    """All figures of the demo, each computed in this run; `differing` counts the words that are not the reference's."""
    check_folder(out)
    find_compiler(), verilator()  # what is missing shows before any long work
    spec, clock = Spec.named("xs"), time.perf_counter
    data = load_dataset("digits", spec.network)
    took: dict[str, float] = {}
    options = Options(progress=not quiet)
    if epochs is not None:
        options = replace(options, epochs=epochs, qat_epochs=max(1, epochs // 3))

    start = clock()
    metrics = train(spec, data, out, options)
    took["train (float, then w8a8)"] = clock() - start
    start = clock()
    with progress_bar("export", None, quiet) as step:
        params = export(out, step)
    took["export"] = clock() - start
    start = clock()
    with progress_bar("lower", None, quiet) as step:
        lower(out, step)
    took["lower (hls4ml, g++)"] = clock() - start
    start = clock()
    with progress_bar("verify", len(LADDER), quiet) as step:
        ladder = verify(
            out, LADDER, data.test_images, source=f"test split of {data.name}", limits=LIMITS, progress=step
        )
    took["verify"] = clock() - start
    shown = slice(PLOTTED_IMAGES)
    figure = trajectory_figure(params, data.test_images[shown], data.test_labels[shown], data.class_names)

    integers = Accelerator(params, "cpu").predict(data.test_images).argmax(axis=1) == data.test_labels
    accuracies = {"float": metrics["float_accuracy"], "w8a8, Brevitas": metrics["qat_accuracy"]}
    kinds = {
        "accuracy, seconds": "measured",
        "rungs": "by their kind",
        "differing words, parameters, macs": "counted",
        "cycles": "simulated",
    }
    head = origin("dsodenet demo", kinds, "torch", "brevitas", "hls4ml", "pynq", "verilator")
    figures = {
        "test_images": len(data.test_images),
        "accuracy": accuracies | {"w8a8, integers": float(np.mean(integers))},
        "parameters": sum(parameters(spec).values()),
        "parameters_compared": parameter_comparison(spec),
        "macs": sum(macs(spec).values()),
        "seconds": took,
        "picture": str(save(figure, out / "trajectory.png")),
    }
    return Values(head | ladder.to_dict() | figures, text)


def text(result: dict[str, Any]) -> str:
    """The figures for a terminal."""
    accuracies = [(name, f"{100 * value:.2f}") for name, value in result["accuracy"].items()]
    seconds = [(name, f"{value:.1f}") for name, value in result["seconds"].items()]
    return (
        f"\nLadder\n{rungs_text(result)}"
        f"\n\nAccuracy on {result['test_images']} test images\n{table(('model', 'accuracy %'), accuracies)}"
        f"\n\nSize\n{_sizes(result)}"
        f"\n\nTime on {result['cpu']}\n{table(('step', 'seconds'), seconds)}"
        f"\n\nPicture: {result['picture']}\nThe board was simulated: its seconds say nothing about a ZCU104."
    )


def _sizes(result: dict[str, Any]) -> str:
    names = {
        "dsodenet": "this network",
        "full": "the same, full 3x3 convolutions",
        "residual": "residual network, no block shared",
    }
    compared = result["parameters_compared"]
    own = compared["dsodenet"]
    rows = [
        (names[key], value, "-" if value == own else f"{100 * (own / value - 1):.1f}")
        for key, value in compared.items()
    ]
    total = f"{result['parameters']} parameters with stem and head, {result['macs']} multiply-accumulates per image"
    note = (
        "ODE blocks and downs only, as in arXiv 2107.12824, whose dsODENet has 54.2 to 79.8 % fewer than its Neural ODE"
    )
    return f"{table(('parameters of', 'count', 'this network %'), rows)}\n({note})\n{total}"
