"""The network as a table of layers: the one walk that the model, the exporter, the reference, the lowering and the
estimates share.

Blocks are counted from 1 in names. A tensor that is quantised has a name and a format: `image`, `z1` (the state of
ODE block 1), `f1.x`, `f1.d1`, `f1.p`, `f1.d2`, `f1.k` (inside f), `down1.x`, `down1.d`, `z2`, ..., `head.x`. Logits
stay accumulators. A layer that the spec keeps at low rank, `f1.pw1`, comes as two: `f1.pw1_in` down to `rank`
channels, then `f1.pw1` up from `f1.r1`.
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass, replace
from typing import Any

from dsodenet.spec.formats import Format
from dsodenet.spec.specification import PIXEL_BITS, STEMS, Network, Spec

Size = tuple[int, int]  # (height, width)
FACTOR = "_in"  # ends the name of the first of two layers that stand for one


@dataclass(frozen=True)
class Layer:
    """One convolution (or the linear layer, a 1x1 convolution of a 1x1 map); sizes are (height, width)."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    depthwise: bool
    relu: bool
    timed: bool  # its bias is a time table
    source: str  # tensor it reads
    dest: str  # tensor its result is quantised to
    in_size: Size
    out_size: Size

    @property
    def part(self) -> str:
        """The name inside its section."""
        return self.name.partition(".")[2]

    @property
    def groups(self) -> int:
        return self.in_channels if self.depthwise else 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(out_channels, in_channels / groups, kernel, kernel), as in torch."""
        return self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one evaluation on one image."""
        return math.prod(self.weight_shape) * math.prod(self.out_size)


@dataclass(frozen=True)
class Section:
    """A run of layers that is lowered as one piece: stem, f1, down1, f2, ..., head."""

    name: str
    kind: str  # stem, f, down, head
    block: int  # index from 0 of the ODE block it belongs to (down: the block before it)
    layers: tuple[Layer, ...]

    @property
    def biased(self) -> Layer:
        """The layer that normalisation follows.

        In f the one in front of ReLU, whose bias may be a time table, else the last.
        """
        return next((layer for layer in self.layers if layer.relu), self.layers[-1])

    @property
    def passes(self) -> tuple[tuple[Layer | None, Layer], ...]:
        """(depthwise layer or None, dense layer) in order: each dense layer with what is in front of it."""
        fronts: tuple[Layer | None, ...] = (None, *self.layers[:-1])
        pairs = zip(fronts, self.layers)
        return tuple(
            (front if front and front.depthwise else None, layer) for front, layer in pairs if not layer.depthwise
        )

    @property
    def full_convolutions(self) -> tuple[Layer, ...]:
        """One dense 3x3 layer in place of each depthwise-pointwise pair: what this section separates."""
        result: list[Layer] = []
        for dw, pw in ((dw, pw) for dw, pw in self.passes if dw):
            last = next(layer for layer in self.layers if layer.name == pw.name.removesuffix(FACTOR))
            shape = {
                key: getattr(dw, key) for key in ("in_channels", "kernel", "stride", "padding", "source", "in_size")
            }
            result.append(replace(last, **shape))
        return tuple(result)


def _separable(
    name: str,
    source: str,
    dests: tuple[str, str],
    channels: tuple[int, int],
    sizes: tuple[Size, Size],
    stride: int = 1,
    suffix: str = "",
    relu: bool = False,
    timed: bool = False,
) -> tuple[Layer, Layer]:
    """A depthwise 3x3 layer and the pointwise layer after it."""
    (c_in, c_out), (size_in, size_out) = channels, sizes
    middle, dest = dests
    return (
        Layer(f"{name}.dw{suffix}", c_in, c_in, 3, stride, 1, True, False, False, source, middle, size_in, size_out),
        Layer(f"{name}.pw{suffix}", c_in, c_out, 1, 1, 0, False, relu, timed, middle, dest, size_out, size_out),
    )


def sections(network: Network) -> tuple[Section, ...]:
    """The whole network, in the order in which data flows."""
    ranks = {item.layer: item.rank for item in network.low_rank}
    return tuple(
        replace(
            section, layers=tuple(part for layer in section.layers for part in _factors(layer, ranks.get(layer.name)))
        )
        for section in _full_rank_sections(network)
    )


