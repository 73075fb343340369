"""Biases, shifts and sums at the far ends of what a program can say, and the adder tree that only wide arrays have."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dsodenet.errors import SpecError, ToolError
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.builder import Builder, program
from dsodenet.rtl.engine import Engine
from dsodenet.spec.layers import all_layers
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS, kernel, model, on, random_model, saturating
from tests.rtl.against_reference import check

pytestmark = pytest.mark.slow

try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
LANES = "1x4x8"
WIDE = "1x16x16"  # the fewest input lanes with more than one cascade, so with an adder tree behind them


def wide_biases(kind: str, shift: int) -> Params:
    """A model whose layers of a kind (dw, or pw but the head) are requantised by `shift` and live on their biases.

    Finer weights move the accumulator's LSB down; the biases, of 24 bits, then say the same as before.
    """
    base = model("wide", "heun", 2, channels=(5, 7), height=6, width=6)
    quantisation = dataclasses.replace(base.spec.quantisation, bias_bit_width=24)
    base = dataclasses.replace(base, spec=dataclasses.replace(base.spec, quantisation=quantisation))
    formats, arrays = dict(base.formats), {name: array.copy() for name, array in base.arrays.items()}
    rng = np.random.default_rng(3)
    for layer in all_layers(base.spec.network):
        if layer.dest == "logits" or layer.depthwise != (kind == "dw"):
            continue
        name = f"{layer.name}.weight"
        finer = shift - (base.accumulator_frac_bits(layer) - base.formats[layer.dest].frac_bits)
        formats[name] = dataclasses.replace(formats[name], integer_bits=formats[name].integer_bits - finer)
        bias = arrays[f"{layer.name}.bias"]
        bias[...] = np.clip(rng.integers(-100, 101, bias.shape) << shift, -(1 << 23), (1 << 23) - 1)
    return on(dataclasses.replace(base, formats=formats, arrays=arrays), LANES)


@pytest.mark.parametrize(("kind", "shift"), [("dw", 13), ("dw", 18), ("pw", 17)])
def test_biases_over_16_bits_and_shifts_over_16(kind: str, shift: int) -> None:
    params = wide_biases(kind, shift)
    builder = Builder(params, Engine.of(params.spec.kernel))
    builder.build()
    assert shift in {getattr(item, "dw_shift" if kind == "dw" else "out_shift") for item in builder.passes}
    logits = Reference(params).predict(random_images(params.spec, 2, 1))
    assert len(np.unique(logits)) > 3  # the biases reach the logits: no layer is stuck at one value
    check(params)


def test_update_shift_over_16() -> None:
    """A slope with many fraction bits in a state with few."""
    base = model("update", "rk4", 3, channels=(5,), height=6, width=6)
    finer = dataclasses.replace(base.formats["f1.k"], integer_bits=8 - (base.formats["z1"].frac_bits + 4))
    params = on(dataclasses.replace(base, formats=base.formats | {"f1.k": finer}), LANES)
    builder = Builder(params, Engine.of(params.spec.kernel))
    builder.build()
    assert {item.update_shift for item in builder.passes} - {0} == {19}
    steps = Reference(params).trajectory(random_images(params.spec, 1, 1), 0)
    assert not np.array_equal(steps[0], steps[-1])
    check(params)


def averaging(shift: int) -> Params:
    """A model whose average is shifted by this much: the difference of fraction bits of the state and of its mean."""
    base = model("average", "euler", 1, channels=(4,), height=5, width=5)
    state, mean = (8, 8 - shift) if shift < 0 else (shift + 4, 4)
    state, mean = (state, mean) if mean <= 24 else (state - (mean - 24), 24)
    formats = {
        "z1": dataclasses.replace(base.formats["z1"], integer_bits=16 - state),
        "head.x": dataclasses.replace(base.formats["head.x"], integer_bits=8 - mean),
    }
    return on(dataclasses.replace(base, formats=base.formats | formats), LANES)


@pytest.mark.parametrize("shift", [-15, -9, 12, 22])
def test_ends_of_the_averages_shift(shift: int) -> None:
    params = averaging(shift)
    builder = Builder(params, Engine.of(params.spec.kernel))
    builder.build()
    assert builder.passes[-1].average_shift == shift
    check(params)


@pytest.mark.parametrize("shift", [-16, 23])
def test_an_average_beyond_them_is_refused(shift: int) -> None:
    params = averaging(shift)
    with pytest.raises(SpecError, match=rf"average_shift .* is {shift}, but the rtl kernel takes -15 to 22"):
        program(params, Engine.of(params.spec.kernel))


# ---- sixteen input lanes


@pytest.mark.parametrize("seed", range(8))
def test_adder_tree_on_random_specs(seed: int) -> None:
    check(random_model(seed, WIDE), seed=seed)


@pytest.mark.parametrize("name", ["plain", "time_bias", "patches"])
def test_adder_tree_on_models(name: str) -> None:
    assert Engine.of(kernel(WIDE)).input_lanes // Engine.of(kernel(WIDE)).cascade == 2
    check(on(MODELS[name], WIDE))


def test_adder_tree_of_saturated_sums() -> None:
    check(on(saturating(model("saturation", "heun", 2, channels=(20, 33))), WIDE))
