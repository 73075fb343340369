"""Small models for the self-test of a kernel whose program is loaded at run time.

Every layer but one passes on its input.
Where all layers pass it on, the logits are the pixels themselves. That is a loop from memory through both DMA channels
and back to memory, whose truth needs no reference.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.spec import IMAGE_FORMAT, Format, Kernel, Network, Params, Spec, all_layers, array_shapes, tensor_widths

WEIGHT_FRAC_BITS = 6
ONE = 1 << WEIGHT_FRAC_BITS
RANDOM_WEIGHT, RANDOM_BIAS = 40, 1 << 12
# Fraction bits of states, and of activations; f's hidden one is unsigned and has one more.
STATE_FRAC_BITS, ACT_FRAC_BITS = 8, 7
F_PARTS = ("dw1", "pw1", "dw2", "pw2")


@dataclass(frozen=True)
class Case:
    """What is random in a model where the rest passes on, and the shape that it takes to see it."""

    random: tuple[str, ...]  # names of arrays
    network: dict[str, Any] = field(default_factory=dict)

    def params(self, kernel: Kernel, seed: int) -> Params:
        return passing(kernel, self.network, self.random, seed)


CASES = {
    "stem 3x3": Case(("stem.conv.weight", "stem.conv.bias")),
    "stem space to depth 2": Case(("stem.conv.weight", "stem.conv.bias"), {"stem": "space_to_depth_2"}),
    "stem space to depth 4": Case(("stem.conv.weight", "stem.conv.bias"), {"stem": "space_to_depth_4"}),
    "depthwise": Case(("f1.dw1.weight", "f1.dw1.bias", "f1.dw2.weight", "f1.dw2.bias")),
    "pointwise": Case(("f1.pw1.weight", "f1.pw1.bias", "f1.pw2.weight", "f1.pw2.bias")),
    "time table": Case(("f1.pw1.knots",), {"time": "bias"}),
    "down, depthwise of stride 2": Case(("down1.dw.weight", "down1.dw.bias")),
    "down, pointwise": Case(("down1.pw.weight", "down1.pw.bias")),
    "average": Case((), {"height": 10, "width": 14}),  # sums of 35 pixels, whose quotients need rounding
    "linear": Case(("head.linear.weight", "head.linear.bias")),
}


def passing(
    kernel: Kernel, changes: dict[str, Any], random: tuple[str, ...] = (), seed: int = 0, head_frac_bits: int = 7
) -> Params:
    """A model in which only the arrays `random` are random.

    An ODE block that holds one of them passes its input on as slope, so that the state doubles. Other blocks have
    slope 0.
    """
    network = Network(2, 16, 16, (8, 16), 10, "conv3x3", "none", "none", 3)
    network = dataclasses.replace(network, **changes)
    base = Spec.named("xs")
    solver = dataclasses.replace(base.solver, method="euler", n_steps=(1,) * len(network.channels))
    spec = dataclasses.replace(base, name="golden", network=network, solver=solver, kernel=kernel)
    frac_bits = {"image": IMAGE_FORMAT.frac_bits, "head.x": head_frac_bits}
    formats = {}
    for name, (bits, signed) in tensor_widths(spec).items():
        default = STATE_FRAC_BITS if name.startswith("z") else ACT_FRAC_BITS + (not signed)
        fraction = WEIGHT_FRAC_BITS if name.endswith(".weight") else frac_bits.get(name, default)
        formats[name] = (
            IMAGE_FORMAT if name == "image" else Format(bits, bits - fraction, signed, spec.quantisation.rounding)
        )
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {
        name: np.zeros(shape, dtype) for name, (shape, dtype) in array_shapes(spec).items()
    }
    for layer in all_layers(network):
        section, _, part = layer.name.partition(".")
        if part not in F_PARTS or any(name.startswith(section) for name in random):
            _pass_on(arrays[f"{layer.name}.weight"])
    for name in random:
        limit = RANDOM_WEIGHT if name.endswith(".weight") else RANDOM_BIAS
        arrays[name] = rng.integers(-limit, limit + 1, arrays[name].shape).astype(arrays[name].dtype)
    return Params(spec, formats, arrays)


def _pass_on(weight: NDArray[np.int8]) -> None:
    """Make output i of a layer its input i, counted over again where there are more outputs.

    A 3x3 kernel looks at its centre. A kernel of space to depth has one output per pixel of a block.
    """
    outputs, inputs, size, _ = weight.shape
    for i in range(outputs):
        if size in (2, 4):
            row, column = divmod(i // inputs % size**2, size)
            weight[i, i % inputs, row, column] = ONE
        else:
            weight[i, i % inputs, size // 2, size // 2] = ONE


LOOP_NETWORK = {
    "in_channels": 1,
    "height": 8,
    "width": 8,
    "stem": "space_to_depth_4",
    "channels": (16,),
    "num_classes": 16,
}
LOOP_BYTES = 64  # an image has so many, and so have its logits: 16 sums of 4 pixels each


def loop(kernel: Kernel, high: bool) -> Params:
    """A model whose logits are its pixels.

    An image has four quarters of 4x4 pixels. Logit i is the sum of the pixels at place i of all four. The sum must be
    below 128. `high` halves it, so that it may be 128 or 254, for the top bit of a pixel.
    """
    return passing(kernel, LOOP_NETWORK, head_frac_bits=IMAGE_FORMAT.frac_bits + (1 if high else 2))


def loop_logits(images: NDArray[np.uint8], high: bool) -> NDArray[np.int32]:
    """What `loop` answers: uint8 (N, 1, 8, 8) -> int32 (N, 16)."""
    quarters = images.reshape(-1, 2, 4, 2, 4).astype(np.int32).sum(axis=(1, 3)).reshape(-1, 16)
    return quarters // (2 if high else 1) * ONE


def walking_ones(high: bool) -> NDArray[np.uint8]:
    """One image for each bit of an image, only that bit set: the bits below the top one, or the top ones."""
    bits = (7,) if high else range(7)
    images = np.zeros((len(bits), LOOP_BYTES, LOOP_BYTES), np.uint8)
    for bit, part in zip(bits, images):
        np.fill_diagonal(part, 1 << bit)
    return images.reshape(-1, 1, 8, 8)


def addresses(count: int) -> NDArray[np.uint8]:
    """`count` images that differ: each has random pixels below 128 in one quarter, and the next image in the next."""
    images = np.zeros((count, 1, 2, 4, 2, 4), np.uint8)
    pixels = np.random.default_rng(0).integers(0, 128, (count, 4, 4), np.uint8)
    for quarter in range(4):
        images[quarter::4, 0, quarter // 2, :, quarter % 2] = pixels[quarter::4]
    return images.reshape(count, 1, 8, 8)
