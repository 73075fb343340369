"""The training loop that all stages of all recipes share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dsodenet.errors import RunError
from dsodenet.nets import DsODENet, Outputs
from dsodenet.training.augment import mixed, moved
from dsodenet.training.checkpoint import accuracy
from dsodenet.training.gradients import use_gradient
from dsodenet.training.graphs import graphed, has_fixed_steps
from dsodenet.training.journal import Journal
from dsodenet.training.objective import Batch, Step, Term
from dsodenet.training.places import Place
from dsodenet.training.progress import progress_of
from dsodenet.training.recipe import Stage
from dsodenet.training.schedule import Forecast, Pace, minutes, one_cycle
from dsodenet.training.task import Training

CLIP_NORM = 1.0


@dataclass
class History:
    """What became of one stage: per epoch the mean loss and, where images were held back, the accuracy on them."""

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Best:
    """The network after the epoch that was the most accurate on held-back images, the later of equals."""

    accuracy: float = -1.0
    student: dict[str, Tensor] = field(default_factory=dict)

    def see(self, accuracy: float, student: nn.Module) -> None:
        if accuracy >= self.accuracy:
            self.accuracy, self.student = accuracy, {k: v.clone() for k, v in student.state_dict().items()}


class Pool:
    """The images of a stage, on the device that trains: nothing is copied there again for each step."""

    def __init__(self, stage: Stage, training: Training, place: Place) -> None:
        data = training.data
        images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
        if data.unlabelled_images is not None and not stage.needs_labels:
            more = torch.from_numpy(data.unlabelled_images)
            images = torch.cat([images, more])
            labels = torch.cat([labels, torch.zeros(len(more), dtype=labels.dtype)])  # which nothing reads
        self.images, self.labels = images.to(place.device), labels.to(place.device)
        self.target: Tensor | None = None
        if stage.needs_target and training.target is not None:
            self.target = torch.from_numpy(training.target.train_images).to(place.device)


def fit(
    stage: Stage,
    student: nn.Module,
    training: Training,
    place: Place,
    journal: Journal,
    limit: float = math.inf,
    weights: list[float] | None = None,
) -> History:
    """Train `student` in place by AdamW under a one-cycle schedule, from where the journal stands.

    limit: seconds after which the schedule ends even if its epochs are not done. weights: the cost of this stage and
    of those behind it, where a forecast is wanted.
    """
    options, epochs = training.options, stage.epochs(training.options)
    if not epochs:
        student.eval()
        return History()
    if stage.schedule == "float" and isinstance(student, DsODENet):
        use_gradient(student, options.gradient, options.irdm_nodes)
    terms = [loss.term(training, student, **loss.settings) for loss in stage.losses]
    step = Step(student, nn.ModuleList(terms), tuple(loss.weight for loss in stage.losses))
    teachers = training.teachers if stage.needs_teacher else []
    networks = [teacher.network.to(place.device).requires_grad_(False).eval() for teacher in teachers]
    pool = Pool(stage, training, place)
    size = min(options.batch_size, len(pool.images))
    batches = len(pool.images) // size
    lowers = options.precision == "bfloat16" and stage.schedule != "qat"
    saved, history, best, first = journal.current(stage.name), History(), Best(), 0
    if saved is not None:  # before the optimiser is made: loading replaces brevitas's scales by other tensors
        with journal.trusted():
            step.load_state_dict(saved["step"])
    step.to(place.device)  # after loading, whose tensors lie where they were read
    groups = _parameter_groups(step, stage.learning_rate(options), stage.decay * options.weight_decay)
    optimiser = torch.optim.AdamW(groups, fused=place.device.type == "cuda" or None)
    if saved is not None:
        with journal.trusted():
            history, best = History(**saved["history"]), Best(**saved["best"])
            optimiser.load_state_dict(saved["optimiser"])
            place.set_random_state(saved["random"])
            first = len(history.loss)
    if stage.schedule == "qat" and isinstance(student, DsODENet):
        student.fuse()
    if has_fixed_steps(student, place, options):
        images = pool.images[:size].repeat(2 if pool.target is not None else 1, 1, 1, 1)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=lowers, cache_enabled=False):
            step.outputs = graphed(student.train(), images)
    module = _distributed(step, place)
    # A term's own gradients may be of another size altogether.
    clipped = [list(student.parameters()), *(own for own in map(step.own_parameters, terms) if own)]
    mixed_precision = torch.autocast(place.device.type, torch.bfloat16, enabled=lowers)
    pace = Pace(epochs * batches, limit, history.seconds)
    forecast = Forecast(epochs * batches, weights) if weights and not first else None
    with progress_of(stage.name, epochs, batches, first, options.progress and place.leads) as bar:
        for epoch in range(first, epochs):
            done, means = 0, torch.zeros(len(terms), device=place.device)
            step.train()
            for chosen in torch.randperm(len(pool.images), device=place.device)[: batches * size].split(size):
                progress = pace.progress(epoch * batches + done)
                if progress >= 1:
                    break
                _set_rates(optimiser, progress)
                with mixed_precision:
                    batch = _batch(stage, training, networks, place, pool, chosen)
                    batch.progress = progress
                    values = module(batch)
                optimiser.zero_grad()
                values.sum().backward()
                for parameters in clipped:
                    nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
                optimiser.step()
                means += values.detach()
                done += 1
                bar.update()
                if forecast is not None and (seconds := forecast.after(epoch * batches + done)) is not None:
                    bar.say(f"about {minutes(min(seconds, 60 * options.minutes or seconds))} in all")
            if not done:
                break
            each = (place.mean(means) / done).tolist()
            history.loss.append(sum(each))
            if not math.isfinite(history.loss[-1]):
                raise RunError(
                    f"{stage.name} training diverged in epoch {epoch + 1} (loss {history.loss[-1]}); "
                    f"lower its learning rate"
                )
            if training.data.validation is not None:
                history.validation.append(accuracy(student, *training.data.validation))
                best.see(history.validation[-1], student)
            history.seconds = pace.seconds
            row = _row(stage, epoch, each, history, optimiser)
            bar.tell(row)
            journal.epoch(stage.name, row, _state(step, optimiser, history, best, place))
    if best.student:
        student.load_state_dict(best.student)
    student.eval()
    return history


def _batch(stage: Stage, training: Training, teachers: list[Any], place: Place, pool: Pool, chosen: Tensor) -> Batch:
    """Every process draws the same random numbers for the whole batch and takes its share of it."""
    options = training.options
    images, labels = moved(pool.images[chosen], options), pool.labels[chosen]
    if alpha := stage.mixup or options.mixup:
        images, labels = mixed(images, labels, len(training.data.class_names), alpha)
    target = None
    if pool.target is not None:
        drawn = torch.randint(len(pool.target), (len(chosen),), device=pool.target.device)
        target = place.share(moved(pool.target[drawn], options))
    images, labels = place.share(images), place.share(labels)
    return Batch(images, labels, target, _taught(teachers, images), _taught(teachers, target))


@torch.no_grad()
def _taught(teachers: list[Any], images: Tensor | None) -> tuple[Outputs, ...]:
    return () if images is None else tuple(teacher.outputs(images) for teacher in teachers)


def _distributed(step: Step, place: Place) -> nn.Module:
    if place.world == 1:
        return step
    devices = [place.device] if place.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(step, device_ids=devices)


def _set_rates(optimiser: torch.optim.Optimizer, progress: float) -> None:
    share, momentum = one_cycle(progress)
    for group in optimiser.param_groups:
        group["lr"], group["betas"] = share * group["peak"], (momentum, group["betas"][1])


def _row(stage: Stage, epoch: int, means: list[float], history: History, optimiser: Any) -> dict[str, Any]:
    terms = " ".join(f"{loss.term.__name__}={value:.6g}" for loss, value in zip(stage.losses, means))
    row = {"stage": stage.name, "epoch": epoch + 1, "loss": history.loss[-1], "terms": terms}
    row["validation"] = history.validation[-1] if history.validation else ""
    return row | {"learning_rate": optimiser.param_groups[0]["lr"], "seconds": round(history.seconds, 3)}


def _state(step: Step, optimiser: Any, history: History, best: Best, place: Place) -> dict[str, Any]:
    parts = {"step": step.state_dict(), "optimiser": optimiser.state_dict(), "random": place.random_state()}
    return parts | {"history": dict(vars(history)), "best": dict(vars(best))}


def _parameter_groups(step: Step, peak: float, weight_decay: float) -> list[dict[str, object]]:
    """What is trained, each group with its peak rate.

    Weight decay is for weights only: not for biases, gains, time tables and quantiser scales. Frozen parameters are
    left out. A term's own parameters have a rate of their own, and all of them decay.
    """
    trained = {name: p for name, p in step.student.named_parameters() if p.requires_grad}
    decayed = [p for name, p in trained.items() if name.endswith("weight") and p.ndim > 1]
    chosen = set(map(id, decayed))
    rest = [p for p in trained.values() if id(p) not in chosen]
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": weight_decay, "peak": peak},
        {"params": rest, "weight_decay": 0.0, "peak": peak},
    ]
    for term in step.terms:
        assert isinstance(term, Term)
        own = step.own_parameters(term)
        groups.append({"params": own, "weight_decay": weight_decay, "peak": term.rate * peak})
    return [group for group in groups if group["params"]]
