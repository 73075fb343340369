"""How to train: every number that a user may set, checked at construction."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from dsodenet.errors import InputError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Options:
    """The defaults suit the digits data set on a CPU; learning rates are the peaks of a one-cycle schedule."""

    epochs: int = 25  # of the float stage
    qat_epochs: int = 7
    teacher_epochs: int = 20
    seed: int = 0
    batch_size: int = 64  # of all processes together
    learning_rate: float = 2e-2
    qat_learning_rate: float = 2e-3
    teacher_learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    shift: int = 1  # pixels by which training images move at most
    flip: bool = False  # mirror training images at random
    mixup: float = 0.0  # alpha of Beta(alpha, alpha), where a recipe has none of its own; 0: images are not blended
    gradient: str = "backprop"  # of the ODE blocks in float stages: a key of gradients.GRADIENTS
    device: str = "auto"  # auto: cuda where there is one
    precision: str = "float32"  # bfloat16: mixed precision in float stages; the quantised stage is always float32
    progress: bool = True

    def __post_init__(self) -> None:
        low = {"epochs": 1, "qat_epochs": 1, "teacher_epochs": 1, "batch_size": 1, "seed": 0, "shift": 0}
        low |= {"weight_decay": 0, "label_smoothing": 0, "mixup": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) in (bool, str):
                continue
            if not low.get(field.name, 0) <= value < math.inf or (field.name.endswith("learning_rate") and value == 0):
                raise InputError(f"{field.name} is {value!r}, but it must be {low.get(field.name, 'more than 0')} or more")
        if self.label_smoothing >= 1:
            raise InputError(f"label_smoothing is {self.label_smoothing}, but it must be less than 1")
        for name, allowed in (("device", DEVICES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be one of {', '.join(allowed)}")
