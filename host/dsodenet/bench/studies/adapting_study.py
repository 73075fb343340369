"""What each method of `dsodenet adapt` buys: accuracy on another domain's test images, in integers, over several seeds.

A seed draws the unlabelled images from the target's training split. The test split is used for nothing but the figures.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting import METHODS, Statistics, adapt, chosen_methods, observe
from dsodenet.bench.machine import origin
from dsodenet.bench.published import A53_GMAC_PER_S, A53_PYTHON_FACTOR
from dsodenet.command import Values
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.reference import Reference
from dsodenet.rtl import of_spec
from dsodenet.spec import Params, split_features, with_features
from dsodenet.text import paragraph, percent_text, progress_bar, spread, table

SOURCE_IMAGES = 512
LABELLED = 10  # images of each class that `head` gets


class Counted:
    """The reference, counting the images that went through it, and the seconds that they took."""

    def __init__(self) -> None:
        self.images, self.seconds = 0, 0.0

    def __call__(self, params: Params, images: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        start = perf_counter()
        self.images += len(images)
        found = split_features(Reference(with_features(params), threads=1).predict(images), params)
        self.seconds += perf_counter() - start
        return found


def trial(
    params: Params, source: Statistics, target: Dataset, name: str, images: int, generations: int, seed: int
) -> dict[str, Any]:
    """One method on one draw of images."""
    order = np.random.default_rng(seed).permutation(len(target.train_images))[:images]
    pixels, labels = target.train_images[order], target.train_labels[order]
    needs_labels = any(METHODS[part].needs_labels for part in name.split(","))
    if needs_labels:  # a few labelled images are all that it gets
        few = np.concatenate([np.flatnonzero(labels == label)[:LABELLED] for label in np.unique(labels)])
        pixels, labels = pixels[few], labels[few]
    evaluate = Counted()
    result = adapt(
        params,
        pixels,
        evaluate,
        chosen_methods(name, "rtl", needs_labels, True),
        labels=labels if needs_labels else None,
        source=source,
        budget_s=float("inf"),
        generations=generations,
        seed=seed,
    )
    right = predicted(result.params, target) == target.test_labels
    return {
        "accuracy": float(right.mean()),
        "kept": result.kept,
        "seconds": result.seconds,
        "own_seconds": result.seconds - evaluate.seconds,
        "passes": evaluate.images,
    }


def measure(
    models: list[Params], source: Dataset, target: Dataset, names: list[str], images: int, generations: int,
    seeds: int, progress: bool,
) -> dict[str, Any]:  # fmt: skip
    """Rows of methods; accuracies in [0, 1] of each model and seed, and what they gain over the model as it was."""
    before = [float((predicted(model, target) == target.test_labels).mean()) for model in models]
    statistics = [observe(model, source.train_images[:SOURCE_IMAGES]) for model in models]
    cost, (_, _, rate) = of_spec(models[0].spec), A53_GMAC_PER_S[-1]
    rows: list[dict[str, Any]] = [{"method": "source only", "accuracy": before, "kept": 0}]
    with progress_bar("adapting", len(names) * len(models) * seeds, not progress) as step:
        for name in names:
            found, gains = [], []
            for number, (model, seen, home) in enumerate(zip(models, statistics, before)):
                for seed in range(seeds):
                    step(f"{name}, model {number + 1}, seed {seed}")
                    found.append(trial(model, seen, target, name, images, generations, seed))
                    gains.append(found[-1]["accuracy"] - home)
            passes = max(item["passes"] for item in found)
            python = A53_PYTHON_FACTOR[1] * min(item["own_seconds"] for item in found)
            engine = passes * cost.cycles / cost.clock_mhz / 1e6
            rows.append(
                {
                    "method": name,
                    "accuracy": [item["accuracy"] for item in found],
                    "gain": spread(gains),
                    "kept": sum(item["kept"] for item in found),
                    "seconds": min(item["seconds"] for item in found),
                    "passes": passes,
                    "engine_seconds": engine,
                    "a53_with_engine_s": python + engine,
                    "a53_alone_s": python + passes * cost.macs / rate / 1e9,
                }
            )
    return {
        "model": models[0].spec.name,
        "models": len(models),
        "source": source.name,
        "target": target.name,
        "images": images,
        "test_images": len(target.test_labels),
        "generations": generations,
        "labelled": LABELLED,
        "assumed_clock_mhz": cost.clock_mhz,
        "rows": rows,
    }


def predicted(params: Params, target: Dataset) -> NDArray[np.int64]:
    return Reference(params).predict(target.test_images).argmax(axis=1)


def text(result: dict[str, Any]) -> str:
    rows = []
    for row in result["rows"]:
        cells = ["", "", "", "", ""]
        if "passes" in row:
            seconds = (f"{row[key]:.3g}" for key in ("seconds", "a53_with_engine_s", "a53_alone_s"))
            cells = [percent_text(row["gain"], signed=True), f"{row['passes']}", *seconds]
        kept = str(row["kept"]) if "passes" in row else ""
        rows.append((row["method"], percent_text(spread(row["accuracy"])), cells[0], kept, *cells[1:]))
    count = result.get("models", 1)
    title = (
        f"{result['model']} trained on {result['source']}, {count} training{'s' * (count > 1)}, adapted to "
        f"{result['images']} unlabelled images of {result['target']}; integers on its {result['test_images']} test "
        "images, measured"
    )
    header = ("method", "accuracy %", "gain, points", "kept", "images run", "s here", "s engine", "s A53")
    note = (
        "kept: draws after which the guard kept the source model. s here: measured, the shortest draw, reference on "
        "this processor. Estimated for the board, four Cortex-A53 and Python at "
        f"{A53_PYTHON_FACTOR[1]:g} times our time: s engine, with the rtl kernel at "
        f"{result['assumed_clock_mhz']:g} MHz for the images; s A53, with its published int8 rate instead. head gets "
        f"{result['labelled']} labelled images of each class, and nothing else."
    )
    return f"{paragraph(title)}\n{table(header, rows)}\n{paragraph(note)}"


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study adapting`."""
    models = [Params.load(run) for run in args.runs]
    for name, model in zip(args.runs, models):
        if model.spec.network != models[0].spec.network:
            raise InputError(f"{name} is of another network than {args.runs[0]}, but all must be trainings of one")
    names = args.methods.split(";")
    for name in names:
        chosen_methods(name, "rtl", True, True)
    for what, value in (("images", args.images), ("generations", args.generations), ("seeds", args.seeds)):
        if value < 1:
            raise InputError(f"{what} is {value}, but it must be 1 or more")
    spec = models[0].spec
    source, target = (load_dataset(name, spec.network, spec.images) for name in (args.data, args.target))
    result = measure(models, source, target, names, args.images, args.generations, args.seeds, not args.quiet)
    kinds = {"accuracy, gain, seconds": "measured", "engine_seconds, a53_with_engine_s, a53_alone_s": "estimated"}
    return Values(origin("dsodenet study adapting", kinds, "numpy") | result, text)
