"""What is to be trained: the spec, the data, the teachers, and the networks that stages leave to later ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from dsodenet.data import Dataset
from dsodenet.nets import DsODENet
from dsodenet.spec import Spec
from dsodenet.training.options import Options


@dataclass
class Teacher:
    """A network with `outputs` and `classifier`; untrained ones are trained first, as a stage."""

    name: str
    network: nn.Module
    trained: bool


@dataclass
class Training:
    """What a stage may read: the task, and the networks that earlier stages left."""

    spec: Spec
    data: Dataset
    options: Options
    target: Dataset | None = None  # its training labels are never used
    teachers: list[Teacher] = field(default_factory=list)
    models: dict[str, nn.Module] = field(default_factory=dict)  # networks of finished stages, by name
    float_model: DsODENet | None = None  # what the last float stage left
    start: DsODENet | None = None  # a trained float network, in place of a new one
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
