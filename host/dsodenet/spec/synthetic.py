"""Random models and images: for tests and benchmarks that need the arithmetic of a model, not its accuracy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.spec.formats import Format
from dsodenet.spec.layers import IMAGE_FORMAT, sections, tensor_widths
from dsodenet.spec.params import Params, array_shapes
from dsodenet.spec.specification import Spec


def random_params(spec: Spec, seed: int) -> Params:
    """A model with random integers whose formats keep typical values in range and let some saturate."""
    rng = np.random.default_rng(seed)
    weight_bits, bias_bits = spec.quantisation.weight_bit_width, spec.quantisation.bias_bit_width
    weight_max, bias_max = (1 << (weight_bits - 1)) - 1, (1 << (bias_bits - 1)) - 1
    arrays: dict[str, NDArray[Any]] = {}
    for name, (shape, dtype) in array_shapes(spec).items():
        if name.endswith(".weight"):
            arrays[name] = rng.integers(-weight_max, weight_max + 1, shape).astype(dtype)
        else:
            arrays[name] = np.clip(rng.normal(0, 1 << min(10, bias_bits - 2), shape), -bias_max - 1, bias_max).astype(
                dtype
            )
    widths, rounding = tensor_widths(spec), spec.quantisation.rounding
    frac = {"image": IMAGE_FORMAT.frac_bits, "head.x": 4 + int(rng.integers(0, 2))}
    for block in range(len(spec.network.channels)):
        frac[f"z{block + 1}"] = widths[f"z{block + 1}"][0] - 4 + int(rng.integers(-1, 2))
    for section in sections(spec.network):
        if section.kind in ("f", "down"):
            frac[f"{section.name}.x"] = widths[f"{section.name}.x"][0] - 3 + int(rng.integers(-1, 2))
        for layer in section.layers:
            frac[f"{layer.name}.weight"] = weight_bits - 1 + int(rng.integers(0, 3))
            if layer.dest not in frac and layer.dest != "logits":
                # An accumulator of n terms is typically sqrt(n) * (a third of each range) wide.
                terms = math.prod(layer.weight_shape[1:])
                source_bits = widths[layer.source][0] - widths[layer.source][1]
                spread = math.sqrt(terms) * 2.0 ** (source_bits + weight_bits - 1) / 3
                lsbs = math.ceil(math.log2(spread * 3)) - (widths[layer.dest][0] - 1) + int(rng.integers(-1, 1))
                frac[layer.dest] = frac[layer.source] + frac[f"{layer.name}.weight"] - lsbs
    formats = {
        name: IMAGE_FORMAT
        if name == "image"
        else Format(bits, bits - frac[name], signed, "RND_CONV" if name.endswith(".weight") else rounding)
        for name, (bits, signed) in widths.items()
    }
    return Params(spec, formats, arrays)


def random_images(spec: Spec, count: int, seed: int) -> NDArray[np.uint8]:
    """uint8 (count, channels, height, width): smooth shapes plus noise, over the whole range."""
    rng = np.random.default_rng(seed)
    channels, height, width = spec.network.image_shape
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]  # fmt: skip
    phase = rng.uniform(0, 2 * np.pi, (count, channels, 1, 1))
    speed = rng.uniform(2, 12, (2, count, channels, 1, 1))
    wave = np.sin(speed[0] * x + speed[1] * y + phase)
    return np.clip(127.5 + 110 * wave + rng.normal(0, 20, wave.shape), 0, 255).astype(np.uint8)
