"""What each training recipe buys: one table and one figure, every figure measured in this run.

Each row is trained once per seed. A finished cell is a line of OUT/cells.jsonl and is not run again. A cell that was
cut short goes on where it stood. Integer accuracies are those of the exported integers in the reference.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

import dsodenet
from dsodenet.bench.machine import cpu_name, origin
from dsodenet.bench.studies.recipe_report import summary, text
from dsodenet.bench.studies.recipe_rows import DEFAULT, FULL, Row, Scale, chosen
from dsodenet.command import Values
from dsodenet.errors import InputError
from dsodenet.runs import Run, check_output
from dsodenet.spec import Spec, canonical_json
from dsodenet.text import progress_bar, table
from dsodenet.training import PRESETS, RECIPES, Options

OPTIONS = ("epochs", "qat_epochs", "teacher_epochs", "learning_rate", "train_images", "labels_per_class")
PICTURES = "s"  # the size for data that are not the digits
CELLS_FILE = "cells.jsonl"
SHARED_NORM = "batch_shared"  # takes the statistics of all evaluations of f for the same
VERIFIED = ("torch", "cpu", "csim", "rtl")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A row at one seed."""

    row: Row
    seed: int
    scale: Scale
    out: Path

    @property
    def key(self) -> str:
        """What the result depends on; a changed setting is another cell."""
        settings = [dataclasses.asdict(part) for part in (self.row, self.scale)] + [self.seed, dsodenet.__version__]
        return hashlib.sha256(canonical_json(settings)).hexdigest()[:16]

    @property
    def run(self) -> Path:
        return self.out / f"{'-'.join(self.row.name.replace(',', '').split())}-{self.seed}-{self.key}"

    @property
    def spec(self) -> Spec:
        network = dataclasses.replace(self.scale.spec.network, norm=self.row.norm)
        return dataclasses.replace(self.scale.spec, network=network)


