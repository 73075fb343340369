"""What makes f depend on time: a learned bias table, and the statistics of its BatchNorm."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsodenet.spec import TIME_FRAC_BITS, Spec, knot_positions


class TimeTable(nn.Module):
    """b(t) per channel, piecewise linear between uniform knots. knots: (time_knots, channels)."""

    def __init__(self, knots: int, channels: int) -> None:
        super().__init__()
        self.knots = nn.Parameter(torch.zeros(knots, channels))

    def forward(self, spec: Spec, block: int, scale: Tensor | None) -> Tensor:
        """The bias at every evaluation, (evaluations, channels).

        With a scale, in the integers of Params.bias_table times it.
        """
        index, weight = _positions(spec, block, self.knots.device)
        if scale is None:
            return torch.lerp(self.knots[index], self.knots[index + 1], weight.to(self.knots.dtype))
        from dsodenet.nets.quantisers import round_half_even

        bound = 2 ** (spec.quantisation.bias_bit_width - 1)
        knots = round_half_even(self.knots.double() / scale.double()).clamp(-bound, bound - 1)
        return (round_half_even(torch.lerp(knots[index], knots[index + 1], weight)) * scale.double()).to(
            self.knots.dtype
        )

    def at(self, position: float) -> Tensor:
        """The bias at any time, (channels,); position: 0 at the first knot to 1 at the last."""
        where = position * (len(self.knots) - 1)
        index = min(int(where), len(self.knots) - 2)
        return torch.lerp(self.knots[index], self.knots[index + 1], where - index)


class EvaluationNorm(nn.Module):
    """BatchNorm for a layer that f evaluates many times: running means of `mean_knots` knots of time, variances of
    `var_knots`.

    One knot is shared by all evaluations: 1, 1 is torch's BatchNorm2d, which ruins a neural ODE (arXiv 2004.09222).
    With one variance it folds, the scale into the weights and the means into the bias or the time table. Where the
    means are many and the variance is one, it is that of the first evaluation, in training as in use: were each
    evaluation divided by its own in training, the network in use would be another one.
    """

    running_mean: Tensor  # (mean_knots, channels)
    running_var: Tensor  # (var_knots, channels)

    def __init__(
        self, channels: int, mean_knots: int, var_knots: int, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(mean_knots, channels))
        self.register_buffer("running_var", torch.ones(var_knots, channels))
        self.momentum, self.eps = momentum, eps

    def gain(self, var: Tensor) -> Tensor:
        return self.weight * torch.rsqrt(var + self.eps)

    def forward(self, x: Tensor, index: int, fraction: float, solve: list[Tensor]) -> Tensor:
        """x: (batch, channels, height, width) at the time `fraction` of the way from knot `index` to the next.

        solve: an empty list at the first evaluation, and the same one at the later ones of that solve.
        """
        if self.training and len(self.running_mean) > len(self.running_var):
            return self._by_first_variance(x, index, fraction, solve)
        if self.training:
            # One fused call; with momentum 1 the rows that it is given become the batch's own statistics.
            mean, var = torch.zeros_like(self.running_mean[0]), torch.ones_like(self.running_var[0])
            x = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
            with torch.no_grad():
                self._move(self.running_mean, mean, index, fraction)
                self._move(self.running_var, var, index, fraction)
            return x
        mean, var = (_between(rows, index, fraction) for rows in (self.running_mean, self.running_var))
        gain = self.gain(var)
        return x * gain[:, None, None] + (self.bias - mean * gain)[:, None, None]

    def _by_first_variance(self, x: Tensor, index: int, fraction: float, solve: list[Tensor]) -> Tensor:
        if solve:
            mean = x.mean((0, 2, 3))
        else:
            var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            solve.append(var)
            with torch.no_grad():
                self._move(self.running_var, var, 0, 0.0)
        with torch.no_grad():
            self._move(self.running_mean, mean, index, fraction)
        gain = self.gain(solve[0])
        return x * gain[:, None, None] + (self.bias - mean * gain)[:, None, None]

    def _move(self, rows: Tensor, value: Tensor, index: int, fraction: float) -> None:
        """Take the knots on both sides a step towards what was seen between them."""
        step = self.momentum * (value - _between(rows, index, fraction))
        if len(rows) == 1:
            rows[0] += step
        else:
            rows[index] += (1 - fraction) * step
            rows[index + 1] += fraction * step


@lru_cache(maxsize=256)
def _positions(spec: Spec, block: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every evaluation its knot (evaluations,) and the way to the next one, float64 (evaluations, 1).

    Kept on the device: CUDA graphs take no copies from the host.
    """
    index, fraction = (torch.from_numpy(values).to(device) for values in knot_positions(spec, block))
    return index, (fraction.to(torch.float64) / 2**TIME_FRAC_BITS)[:, None]


def _between(rows: Tensor, index: int, fraction: float) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.lerp(rows[index], rows[index + 1], fraction)
