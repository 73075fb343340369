"""The arithmetic of a quantised network in few operations, for training: the values of Brevitas, without its graph.

Brevitas describes each number by dozens of elementwise operations, and quantises the weights of f again at every
evaluation. Here a scale and a quantised weight are made once per solve, and quantising is one autograd function.
Brevitas' own modules keep the parameters, so that calibration, evaluation and export know nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from brevitas.core.function_wrapper import FloorSte
from brevitas.nn import QuantReLU
from torch import Tensor, nn
from torch.nn import functional as F

Call = Callable[[Tensor], Tensor]

EDGE = 1e-3  # hardtanh_backward leaves its bounds themselves out


class FakeQuantise(torch.autograd.Function):
    """scale * clamp(round(x / scale), low, high), for a scale that is a power of two (so that the division is exact).

    Gradients are straight-through: x gets that of the result where nothing was clamped, and the scale gets
    (round(x / scale) - x / scale) there, low or high elsewhere (Learned Step Size Quantization, arXiv 1902.08153).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: float, high: float, floors: bool) -> Tensor:
        scaled = x / scale
        result = (scaled.floor() if floors else scaled.round()).clamp_(low, high).mul_(scale)
        # What is rounded to low or high is not clamped: half an LSB more is inside (where it floors, an LSB above).
        ctx.bounds = (low - EDGE, high + 1) if floors else (low - 0.5, high + 0.5)
        ctx.save_for_backward(scaled, result, scale)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        (gradient,), (scaled, result, scale) = gradients, ctx.saved_tensors
        inside: Tensor = torch.ops.aten.hardtanh_backward(gradient, scaled, *ctx.bounds)  # 0 outside the bounds
        of_scale = None
        if ctx.needs_input_grad[1]:
            of_scale = (gradient * result).sum() / scale - (inside * scaled).sum()
        return inside, of_scale, None, None, None


class Quantiser:
    """Scale, range and rounding of one of Brevitas' quantisers, as its own modules give them.

    Only after calibration: until then the scale is a statistic of what passes.
    """

    def __init__(self, quant: Any) -> None:
        bits = quant.msb_clamp_bit_width_impl()
        self.low, self.high = float(quant.int_quant.min_int(bits)), float(quant.int_quant.max_int(bits))
        self.floors = isinstance(quant.int_quant.float_to_int_impl, FloorSte)
        self._scaling, self._threshold = quant.scaling_impl, quant.int_scaling_impl(bits)

    def scale(self, x: Tensor) -> Tensor:
        scale: Tensor = self._scaling(x, self._threshold)
        return scale

    def quantise(self, x: Tensor, scale: Tensor) -> Tensor:
        result: Tensor = FakeQuantise.apply(x, scale, self.low, self.high, self.floors)
        return result


class Fused:
    """The parts of a section, by name, as functions of plain tensors.

    parts: the Brevitas modules by name; sources: for each layer the name of the activation that it reads.
    """

    def __init__(self, parts: dict[str, Any], sources: dict[str, str]) -> None:
        self._parts, self._sources = parts, sources
        self._activations = {
            name: Quantiser(part.act_quant.fused_activation_quant_proxy.tensor_quant)
            for name, part in parts.items()
            if name not in sources and hasattr(part, "act_quant")
        }
        self._weights = {name: Quantiser(parts[name].weight_quant.tensor_quant) for name in sources}

    def calls(self) -> tuple[dict[str, Call], dict[str, Tensor]]:
        """What each part computes with the parameters of this moment; the scales of activations and weights."""
        nothing = torch.empty(0)
        scales = {name: quantiser.scale(nothing) for name, quantiser in self._activations.items()}
        calls: dict[str, Call] = dict(self._parts)
        calls |= {name: self._activation(name, scales[name]) for name in self._activations}
        for name, source in self._sources.items():
            part: Any = self._parts[name]
            with torch.no_grad():
                scales[name] = self._weights[name].scale(part.weight)
                weight = self._weights[name].quantise(part.weight, scales[name])
            bias = None if part.bias is None else self._bias(part, (scales[source] * scales[name]).detach())
            calls[name] = _layer(part, _straight_through(part.weight, weight), bias)
        return calls, scales

    def _activation(self, name: str, scale: Tensor) -> Call:
        quantise = self._activations[name].quantise
        if isinstance(self._parts[name], QuantReLU):  # which also stops gradients between 0 and half an LSB below
            return lambda x: quantise(F.relu(x), scale)
        return lambda x: quantise(x, scale)

    @staticmethod
    def _bias(part: Any, scale: Tensor) -> Tensor:
        """Rounded to the accumulator's LSB."""
        with torch.no_grad():
            quant = part.bias_quant.tensor_quant
            bits = quant.msb_clamp_bit_width_impl()
            bounds = quant.int_quant.min_int(bits), quant.int_quant.max_int(bits)
            rounded = torch.clamp(torch.round(part.bias / scale), *bounds) * scale
        return _straight_through(part.bias, rounded)


def _straight_through(parameter: Tensor, value: Tensor) -> Tensor:
    """`value`, whose gradient is the parameter's."""
    return value.detach() + (parameter - parameter.detach())


def _layer(part: Any, weight: Tensor, bias: Tensor | None) -> Call:
    if isinstance(part, nn.Linear):
        return lambda x: F.linear(x, weight, bias)
    return lambda x: F.conv2d(x, weight, bias, part.stride, part.padding, part.dilation, part.groups)
