"""Training: recipes as data, one loop, and the run folder that they leave. Imports torch.

    train("supervised" | ..., spec, data, out)  ->  OUT/checkpoint.pt, metrics.json, metrics.csv

load_checkpoint(out) reads it back.

How recipes, stages, losses and the loop fit together, and where to add what: docs, pages Architecture and Extending.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsodenet.data import Dataset, select
from dsodenet.errors import InputError
from dsodenet.files import only_one
from dsodenet.nets import DsODENet, threads_for
from dsodenet.runs import Run
from dsodenet.spec import Spec
from dsodenet.training.checkpoint import Trained, load_checkpoint, load_float_model, save_checkpoint
from dsodenet.training.journal import Journal
from dsodenet.training.loop import History, fit
from dsodenet.training.options import PRESETS, Options
from dsodenet.training.places import Place, place
from dsodenet.training.recipe import Recipe, Stage
from dsodenet.training.recipes import RECIPES
from dsodenet.training.result import TrainingResult
from dsodenet.training.schedule import limits
from dsodenet.training.task import Teacher, Training
from dsodenet.training.teaching import TEACHERS, make_teachers

__all__ = [
    "PRESETS",
    "RECIPES",
    "TEACHERS",
    "Options",
    "Recipe",
    "Teacher",
    "load_checkpoint",
    "load_float_model",
    "make_teachers",
    "train",
]

OPTION_NAMES = tuple(field.name for field in dataclasses.fields(Options) if field.name != "progress")
NO_RESULT = {"device", "progress"}  # options that do not decide the result


def train(
    spec: Spec,
    data: Dataset,
    out: str | Path,
    options: Options | None = None,
    recipe: str = "supervised",
    *,
    target: Dataset | None = None,
    teachers: Sequence[str | Teacher] = (),
    start: str | Path | None = None,
    resume: bool = False,
) -> TrainingResult:
    """Train `spec` on `data`, write the run folder `out` and return its metrics (the content of metrics.json).

    target: the domain to adapt to; a recipe that does not adapt is only measured on it. teachers: names of TEACHERS,
    run folders, or ready ones. start: a run whose float model is trained further, or only quantised (epochs 0), in
    place of a new one. resume: go on with the training that `out` holds unfinished, if it does. The result
    depends on spec, data, options and library versions, and for networks of threads.SMALL_MACS and more on the number
    of torch's threads. torch's global random state and thread count are left as they were. An earlier run in `out`
    stays as it is until training has ended. InputError when the data does not fit the spec. RunError, before any
    work, while another process trains into `out`.
    """
    options = options or Options()
    if recipe not in RECIPES:
        raise InputError(f"recipe is {recipe!r}, but it must be one of {', '.join(RECIPES)}")
    _check_fit(spec, data, target)
    spec = dataclasses.replace(spec, class_names=data.class_names)
    plan = RECIPES[recipe]
    data = select(data, options.train_images, options.labels_per_class, options.validation, options.seed)
    if target is not None:
        target = select(target, options.target_images, seed=options.seed)
    with place(options) as where, where.own_random_state(), threads_for(spec):
        torch.manual_seed(options.seed)
        training = Training(spec, data, options, target, start=_start(start, spec), device=where.device)
        for teacher in teachers:
            training.teachers += [teacher] if isinstance(teacher, Teacher) else make_teachers(teacher, spec)
        plan.check(recipe, training)
        stages = plan.plan(training)
        with only_one(Run(Path(out)).unfinished, "training") if where.leads else nullcontext():
            journal = Journal(Path(out), _task(recipe, training), resume, where.leads)
            histories: dict[str, dict[str, Any]] = {}
            weights = [stage.weight(options) for stage in stages]
            for stage in stages:
                limit = limits(weights, [history["seconds"] for history in histories.values()], options.minutes)
                ahead = weights if not histories else None
                histories[stage.name] = dataclasses.asdict(_run(stage, training, where, journal, limit, ahead))
            trained = _trained(stages, training, histories, not plan.retrains_teachers)
            metrics = save_checkpoint(Path(out), recipe, training, trained, where.leads)
            journal.close()
        where.wait()
        return TrainingResult(Path(out), metrics)


def _start(run: str | Path | None, spec: Spec) -> DsODENet | None:
    """The float model of a run, for this spec's solver and widths."""
    if run is None:
        return None
    model, theirs, _ = load_float_model(run)
    if theirs.network != spec.network:
        changed = [key for key, value in vars(spec.network).items() if getattr(theirs.network, key) != value]
        raise InputError(
            f"{run} holds a network with another network.{changed[0]}: {getattr(theirs.network, changed[0])}, "
            f"but the spec's is {getattr(spec.network, changed[0])}"
        )
    model.spec = spec
    return model


