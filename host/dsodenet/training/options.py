"""How to train: every number that a user may set, checked at construction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dsodenet.errors import InputError
from dsodenet.spec import MAX_SIDE

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")
EPOCHS = (0, 1_000_000)
RANGES = {
    "epochs": EPOCHS,
    "qat_epochs": EPOCHS,
    "teacher_epochs": EPOCHS,
    "batch_size": (1, 1 << 20),
    "irdm_nodes": (2, 1000),
    "seed": (0, (1 << 63) - 1),
}
RANGES |= {"shift": (0, MAX_SIDE)} | dict.fromkeys(("train_images", "target_images", "labels_per_class"), (0, 1 << 40))
# What suits a kind of data, in place of the defaults: `dsodenet train --preset`. 50,000 pictures need no smoothing, and
# a mirrored sign is another sign.
PRESETS: dict[str, dict[str, Any]] = {
    "digits": {},
    "cifar10": {
        "epochs": 90,
        "qat_epochs": 4,
        "teacher_epochs": 60,
        "batch_size": 128,
        "learning_rate": 1e-2,
        "weight_decay": 2e-2,
        "label_smoothing": 0.0,
        "shift": 4,
        "flip": True,
    },
    "signs": {
        "epochs": 200,
        "qat_epochs": 6,
        "teacher_epochs": 30,
        "batch_size": 128,
        "learning_rate": 1e-2,
        "weight_decay": 2e-2,
        "shift": 3,
        "turn": 15.0,
        "zoom": 0.15,
        "light": 0.4,
    },
}


@dataclass(frozen=True)
class Options:
    """The defaults suit the digits data set on a CPU; learning rates are the peaks of a one-cycle schedule."""

    epochs: int = 25  # epochs of the float stage
    qat_epochs: int = 7
    teacher_epochs: int = 20
    seed: int = 0
    batch_size: int = 64  # images of a step, all processes together
    learning_rate: float = 2e-2
    qat_learning_rate: float = 2e-3
    teacher_learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    shift: int = 1  # pixels by which training images move at most
    flip: bool = False  # mirror training images at random
    turn: float = 0.0  # degrees by which training images are turned at most
    zoom: float = 0.0  # share by which they are scaled at most
    light: float = 0.0  # share by which their contrast and their brightness change at most
    validation: float = 0.0  # share of the training images held back, to measure each epoch and keep the best
    train_images: int = 0  # so many, drawn at random, instead of all (0)
    target_images: int = 0  # the same of the target domain
    labels_per_class: int = 0  # so many are known (0: all); the other images have none
    minutes: float = 0.0  # the schedules end in this time even if their epochs are not done (0: no limit)
    temperature: float = 0.0  # of the divergence from a teacher, in place of the recipe's (0)
    mixup: float = 0.0  # alpha of Beta(alpha, alpha), where a recipe has none of its own; 0: images are not blended
    gradient: str = "backprop"  # how float stages differentiate ODE blocks: a key of gradients.GRADIENTS
    irdm_nodes: int = 16  # states that gradient irdm keeps of a solve
    device: str = "auto"  # auto: cuda where there is one
    precision: str = "float32"  # bfloat16: mixed precision in float stages; the quantised stage is always float32
    progress: bool = True

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value!r}, but it must be {low} to {high}")
        for name in ("learning_rate", "qat_learning_rate", "teacher_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be more than 0")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay is {self.weight_decay!r}, but it must be 0 or more")
        if self.mixup != 0 and not 0.001 <= self.mixup <= 1000:
            raise InputError(f"mixup is {self.mixup!r}, but it must be 0, or 0.001 to 1000")
        for name in ("minutes", "temperature"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be 0 or more")
        for name, most in (("turn", 180), ("zoom", 0.9), ("light", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be 0 to {most}")
        if not 0 <= self.validation <= 0.5:
            raise InputError(f"validation is {self.validation!r}, but it must be 0 to 0.5, a share of training images")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing is {self.label_smoothing!r}, but it must be 0 or more, and less than 1")
        for name, allowed in (("device", DEVICES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be one of {', '.join(allowed)}")
