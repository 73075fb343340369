"""Teachers: bigger float networks to distil from. `teacher(name, num_classes, in_channels)` builds one, untrained:

    tresnet_m, _l, _xl   TResNet (arXiv 2003.13630), BatchNorm and leaky ReLU in place of in-place activated batch norm
    tresnet_small        the same parts at a 2-fold stem and a quarter of the width, for images of 16 pixels and more
    resnet20, resnet56   the residual networks for small images of arXiv 1512.03385
    wide_resnet20        resnet20 with twice the channels, as in arXiv 1605.07146

full_odenet(spec) is the network of a spec with full 3x3 convolutions in place of depthwise-separable ones.

All take what DsODENet takes, images (batch, channels, height, width), uint8 or float in [0, 1], and like it have
`outputs`, `forward` and `classifier`.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsodenet.errors import InputError
from dsodenet.nets.network import pixels
from dsodenet.nets.parts import FloatLayers, Outputs
from dsodenet.spec import Section, Spec, odeint, sections

LEAK = 1e-3


class Classifier(nn.Module):
    """body: image -> map; its mean over the map is the embedding, which `classifier` reads."""

    def __init__(self, body: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.body, self.classifier = body, nn.Linear(width, num_classes)

    def outputs(self, images: Tensor) -> Outputs:
        embedding = self.body(pixels(images, self.classifier.weight.dtype)).mean(dim=(2, 3))
        return Outputs(embedding, self.classifier(embedding))

    def forward(self, images: Tensor) -> Tensor:
        return self.outputs(images).logits


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), activation or nn.Identity())


# ---- TResNet


class Blur(nn.Module):
    """Anti-aliased downsampling: a fixed [1 2 1] x [1 2 1] / 16 filter with stride 2."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels, mode = x.shape[1], "reflect" if min(x.shape[2:]) > 1 else "replicate"
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode), self.kernel.expand(channels, 1, 3, 3), stride=2, groups=channels)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in (0, 1) computed from the means of all."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, reduced, 1), nn.ReLU(), nn.Conv2d(reduced, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=(2, 3), keepdim=True))


def conv_leaky(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, norm, leaky ReLU; a stride is a blur behind them."""
    conv = conv_norm(in_channels, out_channels, kernel, activation=nn.LeakyReLU(LEAK))
    return nn.Sequential(conv, Blur()) if stride > 1 else conv


def basic_branch(in_channels: int, width: int, stride: int, excite: bool) -> nn.Sequential:
    parts: list[nn.Module] = [conv_leaky(in_channels, width, 3, stride), conv_norm(width, width, 3)]
    return nn.Sequential(*parts, *[SqueezeExcite(width, max(width // 4, 64))] * excite)


def bottleneck_branch(in_channels: int, width: int, stride: int, excite: bool) -> nn.Sequential:
    parts: list[nn.Module] = [conv_leaky(in_channels, width, 1), conv_leaky(width, width, 3, stride)]
    parts += [SqueezeExcite(width, max(width * 4 // 8, 64))] * excite
    return nn.Sequential(*parts, conv_norm(width, width * 4, 1))


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x))"""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


def tresnet(
    num_classes: int, in_channels: int, layers: tuple[int, int, int, int], width: int, stem: int = 4
) -> Classifier:
    """width: channels of the first stage; stem: pixels on a side that SpaceToDepth joins.

    Stages 1 and 2 are basic, 3 and 4
    bottlenecks; the first three have squeeze and excitation."""
    parts: list[nn.Module] = [
        nn.PixelUnshuffle(stem),
        conv_norm(in_channels * stem**2, width, 3, activation=nn.LeakyReLU(LEAK)),
    ]
    channels = width
    for stage, count in enumerate(layers):
        make, expansion = (basic_branch, 1) if stage < 2 else (bottleneck_branch, 4)
        for index in range(count):
            inner = width << stage
            outer, stride = inner * expansion, 2 if stage and not index else 1
            shortcut: nn.Module = nn.Identity()
            if stride > 1 or channels != outer:
                pool = [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)] * (stride > 1)
                shortcut = nn.Sequential(*pool, conv_norm(channels, outer, 1))
            parts.append(Residual(make(channels, inner, stride, stage < 3), shortcut))
            channels = outer
    return Classifier(nn.Sequential(*parts), channels, num_classes)


# ---- ResNet for small images


class PadShortcut(nn.Module):
    """Every second pixel, new channels zero: the shortcut without parameters (option A of the paper)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))


def resnet(num_classes: int, in_channels: int, depth: int, width: int = 16) -> Classifier:
    """A 3x3 stem, then three stages of (depth - 2) / 6 basic blocks with `width`, 2 and 4 times as many channels."""
    parts: list[nn.Module] = [conv_norm(in_channels, width, 3, activation=nn.ReLU())]
    channels = width
    for stage in range(3):
        for index in range((depth - 2) // 6):
            outer, stride = width << stage, 2 if stage and not index else 1
            branch = nn.Sequential(conv_norm(channels, outer, 3, stride, nn.ReLU()), conv_norm(outer, outer, 3))
            parts.append(Residual(branch, PadShortcut() if stride > 1 else nn.Identity()))
            channels = outer
    return Classifier(nn.Sequential(*parts), channels, num_classes)


# ---- full-convolution ODENet


class FullOdeBlock(nn.Module):
    """z(t1) of dz/dt = conv2(relu(conv1(z)))."""

    def __init__(self, section: Section, spec: Spec) -> None:
        super().__init__()
        self.conv1, self.conv2 = (FloatLayers().convolution(layer) for layer in section.full_convolutions)
        self.solver, self.n_steps = spec.solver, spec.solver.n_steps[section.block]

    def forward(self, z: Tensor) -> Tensor:
        solver = self.solver
        return odeint(
            lambda t, z: self.conv2(F.relu(self.conv1(z))), z, solver.method, self.n_steps, solver.t0, solver.t1
        )


def full_odenet(spec: Spec) -> Classifier:
    """The network of a spec without time and normalisation, one 3x3 convolution for each depthwise-pointwise pair.

    Its `body` holds stem, f1, down1, f2, ... by these names.
    """
    plain = dataclasses.replace(spec.network, time="none", norm="none", low_rank=())
    body = OrderedDict[str, nn.Module]()
    for section in sections(plain):
        if section.kind == "f":
            body[section.name] = FullOdeBlock(section, spec)
        elif section.kind != "head":
            (layer,) = section.full_convolutions or section.layers
            body[section.name] = FloatLayers().convolution(layer)
    return Classifier(nn.Sequential(body), plain.channels[-1], plain.num_classes)


TEACHERS: dict[str, Callable[[int, int], Classifier]] = {
    "tresnet_m": partial(tresnet, layers=(3, 4, 11, 3), width=64),
    "tresnet_l": partial(tresnet, layers=(4, 5, 18, 3), width=76),
    "tresnet_xl": partial(tresnet, layers=(4, 5, 24, 3), width=83),
    "tresnet_small": partial(tresnet, layers=(2, 2, 2, 1), width=16, stem=2),
    "resnet20": partial(resnet, depth=20),
    "resnet56": partial(resnet, depth=56),
    "wide_resnet20": partial(resnet, depth=20, width=32),
}


def teacher(name: str, num_classes: int, in_channels: int) -> Classifier:
    """An untrained teacher; InputError names the known ones."""
    if name not in TEACHERS:
        raise InputError(f"teacher is {name!r}, but it must be one of {', '.join(TEACHERS)}")
    return TEACHERS[name](num_classes, in_channels)
