"""What each method of `dsodenet adapt` buys: accuracy on another domain's test images, in integers, over several seeds.

A seed draws the unlabelled images from the target's training split. The test split is used for nothing but the figures.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting import METHODS, Evaluate, Statistics, adapt, chosen_methods, observe
from dsodenet.bench.machine import origin
from dsodenet.command import Values
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.reference import Reference
from dsodenet.rtl import of_spec
from dsodenet.spec import Params, split_features, with_features
from dsodenet.text import percent_text, progress_bar, spread, table

SOURCE_IMAGES = 512
LABELLED = 10  # images of each class that `head` gets


class Counted:
    """The reference, counting the images that went through it."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, params: Params, images: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        self.images += len(images)
        return split_features(Reference(with_features(params), threads=1).predict(images), params)


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
    evaluate: Evaluate = Counted()
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
    right = Reference(result.params).predict(target.test_images).argmax(axis=1) == target.test_labels
    passes = evaluate.images if isinstance(evaluate, Counted) else 0
    return {"accuracy": float(right.mean()), "kept": result.kept, "seconds": result.seconds, "passes": passes}


def measure(
    params: Params, source: Dataset, target: Dataset, names: list[str], images: int, generations: int, seeds: int,
    progress: bool,
) -> dict[str, Any]:  # fmt: skip
    """Rows of methods; accuracies in [0, 1] of each seed."""
    statistics = observe(params, source.train_images[:SOURCE_IMAGES])
    before = Reference(params).predict(target.test_images).argmax(axis=1) == target.test_labels
    cost = of_spec(params.spec)
    rows: list[dict[str, Any]] = [{"method": "source only", "accuracy": [float(before.mean())], "kept": 0}]
    with progress_bar("adapting", len(names) * seeds, not progress) as step:
        for name in names:
            found = []
            for seed in range(seeds):
                step(f"{name}, seed {seed}")
                found.append(trial(params, statistics, target, name, images, generations, seed))
            passes = max(item["passes"] for item in found)
            rows.append(
                {
                    "method": name,
                    "accuracy": [item["accuracy"] for item in found],
                    "kept": sum(item["kept"] for item in found),
                    "seconds": min(item["seconds"] for item in found),
                    "passes": passes,
                    "engine_seconds": passes * cost.cycles / cost.clock_mhz / 1e6,
                }
            )
    return {
        "model": params.spec.name,
        "source": source.name,
        "target": target.name,
        "images": images,
        "test_images": len(target.test_labels),
        "generations": generations,
        "labelled": LABELLED,
        "assumed_clock_mhz": cost.clock_mhz,
        "rows": rows,
    }


def text(result: dict[str, Any]) -> str:
    lines = []
    for row in result["rows"]:
        cells = ["", "", ""]
        if "passes" in row:
            cells = [f"{row['passes']}", f"{row['seconds']:.1f}", f"{row['engine_seconds']:.2f}"]
        lines.append(
            (row["method"], percent_text(spread(row["accuracy"])), str(row["kept"]) if "passes" in row else "", *cells)
        )
    title = (
        f"{result['model']} trained on {result['source']}, adapted to {result['images']} unlabelled images of "
        f"{result['target']};\naccuracy % of integers on its {result['test_images']} test images, measured"
    )
    header = ("method", "accuracy", "kept", "images run", "s here", "s engine")
    note = (
        "kept: draws after which the guard kept the source model. s here: measured, the shortest draw, reference on\n"
        f"this processor. s engine: images run by the rtl kernel's cycles at {result['assumed_clock_mhz']:g} MHz, "
        f"estimated.\nhead gets {result['labelled']} labelled images of each class, and nothing else"
    )
    return f"{title}\n{table(header, lines)}\n{note}"


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study adapting`."""
    params = Params.load(args.run)
    names = args.methods.split(";")
    for name in names:
        chosen_methods(name, "rtl", True, True)
    for what, value in (("images", args.images), ("generations", args.generations), ("seeds", args.seeds)):
        if value < 1:
            raise InputError(f"{what} is {value}, but it must be 1 or more")
    source, target = (load_dataset(name, params.spec.network, params.spec.images) for name in (args.data, args.target))
    result = measure(params, source, target, names, args.images, args.generations, args.seeds, not args.quiet)
    kinds = {"accuracy, seconds": "measured", "engine_seconds": "estimated"}
    return Values(origin("dsodenet study adapting", kinds, "numpy") | result, text)
