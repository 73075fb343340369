"""The training loop that the recipes share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from dsodenet.data import Images, Labels
from dsodenet.errors import InputError, RunError
from dsodenet.model import DsODENet
from dsodenet.train.augment import random_flip, random_shift

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # (model, images, labels) -> mean loss of the batch

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Options:
    """How to train. The defaults suit the digits data set on a CPU; learning rates are the peaks of a one-cycle schedule."""

    epochs: int = 25  # of the float stage
    qat_epochs: int = 7
    seed: int = 0
    batch_size: int = 64
    learning_rate: float = 2e-2
    qat_learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    shift: int = 1  # pixels by which training images move at most
    flip: bool = False  # mirror training images at random
    progress: bool = True

    def __post_init__(self) -> None:
        low = {"epochs": 1, "qat_epochs": 1, "batch_size": 1, "seed": 0, "shift": 0, "weight_decay": 0, "label_smoothing": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is bool:
                continue
            if not low.get(field.name, 0) <= value < math.inf or (field.name.endswith("learning_rate") and value == 0):
                raise InputError(f"{field.name} is {value!r}, but it must be {low.get(field.name, 'more than 0')} or more")
        if self.label_smoothing >= 1:
            raise InputError(f"label_smoothing is {self.label_smoothing}, but it must be less than 1")


@dataclass(frozen=True)
class Stage:
    """What became of one stage of training: mean loss per epoch, and the seconds that it took."""

    loss: list[float]
    seconds: float


@dataclass(frozen=True)
class Trained:
    """The result of a recipe. `qat` is None where the spec's normalisation cannot be folded (layer)."""

    float_model: DsODENet
    float_stage: Stage
    qat_model: DsODENet | None
    qat_stage: Stage | None


def fit(
    name: str,
    model: DsODENet,
    images: Images,
    labels: Labels,
    loss: Loss,
    options: Options,
    *,
    epochs: int,
    learning_rate: float,
) -> Stage:
    """Train `model` in place by AdamW under a one-cycle schedule. images: uint8 (count, channels, height, width)."""
    from tqdm import tqdm

    start = time.perf_counter()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    batch = min(options.batch_size, len(x))
    batches = len(x) // batch
    optimiser = torch.optim.AdamW(_parameter_groups(model, options.weight_decay), learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=epochs * batches + 1)
    losses: list[float] = []
    with tqdm(total=epochs * batches, desc=name, unit="batch", disable=None if options.progress else True) as bar:
        for epoch in range(epochs):
            model.train()
            total = 0.0
            for chosen in torch.randperm(len(x))[: batches * batch].split(batch):
                seen = random_shift(x[chosen], options.shift)
                value = loss(model, random_flip(seen) if options.flip else seen, y[chosen])
                optimiser.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                total += value.item()
                bar.update()
            losses.append(total / batches)
            if not math.isfinite(losses[-1]):
                raise RunError(f"{name} training diverged in epoch {epoch + 1} (loss {losses[-1]}); lower its learning rate")
            bar.set_postfix(epoch=epoch + 1, loss=f"{losses[-1]:.4f}")
    model.eval()
    return Stage(losses, time.perf_counter() - start)


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for weights only: not for biases, gains, time tables and quantiser scales."""
    decayed = [p for name, p in model.named_parameters() if name.endswith("weight") and p.ndim > 1]
    chosen = set(map(id, decayed))
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, labels: Labels) -> float:
    """Share of images whose largest logit is that of their label, in [0, 1]."""
    model.eval()
    right = 0
    for start in range(0, len(images), EVALUATION_BATCH):
        chosen = slice(start, start + EVALUATION_BATCH)
        right += int((model(torch.from_numpy(images[chosen])).argmax(1) == torch.from_numpy(labels[chosen])).sum())
    return right / len(images)
