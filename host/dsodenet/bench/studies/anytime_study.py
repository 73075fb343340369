"""What few solver steps cost a network that was trained for them, and one that was not; what a cascade saves.

Accuracies are those of the exported integers. A cascade's threshold is chosen on images that are neither trained nor
tested on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dsodenet.bench.machine import origin
from dsodenet.bench.studies.once import once
from dsodenet.command import Values
from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.exporting import extract
from dsodenet.reference import Reference
from dsodenet.rtl import of_spec
from dsodenet.runtime import Cascade, as_accurate, curve, usual_stages
from dsodenet.spec import Params, Spec
from dsodenet.text import paragraph, percent_text, spread, table
from dsodenet.training import Options, load_checkpoint, train

FIXED, ANYTIME = "supervised", "anytime"
CALIBRATION_SEED = 7


@dataclass(frozen=True)
class Trained:
    """One training: the accuracy of its integers under each number of steps, and that of its cascade."""

    recipe: str
    accuracy: dict[int, float]
    cascade: float
    saved: float  # share of the cycles of the full solve


def held_back(data: Dataset, images: int) -> tuple[Dataset, Dataset]:
    """(the rest, so many training images that nothing is trained on), always the same ones."""
    if not 0 < images < len(data.train_images):
        raise InputError(f"calibration-images is {images}, but {data.name} has {len(data.train_images)} to train on")
    order = np.random.RandomState(CALIBRATION_SEED).permutation(len(data.train_images))
    kept, held = np.sort(order[images:]), np.sort(order[:images])
    rest, other = (
        replace(data, train_images=data.train_images[chosen], train_labels=data.train_labels[chosen])
        for chosen in (kept, held)
    )
    return rest, other


def stages(text: str | None, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Steps of each stage of a cascade, from "2,8"; without one, the usual ones of a solver of these steps."""
    try:
        found = tuple(map(int, text.split(","))) if text is not None else usual_stages(steps)
    except ValueError:
        raise InputError(f"cascade is {text!r}, but it must be two or more step counts such as 2,8") from None
    Cascade(found, 0.5)  # checks them
    return found


def measured(
    params: Params, data: Dataset, held: Dataset, steps: tuple[int, ...], cascade: tuple[int, ...]
) -> tuple[dict[int, float], float, float]:
    """(accuracy by steps, accuracy of the cascade, share of the full solve's cycles that it saves), on test images."""
    solved = {n: params.with_solver(n_steps=n) for n in dict.fromkeys((*steps, *cascade))}
    logits = {n: Reference(stage).predict(data.test_images) for n, stage in solved.items()}
    accuracy = {n: float(np.mean(logits[n].argmax(axis=1) == data.test_labels)) for n in steps}
    cycles = [float(of_spec(solved[n].spec).cycles) for n in cascade]
    tried = [Reference(solved[n]).predict(held.train_images) for n in cascade]
    full = float(np.mean(tried[-1].argmax(axis=1) == held.train_labels))
    threshold = as_accurate(curve(tried, cycles, held.train_labels, params.logits_scale), full).threshold
    plan = Cascade(cascade, threshold)
    found, ended = plan.predict(
        lambda n, images: Reference(solved[n]).predict(images), data.test_images, params.logits_scale
    )
    spent = sum(cost * np.mean(ended >= n) for n, cost in zip(cascade, cycles))
    right = float(np.mean(found.argmax(axis=1) == data.test_labels))
    return accuracy, right, 1 - float(spent) / cycles[-1]


