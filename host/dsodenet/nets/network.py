"""DsODENet in torch: float, or quantised with Brevitas, in one class.

    stem -> ODE block -> (down -> ODE block)* -> global average -> linear
    f(z, t) = pw2(dw2(relu(pw1(dw1(z)) + b(t))))          every arrow of the quantised model passes a quantiser

A float model may hold normalisation. `folded()` moves it into weights and biases; `quantised()` then starts
quantisation-aware training from there, so that a quantised model has no normalisation at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from dsodenet.errors import SpecError
from dsodenet.nets.parts import FloatLayers, Head, Outputs, Parts, Projection, Slope
from dsodenet.nets.time_table import EvaluationNorm, TimeTable
from dsodenet.spec import (
    FOLDING_NORMS,
    TIME_FRAC_BITS,
    Problem,
    Section,
    Spec,
    integrate,
    knot_positions,
    sections,
    step_coefficients,
    tableau,
    weighted_sum,
)

PIXEL_MAX = 255
# For each BatchNorm of f, whether it has (a running mean, a running variance) for every knot of time.
BATCH_NORM_KNOTS = {
    "batch_shared": (False, False),
    "batch_mean_per_evaluation": (True, False),
    "batch_per_evaluation": (True, True),
}

Gradient = Callable[[Problem, Tensor], Tensor]  # (problem, z(t0)) -> z(t1), with a backward pass of its own


class Gain(nn.Module):
    """A learned factor of a weight of spectral norm 1: without it f could never grow beyond a gentle flow."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(start.clone())

    def forward(self, weight: Tensor) -> Tensor:
        return self.gain * weight


class OdeBlock(Parts):
    """z(t1) from z(t0) by the solver of the spec in force.

    `gradient`, where set, solves the block in training (training/gradients.py).
    """

    def __init__(self, make: Any, section: Section, spec: Spec, folded: bool) -> None:
        super().__init__()
        network, biased = spec.network, section.biased
        self.block = section.block
        self.z, self.f = make.state(), Slope(make, section)
        norm = "none" if folded else network.norm
        timed = network.time == "bias" or (biased.timed and folded)
        self.table = TimeTable(network.time_knots, biased.out_channels) if timed else None
        self.gradient: Gradient | None = None
        self.norm: nn.Module = nn.Identity()
        if norm in BATCH_NORM_KNOTS:
            self.norm = EvaluationNorm(
                biased.out_channels, *(network.time_knots if many else 1 for many in BATCH_NORM_KNOTS[norm])
            )
        elif norm == "layer":
            self.norm = nn.GroupNorm(1, biased.out_channels)
        elif norm in ("weight", "spectral"):
            for conv in self.f.convolutions():
                if norm == "weight":
                    parametrizations.weight_norm(conv)
                    continue
                gain = Gain(torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2))
                parametrizations.spectral_norm(conv)
                parametrize.register_parametrization(conv, "weight", gain)

    def forward(
        self, z: Tensor, spec: Spec, quantised: bool, on_step: Callable[[int, Tensor], None] | None = None
    ) -> Tensor:
        if self.gradient is not None and self.training:
            return self.gradient(self.problem(spec), z)
        calls, scales = self.f.calls()
        state, _ = self.calls()
        biases = None
        if self.table is not None:
            biases = self.table(spec, self.block, self._bias_scale(scales) if quantised else None)[:, :, None, None]
        index, fraction = knot_positions(spec, self.block)
        solve: list[Tensor] = []

        def f(z: Tensor, evaluation: int) -> Tensor:
            norm, bias = self.norm, None if biases is None else biases[evaluation]
            if isinstance(norm, EvaluationNorm):
                where = int(index[evaluation]), float(fraction[evaluation]) / 2**TIME_FRAC_BITS
                return self.f(z, bias, lambda x: norm(x, *where, solve), calls)
            return self.f(z, bias, norm, calls)

        def combine(z: Tensor, row: Sequence[Any], slopes: list[Tensor]) -> Tensor:
            return state["z"](weighted_sum(z, row, slopes)) if any(row) else z

        return integrate(
            f, state["z"](z), self._rows(spec, quantised), spec.solver.n_steps[self.block], combine, on_step
        )

    def problem(self, spec: Spec) -> Problem:
        """The block as an ordinary differential equation.

        A float block whose normalisation keeps no running statistics.
        """
        solver, table = spec.solver, self.table

        def f(t: float, z: Tensor) -> Tensor:
            bias = None if table is None else table.at((float(t) - solver.t0) / (solver.t1 - solver.t0))[:, None, None]
            return self.f(z, bias, self.norm)

        return Problem(f, tuple(self.parameters()), solver.method, solver.n_steps[self.block], solver.t0, solver.t1)

    def load_folded(self, source: OdeBlock) -> None:
        self.f.load_convolutions(source.f)
        if self.table is not None and source.table is not None:
            self.table.knots.copy_(source.table.knots)
        if isinstance(source.norm, EvaluationNorm):
            (var,) = source.norm.running_var
            gain = source.norm.gain(var)
            biased: Any = self.f.get_submodule(self.f.biased.part)
            biased.weight.mul_(gain[:, None, None, None])
            shift = source.norm.bias - source.norm.running_mean * gain
            if self.table is not None:
                self.table.knots.add_(shift)
            else:
                biased.bias.mul_(gain).add_(shift[0])

    def _rows(self, spec: Spec, quantised: bool) -> list[list[Any]]:
        solver = spec.solver
        if quantised:
            return [[value * spec.quantisation.coeff.scale for value in row] for row in spec.coefficients(self.block)]
        dt = (Fraction(solver.t1) - Fraction(solver.t0)) / solver.n_steps[self.block]
        return step_coefficients(tableau(solver.method), dt)

    def _bias_scale(self, scales: dict[str, Tensor]) -> Tensor:
        """One LSB of the accumulator that the bias is added to. scales: of f's fused parts, none where it has none."""
        f: Any = self.f
        source, biased = f.biased.source.partition(".")[2], f.biased.part
        if scales:
            return (scales[source] * scales[biased]).detach()
        return f.get_submodule(source).act_quant.scale() * f.get_submodule(biased).quant_weight().scale


