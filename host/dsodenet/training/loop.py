"""The training loop that all stages of all recipes share."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dsodenet.errors import RunError
from dsodenet.nets import DsODENet, Outputs
from dsodenet.training.augment import mixed, moved
from dsodenet.training.gradients import use_gradient
from dsodenet.training.journal import Journal
from dsodenet.training.objective import Batch, Step
from dsodenet.training.places import Place
from dsodenet.training.recipe import Stage
from dsodenet.training.task import Training

CLIP_NORM = 1.0


@dataclass
class History:
    """What became of one stage of training: mean loss per epoch, and the seconds that it took."""

    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0


def fit(stage: Stage, student: nn.Module, training: Training, place: Place, journal: Journal) -> History:
    """Train `student` in place by AdamW under a one-cycle schedule, from where the journal stands."""
    from tqdm import tqdm

    options, epochs, rate = training.options, stage.epochs(training.options), stage.learning_rate(training.options)
    if not epochs:
        return History()
    if stage.schedule == "float" and isinstance(student, DsODENet):
        use_gradient(student, options.gradient)
    terms = [loss.term(training, student, **loss.settings) for loss in stage.losses]
    step = Step(student, nn.ModuleList(terms), tuple(loss.weight for loss in stage.losses)).to(place.device)
    teachers = training.teachers if stage.needs_teacher else []
    networks = [teacher.network.to(place.device).requires_grad_(False).eval() for teacher in teachers]
    size = min(options.batch_size, len(training.data.train_images))
    batches = len(training.data.train_images) // size
    saved, history = journal.current(stage.name), History()
    if saved is not None:  # before the optimiser is made: loading replaces brevitas's scales by other tensors
        with journal.trusted():
            step.load_state_dict(saved["step"])
    optimiser = torch.optim.AdamW(_parameter_groups(step, options.weight_decay), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * batches + 1)
    if saved is not None:
        with journal.trusted():
            history = History(list(saved["loss"]), float(saved["seconds"]))
            optimiser.load_state_dict(saved["optimiser"])
            schedule.load_state_dict(saved["schedule"])
            torch.set_rng_state(saved["random"])
    module = _distributed(step, place)
    mixed_precision = torch.autocast(
        place.device.type, torch.bfloat16, enabled=options.precision == "bfloat16" and stage.schedule != "qat"
    )
    done = len(history.loss)
    quiet = None if options.progress and place.leads else True
    with tqdm(total=epochs * batches, initial=done * batches, desc=stage.name, unit="batch", disable=quiet) as bar:
        for epoch in range(done, epochs):
            start = time.perf_counter()
            step.train()
            total = torch.zeros(len(terms), dtype=torch.float64)
            for number, batch in enumerate(_batches(stage, training, networks, place, size, batches)):
                batch.progress = (epoch * batches + number) / (epochs * batches)
                with mixed_precision:
                    values = module(batch)
                optimiser.zero_grad()
                values.sum().backward()
                nn.utils.clip_grad_norm_(step.parameters(), CLIP_NORM)
                optimiser.step()
                schedule.step()
                total += values.detach().cpu()
                bar.update()
            means = (place.mean(total) / batches).tolist()
            history.loss.append(sum(means))
            history.seconds += time.perf_counter() - start
            if not math.isfinite(history.loss[-1]):
                raise RunError(
                    f"{stage.name} training diverged in epoch {epoch + 1} (loss {history.loss[-1]}); "
                    f"lower its learning rate"
                )
            bar.set_postfix(epoch=epoch + 1, loss=f"{history.loss[-1]:.4f}")
            journal.epoch(
                stage.name, _row(stage, epoch, means, history, schedule), _state(step, optimiser, schedule, history)
            )
    student.eval()
    return history


def _batches(
    stage: Stage, training: Training, teachers: list[Any], place: Place, size: int, count: int
) -> Iterator[Batch]:
    """One epoch. Every process draws the same random numbers for the whole batch and takes its share of it."""
    options, data = training.options, training.data
    x, y = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    for chosen in torch.randperm(len(x))[: count * size].split(size):
        images, labels = moved(x[chosen], options.shift, options.flip), y[chosen]
        if alpha := stage.mixup or options.mixup:
            images, labels = mixed(images, labels, len(data.class_names), alpha)
        target = None
        if stage.needs_target and training.target is not None:
            t = torch.from_numpy(training.target.train_images)
            target = place.share(moved(t[torch.randint(len(t), (size,))], options.shift, options.flip))
        images, labels = place.share(images), place.share(labels)
        yield Batch(images, labels, target, _taught(teachers, images), _taught(teachers, target))


@torch.no_grad()
def _taught(teachers: list[Any], images: Tensor | None) -> tuple[Outputs, ...]:
    return () if images is None else tuple(teacher.outputs(images) for teacher in teachers)


def _distributed(step: Step, place: Place) -> nn.Module:
    if place.world == 1:
        return step
    devices = [place.device] if place.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(step, device_ids=devices)


def _row(stage: Stage, epoch: int, means: list[float], history: History, schedule: Any) -> dict[str, Any]:
    terms = " ".join(f"{loss.term.__name__}={value:.6g}" for loss, value in zip(stage.losses, means))
    row = {"stage": stage.name, "epoch": epoch + 1, "loss": history.loss[-1], "terms": terms}
    return row | {"learning_rate": schedule.get_last_lr()[0], "seconds": round(history.seconds, 3)}


def _state(step: Step, optimiser: Any, schedule: Any, history: History) -> dict[str, Any]:
    parts = {"step": step.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
    return parts | {"loss": list(history.loss), "seconds": history.seconds, "random": torch.get_rng_state()}


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for weights only: not for biases, gains, time tables and quantiser scales.

    Frozen parameters are left out.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decayed = [p for name, p in trained.items() if name.endswith("weight") and p.ndim > 1]
    chosen = set(map(id, decayed))
    rest = [p for p in trained.values() if id(p) not in chosen]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
