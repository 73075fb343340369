"""A recipe: stages of training as data."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from dsodenet.data import Dataset
from dsodenet.errors import InputError
from dsodenet.nets import DsODENet, calibrate
from dsodenet.spec import NORMS, parameters
from dsodenet.training.compression import check_size
from dsodenet.training.gradients import check_gradient
from dsodenet.training.losses import CrossEntropy
from dsodenet.training.objective import Loss
from dsodenet.training.options import Options
from dsodenet.training.task import Teacher, Training

CALIBRATION_IMAGES = 256
SCHEDULES = {  # which options a stage trains by: (epochs, learning rate)
    "float": ("epochs", "learning_rate"),
    "start": ("epochs", "learning_rate"),  # another float network, from which the float model starts
    "qat": ("qat_epochs", "qat_learning_rate"),
    "teacher": ("teacher_epochs", "teacher_learning_rate"),
}
COST = {"qat": 2.5}  # of a quantised network's step, in steps of the float one: 2.0 to 2.5 measured for xs, s, m
SUPERVISED = (Loss(CrossEntropy),)


@dataclass(frozen=True)
class Stage:
    """One call of the loop. `model` makes the network to train, from the task and from earlier stages' networks."""

    name: str
    model: Callable[..., nn.Module]
    losses: tuple[Loss, ...] = SUPERVISED
    schedule: str = "float"  # a key of SCHEDULES
    share: float = 1.0  # share of that schedule's epochs; 0: the network stays as `model` makes it
    rate: float = 1.0  # of that schedule's learning rate
    decay: float = 1.0  # of the options' weight decay
    mixup: float = 0.0  # alpha of Beta(alpha, alpha); 0: that of the options

    def epochs(self, options: Options) -> int:
        whole: int = getattr(options, SCHEDULES[self.schedule][0])
        return max(1, round(self.share * whole)) if self.share and whole else 0

    def learning_rate(self, options: Options) -> float:
        rate: float = getattr(options, SCHEDULES[self.schedule][1])
        return self.rate * rate

    def weight(self, options: Options) -> float:
        """What it costs beside other stages, in epochs of a float network."""
        return self.epochs(options) * COST.get(self.schedule, 1.0)

    @property
    def needs_labels(self) -> bool:
        return any(loss.term.needs_labels for loss in self.losses)

    @property
    def needs_teacher(self) -> bool:
        return any(loss.term.needs_teacher for loss in self.losses)

    @property
    def needs_target(self) -> bool:
        return any(loss.term.needs_target for loss in self.losses)


