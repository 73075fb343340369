"""How to train: every number that a user may set, checked at construction."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dsodenet.errors import InputError
from dsodenet.spec import MAX_SIDE

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")
EPOCHS = (1, 1_000_000)
RANGES = {
    "epochs": EPOCHS,
    "qat_epochs": EPOCHS,
    "teacher_epochs": EPOCHS,
    "batch_size": (1, 1 << 20),
    "seed": (0, (1 << 63) - 1),
}
RANGES |= {"shift": (0, MAX_SIDE)}


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
    mixup: float = 0.0  # alpha of Beta(alpha, alpha), where a recipe has none of its own; 0: images are not blended
    gradient: str = "backprop"  # how float stages differentiate ODE blocks: a key of gradients.GRADIENTS
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
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing is {self.label_smoothing!r}, but it must be 0 or more, and less than 1")
        for name, allowed in (("device", DEVICES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, but it must be one of {', '.join(allowed)}")