def _factors(layer: Layer, rank: int | None) -> tuple[Layer, ...]:
    """The layer, or the two of this rank that stand for it."""
    if rank is None:
        return (layer,)
    section, _, part = layer.name.partition(".")
    middle = f"{section}.r{part.lstrip(string.ascii_lowercase)}"
    first = replace(layer, name=layer.name + FACTOR, out_channels=rank, relu=False, timed=False, dest=middle)
    flat: dict[str, Any] = {
        "in_channels": rank,
        "kernel": 1,
        "stride": 1,
        "padding": 0,
        "source": middle,
        "in_size": layer.out_size,
    }
    return first, replace(layer, **flat)


def _full_rank_sections(network: Network) -> tuple[Section, ...]:
    kernel, stride, padding = STEMS[network.stem]
    image, first = (network.height, network.width), network.map_size(0)
    channels = network.channels
    stem = Layer(
        "stem.conv",
        network.in_channels,
        channels[0],
        kernel,
        stride,
        padding,
        False,
        False,
        False,
        "image",
        "z1",
        image,
        first,
    )
    result = [Section("stem", "stem", 0, (stem,))]
    for block, c in enumerate(channels):
        number, size = block + 1, network.map_size(block)
        f = f"f{number}"
        one = _separable(
            f,
            f"{f}.x",
            (f"{f}.d1", f"{f}.p"),
            (c, c),
            (size, size),
            suffix="1",
            relu=True,
            timed=network.has_time_table,
        )
        two = _separable(f, f"{f}.p", (f"{f}.d2", f"{f}.k"), (c, c), (size, size), suffix="2")
        result.append(Section(f, "f", block, one + two))
        if number < len(channels):
            down = f"down{number}"
            sizes = (size, network.map_size(block + 1))
            layers = _separable(
                down, f"{down}.x", (f"{down}.d", f"z{number + 1}"), (c, channels[block + 1]), sizes, stride=2
            )
            result.append(Section(down, "down", block, layers))
    linear = Layer(
        "head.linear",
        channels[-1],
        network.num_classes,
        1,
        1,
        0,
        False,
        False,
        False,
        "head.x",
        "logits",
        (1, 1),
        (1, 1),
    )
    result.append(Section("head", "head", len(channels) - 1, (linear,)))
    return tuple(result)


def all_layers(network: Network) -> tuple[Layer, ...]:
    return tuple(layer for section in sections(network) for layer in section.layers)


def tensor_widths(spec: Spec) -> dict[str, tuple[int, bool]]:
    """(bits, signed) of every quantised tensor and weight; training finds where the binary point goes."""
    q = spec.quantisation
    widths = {"image": (PIXEL_BITS, False)}
    for section in sections(spec.network):
        if section.kind in ("f", "down"):
            widths[f"{section.name}.x"] = (q.act_bit_width, True)
        for layer in section.layers:
            widths[f"{layer.name}.weight"] = (q.weight_bit_width, True)
            is_state = layer.dest.startswith("z")
            widths[layer.dest] = (q.state_bit_width if is_state else q.act_bit_width, not layer.relu)
    del widths["logits"]
    return widths | {"head.x": (q.act_bit_width, True)}


IMAGE_FORMAT = Format(PIXEL_BITS, 0, signed=False)


def macs(spec: Spec) -> dict[str, int]:
    """Multiply-accumulates per image of each section, with every evaluation of f counted."""
    result = {}
    for section in sections(spec.network):
        evaluations = len(spec.solver.times(section.block)) if section.kind == "f" else 1
        result[section.name] = evaluations * sum(layer.macs for layer in section.layers)
    return result


def parameters(spec: Spec) -> dict[str, int]:
    """Weights and biases (time-table knots included) of each section."""
    rows = spec.network.time_knots
    return {
        section.name: sum(
            math.prod(layer.weight_shape) + layer.out_channels * (rows if layer.timed else 1)
            for layer in section.layers
        )
        for section in sections(spec.network)
    }


def parameter_comparison(spec: Spec) -> dict[str, int]:
    """Parameters without stem and head: this network, the same with full 3x3 convolutions, and as a residual network.

    `full` replaces each depthwise-pointwise pair by one 3x3 convolution from its input to its output channels.
    `residual` also gives every evaluation of f weights of its own, as a network without shared blocks has.
    """
    own = parameters(spec)
    result = dict.fromkeys(("dsodenet", "full", "residual"), 0)
    for section in sections(spec.network):
        if section.kind in ("stem", "head"):
            continue
        full = sum(math.prod(layer.weight_shape) + layer.out_channels for layer in section.full_convolutions)
        copies = len(spec.solver.times(section.block)) if section.kind == "f" else 1
        result["dsodenet"] += own[section.name]
        result["full"] += full
        result["residual"] += full * copies
    return result