def _run(
    stage: Stage, training: Training, where: Place, journal: Journal, limit: float, weights: list[float] | None
) -> History:
    """Run a stage, or read it from the journal."""
    student = stage.model(training)
    done = journal.finished(stage.name)
    if done is None:
        history = fit(stage, student, training, where, journal, limit, weights)
        journal.end_stage(stage.name, student.cpu().state_dict(), dataclasses.asdict(history))
    else:
        with journal.trusted():
            student.load_state_dict(done["student"])
            history = History(**done["history"])
    training.models[stage.name] = student.eval()
    if stage.schedule == "float":
        assert isinstance(student, DsODENet)
        training.float_model = student
    return history


def _trained(
    stages: tuple[Stage, ...], training: Training, histories: dict[str, dict[str, Any]], saves_teachers: bool
) -> Trained:
    quantised: Any = [training.models[stage.name] for stage in stages if stage.schedule == "qat"]
    teachers = {
        f"{n}-{t.name}": t.network for n, t in enumerate(training.teachers, 1) if not t.trained and saves_teachers
    }
    return Trained(training.float_model, quantised[-1] if quantised else None, teachers, histories)


def _check_fit(spec: Spec, data: Dataset, target: Dataset | None) -> None:
    network = spec.network
    for domain in (data,) if target is None else (data, target):
        if domain.train_images.shape[1:] != network.image_shape or len(domain.class_names) != network.num_classes:
            raise InputError(
                f"{domain.name} has images of {domain.train_images.shape[1:]} in {len(domain.class_names)} classes, "
                f"but the spec's network takes {network.image_shape} in {network.num_classes}"
            )
    if spec.class_names not in ((), data.class_names):
        raise InputError(
            f"{data.name} has the classes {', '.join(data.class_names)}, "
            f"but the spec's class_names are {', '.join(spec.class_names)}"
        )
    if target is not None and target.class_names != data.class_names:
        raise InputError(
            f"target {target.name} has the classes {', '.join(target.class_names)}, "
            f"but {data.name} has {', '.join(data.class_names)}"
        )


def _task(recipe: str, training: Training) -> dict[str, Any]:
    """What decides the result, to be compared when it is resumed."""
    options = {key: value for key, value in dataclasses.asdict(training.options).items() if key not in NO_RESULT}
    domains = {"data": training.data, "target": training.target}
    names = {
        key: None if domain is None else f"{domain.name} {_digest(domain.train_images, domain.train_labels)}"
        for key, domain in domains.items()
    }
    teachers = [f"{t.name} {_digest(*t.network.state_dict().values()) if t.trained else ''}" for t in training.teachers]
    start = None if training.start is None else _digest(*training.start.state_dict().values())
    unlabelled = None if training.data.unlabelled_images is None else _digest(training.data.unlabelled_images)
    more = {"start": start, "unlabelled": unlabelled}
    return {"recipe": recipe, "spec": training.spec.fingerprint(), "teachers": teachers} | more | names | options


def _digest(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