class DsODENet(nn.Module):
    """forward: images (batch, channels, height, width), uint8 or float in [0, 1] -> logits (batch, num_classes).

    bit_width None is the float model; a number is the Brevitas model with weights of that width and the spec's other
    widths, normalisation folded. `spec` may be replaced by `spec.with_solver(...)` at any time.
    """

    def __init__(self, spec: Spec, bit_width: int | None = None, *, folded: bool = False) -> None:
        super().__init__()
        make: Any = FloatLayers()
        if bit_width is not None:
            if spec.network.float_only:
                raise SpecError(
                    f"network.norm {spec.network.norm} does not fold into the weights, so it is float only; "
                    f"use {', '.join(FOLDING_NORMS)}"
                )
            from dsodenet.nets.quantisers import Quantisers

            spec = dataclasses.replace(
                spec, quantisation=dataclasses.replace(spec.quantisation, weight_bit_width=bit_width)
            )
            make, folded = Quantisers(spec.quantisation), True
        self.spec, self.quantised_arithmetic, self.is_folded = spec, bit_width is not None, folded
        # The norm under study is f's; between the blocks it is BatchNorm, as in arXiv 2004.09222.
        batch_norm = spec.network.norm != "none" and not folded
        self.sections = nn.ModuleDict()
        for section in sections(spec.network):
            if section.kind == "f":
                self.sections[section.name] = OdeBlock(make, section, spec, folded)
            elif section.kind == "head":
                self.sections[section.name] = Head(make, section, spec.network.map_size(section.block))
            else:
                self.sections[section.name] = Projection(make, section, batch_norm)

    def forward(self, images: Tensor, on_step: dict[int, Callable[[int, Tensor], None]] | None = None) -> Tensor:
        return self.outputs(images, on_step).logits

    def outputs(self, images: Tensor, on_step: dict[int, Callable[[int, Tensor], None]] | None = None) -> Outputs:
        """Embedding and logits; arguments as in forward."""
        z = pixels(images, next(self.parameters()).dtype)
        *body, head = self.sections.values()
        for section in body:
            if isinstance(section, OdeBlock):
                z = section(z, self.spec, self.quantised_arithmetic, (on_step or {}).get(section.block))
            else:
                z = section(z)
        assert isinstance(head, Head)
        return head.outputs(z)

    @property
    def classifier(self) -> nn.Module:
        """The linear layer from embedding to logits."""
        return self.layer("head.linear")

    def fuse(self) -> None:
        """Train a calibrated quantised network by fused arithmetic (nets/fused.py): the same values, much sooner."""
        for module in self.modules():
            if isinstance(module, Parts):
                module.fuse()

    def blocks(self) -> list[OdeBlock]:
        return [section for section in self.sections.values() if isinstance(section, OdeBlock)]

    def layer(self, name: str) -> nn.Module:
        """The module of a layer by its name in layers.py, such as `f1.dw1`."""
        section, layer = name.split(".")
        module = self.sections[section]
        return getattr(module.f if isinstance(module, OdeBlock) else module, layer)

    def activation(self, tensor: str) -> nn.Module:
        """The quantiser of a tensor by its name in layers.py, such as `f1.d1`, `z1` or `image`."""
        if tensor == "image":
            return self.sections["stem"].x  # type: ignore[return-value]
        if tensor.startswith("z"):
            return self.sections[f"f{tensor[1:]}"].z  # type: ignore[return-value]
        return self.layer(tensor)

    @torch.no_grad()
    def folded(self) -> DsODENet:
        """The float model without normalisation modules whose outputs are those of this one in eval mode."""
        if self.quantised_arithmetic or self.spec.network.float_only:
            raise SpecError(f"only a float model with norm {', '.join(FOLDING_NORMS)} can be folded")
        if self.is_folded:
            return self
        source, result = self.eval(), DsODENet(self.spec, folded=True).to(next(self.parameters()))
        for name, section in source.sections.items():
            target: Any = result.sections[name]  # the class of `section`
            target.load_folded(section)
        return result.eval()

    def quantised(self, bit_width: int | None = None) -> DsODENet:
        """A Brevitas model that starts from this float model; its activation scales need `calibrate` or training."""
        folded = self.folded()
        result = DsODENet(self.spec, bit_width or self.spec.quantisation.weight_bit_width)
        with torch.no_grad():
            targets = dict(result.named_parameters())
            for name, value in folded.named_parameters():
                targets[name].copy_(value)
        return result


def pixels(images: Tensor, dtype: torch.dtype) -> Tensor:
    """What the network sees: uint8 pixels times 2**-8; float images in [0, 1] are rounded to uint8 first."""
    if images.dtype != torch.uint8:
        images = torch.round(images * PIXEL_MAX)
    # channels last: depthwise layers, which take most of the time, then run about twice as fast, on a GPU too
    return images.to(dtype, memory_format=torch.channels_last) / 256


@torch.no_grad()
def calibrate(model: DsODENet, images: Tensor) -> None:
    """Let every activation quantiser see enough batches to set its scale from the ranges it meets."""
    from dsodenet.nets.quantisers import CALIBRATION_CALLS

    model.train()
    for _ in range(CALIBRATION_CALLS + 1):  # activations outside the loop are called once per batch
        model(images)
    model.eval()