def stretch(recipe: str, options: Options, classes: int) -> int:
    """How many epochs of the few images with labels take as many steps as one of all images, where labels are needed.

    Else a student alone would end after a hundredth of the steps of one that learns from a teacher on every image.
    """
    if not options.labels_per_class or not options.train_images:
        return 1
    own = [stage for stage in RECIPES[recipe].stages if stage.schedule != "teacher"]
    if not all(stage.needs_labels for stage in own):
        return 1
    return max(1, options.train_images // (options.labels_per_class * classes))


def run_cell(cell: Cell, teacher: Path | None) -> dict[str, Any]:
    """Train and measure one cell. teacher: the run folder of this seed's teacher."""
    from dsodenet.bench.studies.solver_grid import drift
    from dsodenet.exporting import extract
    from dsodenet.reference import Reference
    from dsodenet.spec import macs, parameter_comparison, parameters
    from dsodenet.training import load_checkpoint, load_float_model, train

    row, scale = cell.row, cell.scale
    target = None if row.target is None else scale.load(row.target)
    data = target if target is not None and row.on_target else scale.load(scale.data)
    options = scale.options if target is None else scale.adaptation
    factor = row.times * stretch(row.recipe, options, len(data.class_names))
    options = dataclasses.replace(
        options, seed=cell.seed, epochs=factor * options.epochs, qat_epochs=factor * options.qat_epochs
    )
    teachers = [scale.teacher] if row.new_teacher else [str(teacher)] if row.teacher else []
    metrics = train(cell.spec, data, cell.run, options, row.recipe, target=target, teachers=teachers, resume=True)
    integer = None
    measured = data if target is None else target
    if metrics["qat_accuracy"] is not None:
        logits = Reference(extract(load_checkpoint(cell.run)[0])).predict(measured.test_images)
        integer = float(np.mean(logits.argmax(axis=1) == measured.test_labels))
    model, spec, _ = load_float_model(cell.run)  # a compressed network has another spec
    seconds = {name: stage["seconds"] for name, stage in metrics["stages"].items()}
    return {
        "key": cell.key,
        "row": row.name,
        "seed": cell.seed,
        "float_accuracy": metrics["float_accuracy"] if target is None else metrics["target_float_accuracy"],
        "integer_accuracy": integer,
        "source_float_accuracy": metrics["float_accuracy"] if not row.on_target else None,
        "moved": max(block["mean"] for block in drift(model, data)) if row.norm == SHARED_NORM else None,
        "parameters": sum(parameters(spec).values()),
        "parameters_compared": parameter_comparison(spec),
        "macs": sum(macs(spec).values()),
        "student_seconds": sum(s for name, s in seconds.items() if not name.startswith("teacher")),
        "teacher_seconds": sum(s for name, s in seconds.items() if name.startswith("teacher")),
        "teachers": metrics["teachers"],
    }


def train_teacher(scale: Scale, seed: int, out: Path) -> Path:
    """The run folder of the teacher that all students of a seed share."""
    from dsodenet.training import train

    digest = hashlib.sha256(canonical_json([dataclasses.asdict(scale), seed, dsodenet.__version__])).hexdigest()[:16]
    run = out / f"teacher-{seed}-{digest}"
    if not Run(run).metrics.exists():
        options = dataclasses.replace(scale.options, seed=seed)
        train(
            scale.spec,
            scale.load(scale.data),
            run,
            options,
            "teacher",
            teachers=[scale.teacher],
            resume=True,
        )
    return run


def finished_cells(path: Path) -> dict[str, dict[str, Any]]:
    """The cells of earlier runs by key; a line that was cut short is no cell."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            cell = json.loads(line)
            found[str(cell["key"])] = cell
        except (ValueError, KeyError, TypeError):
            continue
    return found


def measure(
    table_rows: Sequence[Row], scale: Scale, seeds: int, workers: int, out: Path, quiet: bool
) -> list[dict[str, Any]]:
    """One result per row and seed, from earlier runs or new."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / CELLS_FILE
    known = finished_cells(path)
    cells = [Cell(row, seed, scale, out) for seed in range(seeds) for row in table_rows]
    todo = [cell for cell in cells if cell.key not in known]
    with (
        ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool,
        progress_bar("recipes", len(todo), quiet) as step,
    ):
        needed = sorted({cell.seed for cell in todo if cell.row.teacher})
        teachers = dict(zip(needed, pool.map(train_teacher, [scale] * len(needed), needed, [out] * len(needed))))
        futures = {pool.submit(run_cell, cell, teachers.get(cell.seed)): cell for cell in todo}
        try:
            for future in as_completed(futures):
                result = future.result()
                known[result["key"]] = result
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                step(f"{result['row']}, seed {result['seed']}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [known[cell.key] for cell in cells]


def about(workers: int) -> dict[str, Any]:
    """What heads the result."""
    kinds = {"accuracies, seconds, moved": "measured", "parameters, macs": "counted"}
    head = origin("dsodenet study recipes", kinds, "torch", "brevitas")
    return head | {"processor": cpu_name(), "workers": workers}


def verify_all(scale: Scale, out: Path, quiet: bool) -> list[dict[str, Any]]:
    """Train every recipe for one epoch, export, lower, and compare each rung with the reference: differing words."""
    from dsodenet.exporting import export
    from dsodenet.hls import lower
    from dsodenet.ladder import verify
    from dsodenet.training import RECIPES, train

    data = scale.load(scale.data)
    target = scale.load(scale.targets[0]) if scale.targets else None
    options = dataclasses.replace(scale.options, epochs=1, qat_epochs=1, teacher_epochs=1)
    result = []
    quantising = {
        name: recipe
        for name, recipe in RECIPES.items()
        if recipe.quantises and (target is not None or not recipe.needs_target)
    }
    with progress_bar("recipes", len(quantising), quiet) as step:
        for name, recipe in quantising.items():
            step(name)
            run = out / f"verify-{name}"
            teachers = [scale.teacher] if recipe.needs_teacher else []
            domain = target if recipe.needs_target else None
            train(scale.spec, data, run, options, name, target=domain, teachers=teachers)
            export(run)
            lower(run)
            rungs = verify(run, VERIFIED, data.test_images[:16]).rungs
            result.append({"recipe": name, "words": rungs[0].words} | {rung.backend: rung.differing for rung in rungs})
    return result


def scale_of(args: argparse.Namespace) -> Scale:
    """DEFAULT or FULL, with what the command line says instead.

    Domains are generated from digits only, so other data have no rows that adapt: `dsodenet study domains` takes two
    data sets.
    """
    scale = FULL if args.full else DEFAULT
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    preset = PRESETS[args.preset] if args.preset is not None else {}
    options = dataclasses.replace(scale.options, **(preset | given))
    adaptation = dataclasses.replace(scale.adaptation, **(preset | given))
    same = args.data == scale.data
    spec = scale.spec if same and args.spec is None else Spec.load(args.spec or PICTURES)
    return Scale(spec, options, adaptation, args.teacher or scale.teacher, scale.targets if same else (), args.data)


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study recipes`."""
    if args.plot is not None:
        check_output(args.plot, ".png")
    if min(args.seeds, args.workers) < 1:
        raise InputError(f"seeds is {args.seeds} and workers is {args.workers}, but both must be 1 or more")
    scale = scale_of(args)
    if args.verify:
        return Values(verified(verify_all(scale, args.out, args.quiet)), verified_text)
    table_rows = chosen(scale, args.only)
    cells = measure(table_rows, scale, args.seeds, args.workers, args.out, args.quiet)
    result = about(args.workers) | summary(table_rows, scale, cells) | {"cells": cells}
    if args.plot is not None:
        from dsodenet.plots import recipes_figure, save

        save(recipes_figure(result), args.plot)
    return Values(result, text)


def verified(rows: list[dict[str, Any]]) -> dict[str, Any]:
    head = origin("dsodenet study recipes --verify", {"words, differing": "counted"}, "torch", "brevitas", "hls4ml")
    return head | {"rows": rows, "differing": sum(row[rung] for row in rows for rung in VERIFIED)}


def verified_text(result: dict[str, Any]) -> str:
    return table(tuple(result["rows"][0]), [tuple(row.values()) for row in result["rows"]])
