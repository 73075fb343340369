"""Brevitas quantisers of the number contract: per-tensor, power-of-two scales, one rounding mode. Imports brevitas."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # brevitas tells of optional packages that nothing here uses
    import brevitas.nn as qnn
    from brevitas.inject.enum import FloatToIntImplType, ScalingImplType
    from brevitas.quant import (
        Int8ActPerTensorFixedPoint,
        Int8WeightPerTensorFixedPoint,
        Int32Bias,
        Uint8ActPerTensorFixedPoint,
    )

from dsodenet.spec import PIXEL_BITS, Layer, Quantisation

CALIBRATION_CALLS = 16  # forward calls in which an activation's range is collected before its scale is learned
MIN_SCALE = 2.0**-16  # a tensor of zeros gets it: brevitas's least scale, 1e-10, is no power of two
ROUNDING_IMPL = {"RND_CONV": FloatToIntImplType.ROUND, "TRN": FloatToIntImplType.FLOOR}


class Quantisers:
    """Builds quantised layers and activations for one set of bit widths."""

    def __init__(self, quantisation: Quantisation) -> None:
        self.quantisation = quantisation
        common: dict[str, Any] = {
            "float_to_int_impl_type": ROUNDING_IMPL[quantisation.rounding],
            "collect_stats_steps": CALIBRATION_CALLS,
            "scaling_min_val": MIN_SCALE,
        }
        self._signed = Int8ActPerTensorFixedPoint.let(**common)
        self._unsigned = Uint8ActPerTensorFixedPoint.let(**common)
        self._layer = {
            "weight_quant": Int8WeightPerTensorFixedPoint.let(
                bit_width=quantisation.weight_bit_width, scaling_min_val=MIN_SCALE
            ),
            "bias_quant": Int32Bias.let(bit_width=quantisation.bias_bit_width),
        }

    def convolution(self, layer: Layer) -> nn.Module:
        quant = self._layer if not layer.timed else {"weight_quant": self._layer["weight_quant"]}
        return qnn.QuantConv2d(
            layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding,
            groups=layer.groups, bias=not layer.timed, **quant,
        )  # fmt: skip

    def linear(self, layer: Layer) -> nn.Module:
        return qnn.QuantLinear(layer.in_channels, layer.out_channels, bias=True, **self._layer)

    def activation(self, return_quant_tensor: bool = True) -> nn.Module:
        """A quantised tensor carries its scale to the next layer, whose bias is rounded to its accumulator's LSB."""
        return qnn.QuantIdentity(
            act_quant=self._signed.let(bit_width=self.quantisation.act_bit_width),
            return_quant_tensor=return_quant_tensor,
        )

    def relu(self) -> nn.Module:
        return qnn.QuantReLU(
            act_quant=self._unsigned.let(bit_width=self.quantisation.act_bit_width), return_quant_tensor=True
        )

    def state(self) -> nn.Module:
        return qnn.QuantIdentity(act_quant=self._signed.let(bit_width=self.quantisation.state_bit_width))

    def pixels(self) -> nn.Module:
        """Unsigned with LSB 2**-PIXEL_BITS: the format of an image is given, not learned."""
        quant = Uint8ActPerTensorFixedPoint.let(
            bit_width=PIXEL_BITS, scaling_impl_type=ScalingImplType.CONST, scaling_init=1.0
        )
        return qnn.QuantIdentity(act_quant=quant, return_quant_tensor=True)


def round_half_even(x: torch.Tensor) -> torch.Tensor:
    """Round with a straight-through gradient."""
    return x + (torch.round(x) - x).detach()