@dataclass(frozen=True)
class Recipe:
    """Stages in order.

    One of schedule "qat" leaves the quantised model, and the last one of schedule "float" the float model.

    A stage of schedule "teacher" is expanded to one for each teacher; its `model` takes the teacher as a second
    argument `teacher`.
    """

    description: str  # one line
    stages: tuple[Stage, ...]
    retrains_teachers: bool = False  # also those that come trained
    only_teachers: bool = False  # leaves no student
    norms: tuple[str, ...] = NORMS  # network.norm that it can work with
    whole: bool = False  # needs a spec without low_rank
    shrinks: float = 1.0  # leaves the parameters of the spec divided by this

    @property
    def quantises(self) -> bool:
        """Whether it ends in a model to export, where the spec can be quantised."""
        return any(stage.schedule == "qat" for stage in self.stages)

    @property
    def needs_teacher(self) -> bool:
        return self.only_teachers or any(stage.needs_teacher for stage in self.stages)

    @property
    def needs_target(self) -> bool:
        return any(stage.needs_target for stage in self.stages)

    def check(self, name: str, training: Training) -> None:
        """InputError for an impossible combination, before any work."""
        if self.needs_teacher and not training.teachers:
            raise InputError(f"recipe {name} needs a teacher (--teacher), but none was given")
        if training.teachers and not self.needs_teacher:
            raise InputError(f"recipe {name} takes no teacher, but {training.teachers[0].name} was given")
        if self.needs_target and training.target is None:
            raise InputError(f"recipe {name} adapts to a domain, so it needs a target (--target), but none was given")
        network, options = training.spec.network, training.options
        if not options.epochs and training.start is None and not self.only_teachers:
            raise InputError("epochs is 0, but there is no trained network to start from (--from)")
        if network.norm not in self.norms:
            raise InputError(
                f"recipe {name} works with network.norm {', '.join(self.norms)}, but the spec's is {network.norm}"
            )
        if self.whole and network.low_rank:
            raise InputError(
                f"recipe {name} needs a network without network.low_rank, but {network.low_rank[0].layer} has a rank"
            )
        check_gradient(training.options.gradient, training.spec)
        if self.shrinks > 1:
            check_size(training.spec, sum(parameters(training.spec).values()) / self.shrinks)
        least = max(loss.term.least_batch for stage in self.stages for loss in stage.losses)
        size = min(training.options.batch_size, len(training.data.train_images))
        if size < least:
            raise InputError(f"recipe {name} takes batches of {least} images or more, but a batch has {size}")
        if self.only_teachers and training.target is not None:
            raise InputError(f"recipe {name} takes no target, but {training.target.name} was given")

    def plan(self, training: Training) -> tuple[Stage, ...]:
        """The stages that this task runs.

        A teacher stage runs for each teacher; a float-only spec has no quantised stage.
        """
        result: list[Stage] = []
        for stage in self.stages:
            if stage.schedule == "teacher":
                result += [
                    dataclasses.replace(
                        stage, name=f"{stage.name}-{number}-{t.name}", model=partial(stage.model, teacher=t)
                    )
                    for number, t in enumerate(training.teachers, 1)
                    if self.retrains_teachers or not t.trained
                ]
            elif stage.schedule != "qat" or not training.spec.network.float_only:
                result.append(stage)
        return tuple(result)


def new_network(training: Training) -> nn.Module:
    """An untrained network, or a copy of the trained one that the task starts from."""
    return DsODENet(training.spec) if training.start is None else copy.deepcopy(training.start)


def latest_float(training: Training) -> nn.Module:
    """A copy of the last float stage's network, to be trained further."""
    assert training.float_model is not None
    return copy.deepcopy(training.float_model)


def teacher_network(training: Training, teacher: Teacher) -> nn.Module:
    return teacher.network


def quantised(training: Training) -> nn.Module:
    """The last float model, its normalisation folded, with quantisers calibrated on training images."""
    return _quantised(training, (training.data,))


def quantised_for_both(training: Training) -> nn.Module:
    """The same, calibrated on training images of both domains."""
    assert training.target is not None
    return _quantised(training, (training.data, training.target))


def _quantised(training: Training, domains: tuple[Dataset, ...]) -> nn.Module:
    assert training.float_model is not None
    result = training.float_model.quantised().to(training.device)
    images = [torch.from_numpy(data.train_images) for data in domains]
    calibrate(result, torch.cat([x[torch.randperm(len(x))[:CALIBRATION_IMAGES]] for x in images]).to(training.device))
    return result


def float_then_quantised(
    losses: tuple[Loss, ...], qat_losses: tuple[Loss, ...] | None = None, mixup: float = 0.0
) -> tuple[Stage, ...]:
    """The two stages that end most recipes: float, then quantisation-aware from the folded float model."""
    first = Stage("float", new_network, losses, mixup=mixup)
    build = quantised_for_both if first.needs_target else quantised
    return first, Stage("qat", build, losses if qat_losses is None else qat_losses, "qat", mixup=mixup)


def teach(losses: tuple[Loss, ...] = SUPERVISED) -> Stage:
    """Train each teacher that does not come trained."""
    return Stage("teacher", teacher_network, losses, "teacher")
