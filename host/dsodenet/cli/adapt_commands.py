"""`adapt` and `calibrate`: what a deployed model can change about itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting import FEWEST, adapt_run
from dsodenet.command import Answer, Values
from dsodenet.data import IMAGE_SUFFIXES, Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.reference import Reference
from dsodenet.rtl import of_spec
from dsodenet.runs import Run
from dsodenet.runtime import Cascade, Point, as_accurate, cheapest, check_number, curve, load_images, usual_stages
from dsodenet.spec import Params, Spec
from dsodenet.text import progress_bar, table

MOST_SECONDS, MOST_GENERATIONS = 86_400.0, 100_000


def adapt_model(args: argparse.Namespace) -> Answer:
    run, params = Run.of(args.run), Params.load(args.run)
    network = params.spec.network
    check_number("budget", args.budget, float, 1e-3, MOST_SECONDS)
    check_number("generations", args.generations, int, 1, MOST_GENERATIONS)
    check_number("seed", args.seed, int, 0, (1 << 32) - 1)
    images, labels = _new_images(args.images, params.spec)
    test = None if args.test is None else load_dataset(args.test, network, params.spec.images)
    if len(images) < FEWEST:
        raise InputError(f"{args.images} has {len(images)} images, but adapting needs at least {FEWEST}")
    with progress_bar("adapt", None, args.quiet) as step:
        result = adapt_run(
            run,
            images,
            labels,
            args.out,
            args.method,
            backend=args.backend,
            budget_s=args.budget,
            generations=args.generations,
            seed=args.seed,
            progress=lambda generation, value: step(f"generation {generation}, misfit {value:.3f}"),
        )
    data = {"run": str(args.out)} | result.to_dict()
    if test is not None:
        before, after = (_accuracy(model, test) for model in (params, result.params))
        data |= {"test": test.name, "accuracy": {"source": before, "adapted": after}}
    return Values(data, _adapted_text)


def _new_images(source: str, spec: Spec) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Images to adapt to, and their labels where a data set tells them."""
    path = Path(source)
    if path.is_file() or (path.is_dir() and any(child.suffix.lower() in IMAGE_SUFFIXES for child in path.iterdir())):
        return load_images(path, spec)[0], None
    data = load_dataset(source, spec.network, spec.images)
    return data.train_images, data.train_labels


def _accuracy(params: Params, data: Dataset) -> float:
    return float(np.mean(Reference(params).predict(data.test_images).argmax(axis=1) == data.test_labels))


def _adapted_text(data: dict[str, Any]) -> str:
    kept = f"the source model was kept: {data['reason']}" if data["kept"] else "the adapted model"
    methods, time = "+".join(data["methods"]), f"{data['seconds']:.1f} s (measured on this processor)"
    lines = [f"{data['run']} holds {kept}", f"{methods} on {data['images']} images in {time}"]
    if "accuracy" in data:
        before, after = data["accuracy"]["source"], data["accuracy"]["adapted"]
        lines.append(f"test split of {data['test']}: {before:.2%} before, {after:.2%} after (integers, measured)")
    return "\n".join(lines)


def calibrate_model(args: argparse.Namespace) -> Answer:
    params = Params.load(args.run)
    cascade = Cascade(args.steps or usual_stages(params.spec.solver.n_steps), 0.5)  # checks the steps
    if args.accuracy is not None and not 0 < args.accuracy <= 1:
        raise InputError(f"accuracy is {args.accuracy}, but it must be more than 0 and at most 1")
    data = load_dataset(args.data, params.spec.network, params.spec.images)
    solutions, cycles = [], []
    with progress_bar("calibrate", len(cascade.steps), args.quiet) as step:
        for n_steps in cascade.steps:
            step(f"{n_steps} steps")
            stage = params.with_solver(n_steps=n_steps)
            solutions.append(Reference(stage).predict(data.train_images))
            cycles.append(float(of_spec(stage.spec).cycles))
    points = curve(solutions, cycles, data.train_labels, params.logits_scale)
    full = float(np.mean(solutions[-1].argmax(axis=1) == data.train_labels))
    if args.cycles is not None:
        best = _within(points, args.cycles)
    else:
        best = as_accurate(points, full) if args.accuracy is None else cheapest(points, args.accuracy)
    answer = {
        "run": str(args.run),
        "data": data.name,
        "images": len(data.train_labels),
        "cascade": list(cascade.steps),
        "threshold": best.threshold,
        "accuracy": best.accuracy,
        "cycles": best.cycles,
        "stages": [
            {
                "n_steps": n_steps,
                "accuracy": float(np.mean(logits.argmax(axis=1) == data.train_labels)),
                "cycles": taken,
            }
            for n_steps, logits, taken in zip(cascade.steps, solutions, cycles)
        ],
    }
    return Values(answer, _calibrated_text)


def _within(points: list[Point], cycles: float) -> Point:
    """The most accurate point of at most so many cycles, the cheaper of equals."""
    within = [point for point in points if point.cycles <= cycles]
    if not within:
        least = min(point.cycles for point in points)
        raise InputError(f"cycles is {cycles:g}, but this cascade takes at least {least:.0f} per image")
    return max(within, key=lambda point: (point.accuracy, -point.cycles))


def _calibrated_text(data: dict[str, Any]) -> str:
    rows = [
        (f"{stage['n_steps']} steps", f"{stage['accuracy']:.2%}", f"{stage['cycles']:.0f}") for stage in data["stages"]
    ]
    steps = ", ".join(map(str, data["cascade"]))
    rows.append((f"cascade {steps} at {data['threshold']}", f"{data['accuracy']:.2%}", f"{data['cycles']:.0f}"))
    note = (
        f"{data['images']} training images of {data['data']}; cycles per image of the rtl kernel, estimated\n"
        f"use: Accelerator.predict(images, cascade=[{steps}], threshold={data['threshold']})"
    )
    return f"{table(('', 'accuracy', 'cycles'), rows)}\n{note}"
