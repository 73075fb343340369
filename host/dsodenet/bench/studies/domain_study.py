"""Adaptation between two data sets, both ways, over several seeds: what each recipe buys on real domains."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dsodenet.bench.machine import origin
from dsodenet.bench.studies.once import once
from dsodenet.command import Values
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.spec import Spec
from dsodenet.text import table
from dsodenet.training import RECIPES, Options, train

SOURCE_ONLY, SUPERVISED = "source-only", "target-supervised"  # the two ends that every recipe lies between


@dataclass(frozen=True)
class Row:
    """A recipe from one domain to the other: accuracies of the integers on the target's test images, one a seed."""

    recipe: str
    source: str
    target: str
    accuracy: list[float]
    float_accuracy: list[float]

    def to_dict(self) -> dict[str, Any]:
        spread = statistics.stdev(self.accuracy) if len(self.accuracy) > 1 else None
        return vars(self) | {"mean": statistics.fmean(self.accuracy), "sd": spread}


def trained(
    run: Path, spec: Spec, options: Options, recipe: str, source: Dataset, target: Dataset
) -> Mapping[str, Any]:
    """The metrics of a training, which is taken up where it was left."""
    if recipe == SUPERVISED:
        source, options = target, replace(options, train_images=options.target_images)
    name = "supervised" if recipe in (SOURCE_ONLY, SUPERVISED) else recipe
    teachers = ["wide"] if RECIPES[name].needs_teacher else []
    training = partial(train, spec, source, run, options, name, target=target, teachers=teachers, resume=True)
    return once(run, training)


def study(spec: Spec, domains: tuple[Dataset, Dataset], images: tuple[int, int], args: argparse.Namespace) -> list[Row]:
    rows = []
    for recipe in args.recipes.split(","):
        for here, there in ((0, 1), (1, 0)):
            source, target = domains[here], domains[there]
            found = []
            for seed in range(args.seeds):
                options = Options(
                    epochs=args.epochs,
                    qat_epochs=args.qat_epochs,
                    teacher_epochs=args.epochs,
                    learning_rate=args.learning_rate,
                    seed=seed,
                    train_images=images[here],
                    target_images=images[there],
                    device=args.device,
                    progress=False,
                )
                run = args.out / f"{recipe}-{source.name}-{target.name}-{seed}"
                found.append(trained(run, spec, options, recipe, source, target))
                accuracy = found[-1]["target_qat_accuracy"]
                print(f"{recipe}, {source.name} to {target.name}, seed {seed}: {accuracy:.2%}", file=sys.stderr)
            keys = ("target_qat_accuracy", "target_float_accuracy")
            accuracies = ([float(metrics[key]) for metrics in found] for key in keys)
            rows.append(Row(recipe, source.name, target.name, *accuracies))
    return rows


def text(result: dict[str, Any]) -> str:
    rows = []
    for row in result["rows"]:
        spread = "-" if row["sd"] is None else f"{100 * row['sd']:.1f}"
        seeds = " ".join(f"{100 * value:.1f}" for value in row["accuracy"])
        rows.append((row["recipe"], f"{row['source']} to {row['target']}", f"{100 * row['mean']:.1f}", spread, seeds))
    about = (
        f"{result['spec']}, {result['epochs']} + {result['qat_epochs']} epochs, "
        f"learning rate {result['learning_rate']:g}; "
        f"{' and '.join(f'{count} images of {name}' for name, count in result['images'].items())}, "
        f"tested on all test images; integers"
    )
    return f"{about}\n{table(('recipe', 'domains', 'mean %', 'sd', 'each seed'), rows)}"


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study domains`."""
    known = (SOURCE_ONLY, SUPERVISED, *(name for name, recipe in RECIPES.items() if recipe.needs_target))
    if unknown := [name for name in args.recipes.split(",") if name not in known]:
        raise InputError(f"recipe is {unknown[0]!r}, but it must be some of {', '.join(known)}")
    if not 1 <= args.seeds <= 100:
        raise InputError(f"seeds is {args.seeds}, but it must be 1 to 100")
    spec = Spec.load(args.spec)
    domains = load_dataset(args.first, spec.network, spec.images), load_dataset(args.second, spec.network, spec.images)
    images = args.first_images, args.second_images
    rows = study(replace(spec, class_names=()), domains, images, args)
    result = origin("dsodenet study domains", {"accuracy": "measured"}, "torch", "brevitas")
    about = {key: getattr(args, key) for key in ("epochs", "qat_epochs", "learning_rate")}
    about |= {"spec": spec.name, "fingerprint": spec.fingerprint()}
    counts = {data.name: count or len(data.train_images) for data, count in zip(domains, images)}
    return Values(result | about | {"images": counts, "rows": [row.to_dict() for row in rows]}, text)
