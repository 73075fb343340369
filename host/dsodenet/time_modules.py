"""What makes f depend on time: a learned bias table, and the means of a BatchNorm that is shared over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsodenet.params import knot_positions
from dsodenet.spec import TIME_FRAC_BITS, Spec


class TimeTable(nn.Module):
    """b(t) per channel, piecewise linear between uniform knots. knots: (time_knots, channels)."""

    def __init__(self, knots: int, channels: int) -> None:
        super().__init__()
        self.knots = nn.Parameter(torch.zeros(knots, channels))

    def forward(self, spec: Spec, block: int, scale: Tensor | None) -> Tensor:
        """The bias at every evaluation, (evaluations, channels); with a scale, in the integers of Params.bias_table times it."""
        index, fraction = (torch.from_numpy(v).to(self.knots.device) for v in knot_positions(spec, block))
        weight = (fraction.to(torch.float64) / 2**TIME_FRAC_BITS)[:, None]
        if scale is None:
            return torch.lerp(self.knots[index], self.knots[index + 1], weight.to(self.knots.dtype))
        from dsodenet.quantisers import round_half_even

        bound = 2 ** (spec.quantisation.bias_bit_width - 1)
        knots = round_half_even(self.knots.double() / scale.double()).clamp(-bound, bound - 1)
        return (round_half_even(torch.lerp(knots[index], knots[index + 1], weight)) * scale.double()).to(self.knots.dtype)

    def at(self, position: float) -> Tensor:
        """The bias at any time, (channels,); position: 0 at the first knot to 1 at the last."""
        where = position * (len(self.knots) - 1)
        index = min(int(where), len(self.knots) - 2)
        return torch.lerp(self.knots[index], self.knots[index + 1], where - index)


class MeanPerEvaluationNorm(nn.Module):
    """BatchNorm for a layer shared over time: one scale for all evaluations, a running mean for each knot of time.

    A BatchNorm that shares its mean as well ruins a neural ODE (arXiv 2004.09222); this one folds, its scale into the weights
    and its means into the time table.
    """

    running_mean: Tensor  # (knots, channels)
    running_var: Tensor  # (channels,)

    def __init__(self, knots: int, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(knots, channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.momentum, self.eps = momentum, eps

    def gain(self) -> Tensor:
        return self.weight * torch.rsqrt(self.running_var + self.eps)

    def forward(self, x: Tensor, index: int, fraction: float) -> Tensor:
        """x: (batch, channels, height, width) at the time `fraction` of the way from knot `index` to the next."""
        mean = torch.lerp(self.running_mean[index], self.running_mean[index + 1], fraction)
        if self.training:
            batch_var, batch_mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
            with torch.no_grad():
                self.running_var.lerp_(batch_var, self.momentum)
                step = self.momentum * (batch_mean - mean)
                self.running_mean[index] += (1 - fraction) * step
                self.running_mean[index + 1] += fraction * step
            mean = batch_mean
        gain = self.gain()
        return x * gain[:, None, None] + (self.bias - mean * gain)[:, None, None]
