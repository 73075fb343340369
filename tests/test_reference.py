"""The NumPy reference against another implementation of the number contract: torch convolutions on int64 tensors.

The truth here is computed without floats: exact integer products and sums, rounding by shifts, rational averages.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from dsodenet.reference import Convolution, Reference, exact_float, global_average
from dsodenet.spec.formats import Format
from dsodenet.spec.layers import Layer, sections
from dsodenet.spec.params import Params, bias_name
from dsodenet.spec.solvers import tableau
from dsodenet.spec.specification import LowRank, Spec
from dsodenet.spec.synthetic import random_images, random_params


def to_format(value: Tensor, frac_bits: int, fmt: Format) -> Tensor:
    """Integers with frac_bits fraction bits -> integers of fmt: by its rounding, then saturated."""
    shift = frac_bits - fmt.frac_bits
    if shift <= 0:
        rounded = value << -shift
    elif fmt.rounding == "TRN":
        rounded = value >> shift
    else:  # half to even: add half, drop the fraction, and take back one where a tie has become odd
        rounded = (value + (1 << (shift - 1))) >> shift
        tie = (value & ((1 << shift) - 1)) == 1 << (shift - 1)
        rounded = rounded - (tie & (rounded & 1 == 1)).long()
    return rounded.clamp(fmt.min_int, fmt.max_int)


def convolve(params: Params, layer: Layer, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """x: int64 (batch, channels, height, width) -> int64 in the format of the layer's destination.

    Logits stay as they are.
    """
    weight = torch.from_numpy(params.arrays[f"{layer.name}.weight"].astype(np.int64))
    if bias is None:
        bias = torch.from_numpy(params.arrays[bias_name(layer)].astype(np.int64))
    out = (
        torch.nn.functional.conv2d(x, weight, None, layer.stride, layer.padding, groups=layer.groups)
        + bias[:, None, None]
    )
    frac_bits = params.formats[layer.source].frac_bits + params.formats[f"{layer.name}.weight"].frac_bits
    return out if layer.dest == "logits" else to_format(out, frac_bits, params.formats[layer.dest])


def time_bias(params: Params, layer: Layer, t: Fraction) -> Tensor:
    """The bias at time t, linear between two knots.

    The position is rounded to 2**-12 and the value to an integer, both half to even.
    """
    solver, knots = params.spec.solver, params.arrays[f"{layer.name}.knots"].tolist()
    where = (t - Fraction(solver.t0)) / (Fraction(solver.t1) - Fraction(solver.t0)) * (len(knots) - 1)
    position = Fraction(round(where * 4096), 4096)
    index = min(int(position), len(knots) - 2)
    return torch.tensor([round(a + (b - a) * (position - index)) for a, b in zip(knots[index], knots[index + 1])])


def integers(params: Params, images: np.ndarray) -> Tensor:
    """Integer logits, by the number contract."""
    spec, formats = params.spec, params.formats
    z = torch.from_numpy(images.astype(np.int64))
    for section in sections(spec.network):
        block = section.block + 1
        if section.kind == "f":
            z = solve(params, section, z)
        elif section.kind == "head":
            area, source, dest = z.shape[2] * z.shape[3], formats[f"z{block}"], formats["head.x"]
            scale = Fraction(2) ** (dest.frac_bits - source.frac_bits) / area
            rounding = round if dest.rounding == "RND_CONV" else lambda v: v.numerator // v.denominator
            mean = [[rounding(int(total) * scale) for total in row] for row in z.sum(dim=(2, 3))]
            z = torch.tensor(mean).clamp(dest.min_int, dest.max_int)[:, :, None, None]
            z = convolve(params, section.layers[0], z)
        else:
            if section.kind == "down":
                z = to_format(z, formats[f"z{block}"].frac_bits, formats[f"{section.name}.x"])
            for layer in section.layers:
                z = convolve(params, layer, z)
    return z.flatten(1)


def solve(params: Params, section, z: Tensor) -> Tensor:
    spec, formats, method = params.spec, params.formats, tableau(params.spec.solver.method)
    name, n_steps = section.name, spec.solver.n_steps[section.block]
    timed = next(layer for layer in section.layers if layer.relu)
    state, slope = formats[f"z{section.block + 1}"], formats[f"{name}.k"]
    dt = (Fraction(spec.solver.t1) - Fraction(spec.solver.t0)) / n_steps
    coeff_frac = spec.quantisation.coeff_frac_bits

    def combine(z: Tensor, row, slopes: list[Tensor]) -> Tensor:
        frac_bits = max(state.frac_bits, slope.frac_bits + coeff_frac)
        total = z << (frac_bits - state.frac_bits)
        for entry, k in zip(row, slopes):
            total = total + ((round(dt * entry * 2**coeff_frac) * k) << (frac_bits - slope.frac_bits - coeff_frac))
        return to_format(total, frac_bits, state)

    for step in range(n_steps):
        slopes: list[Tensor] = []
        for row, c in zip(method.a, method.c):
            x = to_format(combine(z, row, slopes), state.frac_bits, formats[f"{name}.x"])
            bias = time_bias(params, timed, Fraction(spec.solver.t0) + dt * (step + c)) if timed.timed else None
            for layer in section.layers:
                x = convolve(params, layer, x, bias if layer is timed else None)
            slopes.append(x)
        z = combine(z, method.b, slopes)
    return z


CASES = {
    "plain": {},
    "all_solvers_euler": {"method": "euler", "n_steps": (1, 2, 5)},
    "midpoint": {"method": "midpoint", "n_steps": (3, 1, 2)},
    "heun": {"method": "heun"},
    "rk3": {"method": "rk3"},
    "rk4": {"method": "rk4", "time": "bias"},
    "rk4_38": {"method": "rk4_38", "solver": {"t0": -0.5, "t1": 1.75}, "time": "bias", "time_knots": 3},
    "truncation": {"quantisation": {"rounding": "TRN"}},
    "odd sizes": {"channels": (5, 7, 11), "height": 13, "width": 18, "in_channels": 3, "num_classes": 3},
    "patches of 2": {"stem": "space_to_depth_2", "channels": (6, 10), "in_channels": 3, "height": 10, "width": 14},
    "patches of 4": {"stem": "space_to_depth_4", "channels": (6,), "in_channels": 2, "height": 16, "width": 12},
    "means per evaluation": {"norm": "batch_mean_per_evaluation", "method": "heun", "channels": (6, 10)},
    "low rank": {
        "low_rank": (LowRank("stem.conv", 3), LowRank("f1.pw1", 2), LowRank("down1.pw", 1), LowRank("f2.pw2", 5)),
        "channels": (6, 10),
        "time": "bias",
    },
    "4-bit weights": {"quantisation": {"weight_bit_width": 4}, "channels": (6, 10)},
    "narrow": {"quantisation": {"act_bit_width": 4, "weight_bit_width": 2, "state_bit_width": 8}, "channels": (6,)},
    "wide accumulators": {"channels": (260,), "height": 5, "width": 4, "time": "bias"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_logits_are_those_of_exact_integers(make_spec, case):
    spec = make_spec(**CASES[case])
    params, images = random_params(spec, seed=7), random_images(spec, 5, seed=8)
    expected = integers(params, images)
    assert np.array_equal(Reference(params, threads=1).predict(images), expected.numpy())
    assert expected.unique().numel() > 5


def test_accumulators_beyond_float32_are_exact(make_spec):
    spec = make_spec(channels=(8,), in_channels=64, height=12, width=12)
    base, stem = random_params(spec, seed=1), sections(spec.network)[0].layers[0]
    weight = np.random.default_rng(1).integers(120, 128, base.arrays["stem.conv.weight"].shape).astype(np.int8)
    # Accumulators reach 18 million; rounding them by 10 bits shows a wrong last bit in some of 46,080 results.
    formats = base.formats | {"z1": Format(16, 26 - base.accumulator_frac_bits(stem))}
    params = Params(spec, formats, base.arrays | {"stem.conv.weight": weight})
    assert Convolution(params, stem).dtype is np.float64
    images = 255 - random_images(spec, 40, seed=2) // 32
    expected = convolve(params, stem, torch.from_numpy(images.astype(np.int64))).numpy()
    assert 1000 < np.abs(expected).max() < 32767
    assert np.array_equal(Reference(params).trajectory(images, 0)[0].transpose(0, 3, 1, 2), expected)


def test_the_narrow_type_ends_where_it_stops_being_exact():
    assert exact_float((1 << 24) - 1) is np.float32
    assert exact_float(1 << 24) is np.float64
    assert np.float32(2**24 + 1) != 2**24 + 1


@pytest.mark.parametrize("pixels", [0, 255])
def test_states_that_saturate(make_spec, pixels):
    spec = make_spec(method="rk4", n_steps=3, channels=(6, 10))
    params = random_params(spec, seed=3)
    formats = dict(params.formats)
    for name in ("z1", "z2", "f1.x", "f2.x"):  # three bits less in front of the point
        fmt = formats[name]
        formats[name] = Format(fmt.bits, fmt.integer_bits - 3, fmt.signed, fmt.rounding)
    params = Params(spec, formats, params.arrays)
    images = np.full((3, *spec.network.image_shape), pixels, np.uint8)
    images[1] = random_images(spec, 1, seed=1)
    reference = Reference(params, threads=1)
    assert np.array_equal(reference.predict(images), integers(params, images).numpy())
    ends = np.concatenate([z.ravel() for z in reference.trajectory(images, 0)])
    assert {formats["z1"].min_int, formats["z1"].max_int} & set(ends.tolist())


@pytest.mark.parametrize("count", [1, 2, 33, 70])
def test_threads_and_batches_change_nothing(make_spec, count):
    spec = make_spec(time="bias", method="heun", height=32, width=40, channels=(32, 8))
    params, images = random_params(spec, seed=5), random_images(spec, count, seed=6)
    one = Reference(params, threads=1).predict(images)
    assert np.array_equal(Reference(params, threads=3).predict(images), one)
    assert np.array_equal(Reference(params).predict(images[::-1])[::-1], one)
    assert np.array_equal(Reference(params, threads=1).predict(images[:1]), one[:1])


def test_a_changed_solver_is_that_solver(make_spec):
    params = random_params(make_spec(time="bias"), seed=2)
    images = random_images(params.spec, 3, seed=2)
    changed = params.with_solver("rk3", 7)
    assert changed.spec.solver.n_steps == (7, 7, 7)
    assert np.array_equal(Reference(changed, threads=1).predict(images), integers(changed, images).numpy())
    assert not np.array_equal(
        Reference(changed, threads=1).predict(images), Reference(params, threads=1).predict(images)
    )


def test_the_trajectory_ends_where_the_next_section_begins(make_spec):
    spec = make_spec(channels=(6, 10), method="midpoint", n_steps=(3, 2))
    params, images = random_params(spec, seed=4), random_images(spec, 2, seed=4)
    states = Reference(params).trajectory(images, 0)
    assert len(states) == 4
    assert states[0].shape == (2, 16, 16, 6)
    z = torch.from_numpy(images.astype(np.int64))
    stem, f1 = sections(spec.network)[:2]
    start = convolve(params, stem.layers[0], z)
    assert np.array_equal(states[0].transpose(0, 3, 1, 2), start.numpy())
    assert np.array_equal(states[-1].transpose(0, 3, 1, 2), solve(params, f1, start).numpy())


@pytest.mark.parametrize("rounding", ["RND_CONV", "TRN"])
def test_an_average_is_rounded_as_an_exact_quotient(rounding):
    source, dest = Format(16, 6), Format(8, 6, rounding=rounding)
    rng = np.random.default_rng(0)
    for shape in ((3, 5), (7, 7), (4, 4), (2, 3)):
        z = rng.integers(-2000, 2000, (200, *shape, 4)).astype(np.float32)
        z[:100] = np.rint(z[:100] / 128) * 128  # ties where the count is a power of two
        z[:20] = (128 * rng.integers(-16, 16, (20, 1, 1, 4)) + 128).astype(
            np.float32
        )  # constant maps: ties for any count
        total = z.astype(np.int64).sum(axis=(1, 2))
        quotients = [
            Fraction(int(t), shape[0] * shape[1]) * Fraction(2) ** (dest.frac_bits - source.frac_bits)
            for t in total.flat
        ]
        exact = [round(q) if rounding == "RND_CONV" else q.numerator // q.denominator for q in quotients]
        assert global_average(z, source, dest).ravel().tolist() == np.clip(exact, -128, 127).tolist()


def test_ready_sizes_are_exact_too():
    spec = Spec.named("s").with_solver("rk4", 2)
    params, images = random_params(spec, seed=1), random_images(spec, 2, seed=1)
    assert np.array_equal(Reference(params).predict(images), integers(params, images).numpy())
