"""CUDA graphs: a training step of a network as two launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsodenet.nets import DsODENet, Outputs
from dsodenet.training.options import Options
from dsodenet.training.places import Place


def has_fixed_steps(student: nn.Module, place: Place, options: Options) -> bool:
    """Whether a step is the same kernels on the same memory each time, as a CUDA graph must be."""
    if place.device.type != "cuda" or place.world > 1:
        return False
    return not isinstance(student, DsODENet) or (student.spec.network.time == "none" and options.gradient == "backprop")


class Tensors(nn.Module):
    """A network as graphs want it: a module that takes and gives tensors."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        student: Any = self.student
        outputs: Outputs = student.outputs(images)
        return outputs.embedding, outputs.logits


def graphed(student: nn.Module, images: Tensor) -> Callable[[Tensor], Outputs]:
    """`student.outputs` for batches like `images`, forward and backward each one launch of a CUDA graph.

    A small network's step is hundreds of kernels of microseconds, which Python cannot start that fast.
    """
    module: Any = torch.cuda.make_graphed_callables(Tensors(student), (images,))
    return lambda images: Outputs(*module(images))