def study(spec: Spec, data: Dataset, cascade: tuple[int, ...], args: argparse.Namespace) -> list[Trained]:
    most = max(spec.solver.n_steps)
    steps = tuple(sorted({max(1, most // part) for part in (1, 2, 4, 8)}))
    rest, held = held_back(data, args.calibration_images)
    found = []
    for recipe in (FIXED, ANYTIME):
        for seed in range(args.seeds):
            options = Options(
                epochs=args.epochs,
                qat_epochs=args.qat_epochs,
                batch_size=args.batch_size,
                learning_rate=args.learning_rate,
                seed=seed,
                train_images=args.train_images,
                device=args.device,
                progress=False,
            )
            run = args.out / f"{recipe}-{data.name}-{seed}"
            once(run, partial(train, spec, rest, run, options, recipe, resume=True))
            params = extract(load_checkpoint(run)[0])
            found.append(Trained(recipe, *measured(params, data, held, steps, cascade)))
            told = ", ".join(f"{n} steps {share:.2%}" for n, share in found[-1].accuracy.items())
            print(f"{recipe}, seed {seed}: {told}; cascade {found[-1].cascade:.2%}", file=sys.stderr)
    return found


def summary(spec: Spec, found: list[Trained], cascade: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row for each recipe and number of steps, and one for the recipe's cascade."""
    most = max(spec.solver.n_steps)
    full = float(of_spec(spec).cycles)
    rows: list[dict[str, Any]] = []
    for recipe in (FIXED, ANYTIME):
        own = [item for item in found if item.recipe == recipe]
        for n in own[0].accuracy:
            rows.append(
                {
                    "recipe": recipe,
                    "n_steps": [n],
                    "accuracy": spread([item.accuracy[n] for item in own]),
                    "lost": spread([item.accuracy[most] - item.accuracy[n] for item in own]),
                    "cycles": float(of_spec(spec.with_solver(n_steps=n)).cycles),
                }
            )
        rows.append(
            {
                "recipe": recipe,
                "n_steps": list(cascade),
                "accuracy": spread([item.cascade for item in own]),
                "lost": spread([item.accuracy[most] - item.cascade for item in own]),
                "cycles": full * (1 - float(np.mean([item.saved for item in own]))),
            }
        )
    return [row | {"saved": 1 - row["cycles"] / full} for row in rows]


def text(result: dict[str, Any]) -> str:
    rows = []
    for row in result["rows"]:
        steps = ", then ".join(map(str, row["n_steps"]))
        name = f"{steps} steps" if len(row["n_steps"]) == 1 else f"cascade {steps}"
        lost = percent_text(row["lost"], 2)
        rows.append(
            (
                row["recipe"],
                name,
                percent_text(row["accuracy"], 2),
                lost,
                f"{row['cycles']:,.0f}",
                f"{row['saved']:.0%}",
            )
        )
    about = (
        f"{result['spec']}, {result['solver']}, trained on {result['images']} images of {result['data']} for "
        f"{result['epochs']} + {result['qat_epochs']} epochs, {result['seeds']} seeds each; integers on all test "
        f"images, measured; cycles an image on the rtl kernel, estimated. The threshold of a cascade was chosen on "
        f"{result['calibration_images']} other images, so that nothing is lost there."
    )
    header = ("recipe", "solve", "accuracy %", "lost, points", "cycles", "saved")
    return f"{paragraph(about)}\n{table(header, rows)}"


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study anytime`."""
    if not 1 <= args.seeds <= 100:
        raise InputError(f"seeds is {args.seeds}, but it must be 1 to 100")
    spec = Spec.load(args.spec)
    if len(set(spec.solver.n_steps)) > 1 or max(spec.solver.n_steps) < 4:
        raise InputError(
            f"solver.n_steps is {list(spec.solver.n_steps)}, but this study needs 4 or more, the same for every block"
        )
    cascade = stages(args.cascade, spec.solver.n_steps)
    data = load_dataset(args.data, spec.network, spec.images)
    found = study(replace(spec, class_names=()), data, cascade, args)
    about = {name: getattr(args, name) for name in ("epochs", "qat_epochs", "seeds", "calibration_images")}
    about |= {"spec": spec.name, "solver": spec.solver.method, "data": data.name}
    about |= {"images": args.train_images or len(data.train_images) - args.calibration_images}
    kinds = {"accuracy, lost": "measured", "cycles, saved": "estimated"}
    head = origin("dsodenet study anytime", kinds, "torch", "brevitas")
    return Values(head | about | {"rows": summary(spec, found, cascade)}, text)
