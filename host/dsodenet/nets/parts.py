"""The sections that DsODENet chains: layers and quantisers in a row, float or quantised by what `make` makes.

The solver is model.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsodenet.spec import Layer, Section


class Outputs(NamedTuple):
    """What a network makes of images, in training as in use."""

    embedding: Tensor  # (batch, channels): what its last linear layer reads
    logits: Tensor  # (batch, num_classes)


class FloatLayers:
    """The float counterparts of `quantisers.Quantisers`."""

    def convolution(self, layer: Layer) -> nn.Module:
        shape = (layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding)
        conv = nn.Conv2d(*shape, groups=layer.groups, bias=not layer.timed)
        # torch's default shrinks the signal by sqrt(3) a layer: the logits of a new network hardly depend on the
        # image, and nothing is learned for epochs. Unit gain keeps it; f starts as half of that, a gentle flow.
        nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        if layer.dest.endswith(".k"):
            with torch.no_grad():
                conv.weight.mul_(0.5)
        return conv

    def linear(self, layer: Layer) -> nn.Module:
        return nn.Linear(layer.in_channels, layer.out_channels)

    def relu(self) -> nn.Module:
        return nn.ReLU()

    def activation(self, return_quant_tensor: bool = False) -> nn.Module:
        return nn.Identity()

    state = pixels = activation


Call = Callable[[Tensor], Tensor]


class Parts(nn.Module):
    """Layers and quantisers by name, run as modules, or while a quantised network trains as few operations."""

    fused: Any = None  # nets/fused.py's Fused, where training goes that way

    def sources(self) -> dict[str, str]:
        """For each layer, the activation that it reads."""
        return {}

    def fuse(self) -> None:
        """From now on training takes the short way. The quantisers must be calibrated."""
        from dsodenet.nets.fused import Fused

        self.fused = Fused(dict(self.named_children()), self.sources())

    def calls(self) -> tuple[dict[str, Call], dict[str, Tensor]]:
        """What each part computes; where parts are fused also the scales, by the same names.

        To be asked once per solve: fused parts quantise their weights then.
        """
        if self.fused is not None and self.training:
            fused: tuple[dict[str, Call], dict[str, Tensor]] = self.fused.calls()
            return fused
        return dict(self.named_children()), {}


class Chain(Parts):
    """The layers of a section in a row, each result quantised; modules are named as in spec/layers.py.

    What the last layer of stem and down gives is quantised by the state of the ODE block behind.
    """

    def __init__(self, make: Any, section: Section) -> None:
        super().__init__()
        self.layers, self.biased = section.layers, section.biased
        self.x = make.pixels() if section.kind == "stem" else make.activation()
        for layer in section.layers:
            self.add_module(layer.part, make.convolution(layer))
            if not layer.dest.startswith("z"):
                # k is weighed and summed by the solver, which takes plain tensors
                quantiser = (
                    make.relu() if layer.relu else make.activation(return_quant_tensor=not layer.dest.endswith(".k"))
                )
                self.add_module(_tensor(layer), quantiser)

    def run(
        self, x: Tensor, calls: dict[str, Call], norm: Callable[[Tensor], Tensor] | None, bias: Tensor | None = None
    ) -> Tensor:
        """Normalisation and the bias of an evaluation, where given, come behind the layer `Section.biased`."""
        x = calls["x"](x)
        for layer in self.layers:
            x = calls[layer.part](x)
            if layer is self.biased:
                x = x if norm is None else norm(x)
                x = x if bias is None else x + bias
            if not layer.dest.startswith("z"):
                x = calls[_tensor(layer)](x)
        return x

    def sources(self) -> dict[str, str]:
        return {layer.part: layer.source.partition(".")[2] or "x" for layer in self.layers}

    def convolutions(self) -> tuple[nn.Conv2d, ...]:
        return tuple(self.get_submodule(layer.part) for layer in self.layers)  # type: ignore[misc]

    def load_convolutions(self, source: Chain) -> None:
        for conv, target in zip(source.convolutions(), self.convolutions()):
            _copy(conv, target)


def _tensor(layer: Layer) -> str:
    """The name of a layer's result inside its section."""
    return layer.dest.partition(".")[2]


class Projection(Chain):
    """Stem or down: image or state to state."""

    def __init__(self, make: Any, section: Section, batch_norm: bool) -> None:
        super().__init__(make, section)
        self.norm = nn.BatchNorm2d(section.layers[-1].out_channels) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, self.calls()[0], self.norm)

    def load_folded(self, source: Projection) -> None:
        self.load_convolutions(source)
        _fold_batch_norm(source.norm, self.convolutions()[-1])


class Head(Parts):
    def __init__(self, make: Any, section: Section, map_size: tuple[int, int]) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(map_size)
        self.x = make.activation()
        self.linear = make.linear(section.layers[0])

    def forward(self, z: Tensor) -> Tensor:
        return self.outputs(z).logits

    def outputs(self, z: Tensor) -> Outputs:
        calls, _ = self.calls()
        x = calls["x"](calls["pool"](z).flatten(1))
        return Outputs(x if isinstance(x, Tensor) else x.value, calls["linear"](x))

    def sources(self) -> dict[str, str]:
        return {"linear": "x"}

    def load_folded(self, source: Head) -> None:
        _copy(source.linear, self.linear)


class Slope(Chain):
    """f: the slope of the state. A timed f is given the bias of its evaluation."""

    def forward(
        self,
        z: Tensor,
        bias: Tensor | None = None,
        norm: Callable[[Tensor], Tensor] | None = None,
        calls: dict[str, Call] | None = None,
    ) -> Tensor:
        """calls: of `Parts.calls`, to share between evaluations."""
        return self.run(z, self.calls()[0] if calls is None else calls, norm, bias)


def _copy(source: nn.Conv2d | nn.Linear, target: nn.Conv2d | nn.Linear) -> None:
    """Copy weight (as a parametrisation leaves it) and bias."""
    target.weight.copy_(source.weight)
    if target.bias is not None and source.bias is not None:
        target.bias.copy_(source.bias)


def _fold_batch_norm(norm: nn.Module, conv: nn.Conv2d) -> None:
    """Move a BatchNorm behind `conv` into its weight and bias; nothing to do without one."""
    if (
        not isinstance(norm, nn.BatchNorm2d)
        or norm.running_mean is None
        or norm.running_var is None
        or conv.bias is None
    ):
        return
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    conv.weight.mul_(gain[:, None, None, None])
    conv.bias.copy_((conv.bias - norm.running_mean) * gain + norm.bias)
