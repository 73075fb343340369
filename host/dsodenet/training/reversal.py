"""Adversaries in one step: a layer that turns gradients around (arXiv 1505.07818), and a discriminator's loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, scale: float) -> Tensor:
        context.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.scale * gradient, None


def reverse(x: Tensor, scale: float) -> Tensor:
    """x; what is before it then climbs the loss that what is behind it descends, `scale` times as fast."""
    result: Tensor = _Reversal.apply(x, scale)
    return result


def ramp(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1: from 0 to 1, so that the adversary learns before it is misled."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def domain_loss(judge: nn.Module, ones: Tensor, zeros: Tensor) -> Tensor:
    """Binary cross-entropy of a discriminator of two sets of vectors (batch, width)."""
    logits = judge(torch.cat([ones, zeros]))[:, 0]
    truth = torch.cat([torch.ones(len(ones)), torch.zeros(len(zeros))]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, truth)
