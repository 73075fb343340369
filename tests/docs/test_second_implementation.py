"""The page on the number contract, followed to the letter in plain integers, gives the words of the reference.

Nothing of the package computes here: the run folder is read as the pages describe it, every number is a Python int or
Fraction, and the tableaus are typed from the literature.
"""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsodenet import Accelerator
from dsodenet.reference import Reference
from dsodenet.runtime.pixels import as_pixels
from dsodenet.spec import LowRank, Quantisation, Spec, random_images, random_params, sections

Map = dict[tuple[int, int, int], int]  # (channel, y, x) -> integer
Shape = tuple[int, int, int]
# J. C. Butcher, Numerical Methods for Ordinary Differential Equations (2016), sections 23 and 31.
# rk3 is the third-order method of A. Ralston, Runge-Kutta Methods with Minimum Error Bounds (1962).
TABLEAUS: dict[str, tuple[list[str], str, str]] = {
    "euler": ([""], "1", "0"),
    "midpoint": (["", "1/2"], "0 1", "0 1/2"),
    "heun": (["", "1"], "1/2 1/2", "0 1"),
    "rk3": (["", "1/2", "0 3/4"], "2/9 1/3 4/9", "0 1/2 3/4"),
    "rk4": (["", "1/2", "0 1/2", "0 0 1"], "1/6 1/3 1/3 1/6", "0 1/2 1/2 1"),
    "rk4_38": (["", "1/3", "-1/3 1", "1 -1 1"], "1/8 3/8 3/8 1/8", "0 1/3 2/3 1"),
}


def fractions(text: str) -> list[Fraction]:
    return [Fraction(word) for word in text.split()]


def rounded(value: Fraction, rounding: str) -> int:
    floor = value.numerator // value.denominator
    rest = value - floor
    if rounding == "TRN" or rest < Fraction(1, 2):
        return floor
    return floor + 1 if rest > Fraction(1, 2) or floor % 2 else floor


class Plain:
    """A run folder -> integer logits of one image, one pixel at a time."""

    def __init__(self, run: Path) -> None:
        self.spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))
        with np.load(run / "params.npz") as archive:
            self.arrays = {name: archive[name].tolist() for name in archive}
        self.formats = self.spec["formats"]
        self.states: dict[int, list[Map]] = {}  # of each block, for the last image

    def frac_bits(self, name: str) -> int:
        return int(self.formats[name]["bits"] - self.formats[name]["integer_bits"])

    def quantise(self, value: Fraction, name: str) -> int:
        """A value, not an integer of LSBs, in the format of a tensor."""
        fmt = self.formats[name]
        low = -(2 ** (fmt["bits"] - 1)) if fmt["signed"] else 0
        high = low + 2 ** fmt["bits"] - 1
        return min(max(rounded(value * Fraction(2) ** self.frac_bits(name), fmt["rounding"]), low), high)

    def value(self, q: int, name: str) -> Fraction:
        return q * Fraction(2) ** -self.frac_bits(name)

    def convert(self, maps: Map, source: str, dest: str) -> Map:
        return {place: self.quantise(self.value(q, source), dest) for place, q in maps.items()}

    def layer(
        self, name: str, source: str, dest: str | None, maps: Map, shape: Shape, stride: int, pad: int,
        depthwise: bool = False, bias: list[int] | None = None,
    ) -> tuple[Map, Shape]:  # fmt: skip
        weight = self.arrays[f"{name}.weight"]
        bias = self.arrays[f"{name}.bias"] if bias is None else bias
        kernel = len(weight[0][0])
        channels, height, width = shape
        size = [(side + 2 * pad - kernel) // stride + 1 for side in (height, width)]
        lsb = Fraction(2) ** -(self.frac_bits(source) + self.frac_bits(f"{name}.weight"))
        out: Map = {}
        for o, y, x in itertools.product(range(len(weight)), range(size[0]), range(size[1])):
            total = bias[o]
            for c, i, j in itertools.product(range(1 if depthwise else channels), range(kernel), range(kernel)):
                place = (o if depthwise else c, stride * y + i - pad, stride * x + j - pad)
                total += weight[o][c][i][j] * maps.get(place, 0)
            out[o, y, x] = total if dest is None else self.quantise(total * lsb, dest)
        return out, (len(weight), size[0], size[1])

    def dense(
        self, name: str, middle: str, source: str, dest: str | None, maps: Map, shape: Shape,
        stride: int = 1, pad: int = 0, bias: list[int] | None = None,
    ) -> tuple[Map, Shape]:  # fmt: skip
        """A layer that may be kept at low rank."""
        if f"{name}_in.weight" not in self.arrays:
            return self.layer(name, source, dest, maps, shape, stride, pad, bias=bias)
        maps, shape = self.layer(f"{name}_in", source, middle, maps, shape, stride, pad)
        return self.layer(name, middle, dest, maps, shape, 1, 0, bias=bias)

    def f(self, number: int, maps: Map, shape: Shape, bias: list[int]) -> Map:
        f = f"f{number}"
        maps, _ = self.layer(f"{f}.dw1", f"{f}.x", f"{f}.d1", maps, shape, 1, 1, depthwise=True)
        maps, _ = self.dense(f"{f}.pw1", f"{f}.r1", f"{f}.d1", f"{f}.p", maps, shape, bias=bias)
        maps, _ = self.layer(f"{f}.dw2", f"{f}.p", f"{f}.d2", maps, shape, 1, 1, depthwise=True)
        maps, _ = self.dense(f"{f}.pw2", f"{f}.r2", f"{f}.d2", f"{f}.k", maps, shape)
        return maps

    def bias(self, number: int, t: Fraction, t0: Fraction, t1: Fraction) -> list[int]:
        name = f"f{number}.pw1"
        if f"{name}.bias" in self.arrays:
            return list(self.arrays[f"{name}.bias"])
        knots = self.arrays[f"{name}.knots"]
        position = rounded((t - t0) / (t1 - t0) * (len(knots) - 1) * 2**12, "RND_CONV")
        index = min(position >> 12, len(knots) - 2)
        fraction = position - (index << 12)
        pairs = zip(knots[index], knots[index + 1])
        return [rounded(Fraction(a * (2**12 - fraction) + b * fraction, 2**12), "RND_CONV") for a, b in pairs]

    def coefficients(self, row: str, dt: Fraction) -> list[int]:
        frac_bits = self.spec["quantisation"]["coeff_frac_bits"]
        return [rounded(dt * entry * 2**frac_bits, "RND_CONV") for entry in fractions(row)]

    def block(self, number: int, z: Map, shape: Shape) -> Map:
        solver, state, slope = self.spec["solver"], f"z{number}", f"f{number}.k"
        a, b, c = TABLEAUS[solver["method"]]
        t0, t1, n_steps = Fraction(solver["t0"]), Fraction(solver["t1"]), solver["n_steps"][number - 1]
        dt = (t1 - t0) / n_steps

        def combine(row: str, slopes: list[Map]) -> Map:
            lsb = Fraction(1, 2 ** self.spec["quantisation"]["coeff_frac_bits"])
            weights = [q * lsb for q in self.coefficients(row, dt)]
            return {
                place: self.quantise(
                    self.value(q, state) + sum(w * self.value(k[place], slope) for w, k in zip(weights, slopes)), state
                )
                for place, q in z.items()
            }

        self.states[number] = [z]
        for step in range(n_steps):
            slopes: list[Map] = []
            for row, node in zip(a, fractions(c)):
                x = self.convert(combine(row, slopes), state, f"f{number}.x")
                slopes.append(self.f(number, x, shape, self.bias(number, t0 + dt * (step + node), t0, t1)))
            z = combine(b, slopes)
            self.states[number].append(z)
        return z

    def logits(self, image: list[list[list[int]]]) -> list[int]:
        """image[channel][y][x], 0 to 255."""
        shape = (len(image), len(image[0]), len(image[0][0]))
        pixels = {(c, y, x): image[c][y][x] for c, y, x in itertools.product(*map(range, shape))}
        stem = self.spec["network"]["stem"]
        stride, pad = (1, 1) if stem == "conv3x3" else (int(stem[-1]), 0)
        z, shape = self.dense("stem.conv", "stem.r", "image", "z1", pixels, shape, stride, pad)
        blocks = len(self.spec["network"]["channels"])
        for number in range(1, blocks + 1):
            z = self.block(number, z, shape)
            if number < blocks:
                down = f"down{number}"
                x = self.convert(z, f"z{number}", f"{down}.x")
                x, shape = self.layer(f"{down}.dw", f"{down}.x", f"{down}.d", x, shape, 2, 1, depthwise=True)
                z, shape = self.dense(f"{down}.pw", f"{down}.r", f"{down}.d", f"z{number + 1}", x, shape)
        channels, height, width = shape
        mean = {
            (c, 0, 0): self.quantise(
                sum(
                    (self.value(z[c, y, x], f"z{blocks}") for y in range(height) for x in range(width)), Fraction(0)
                ) / (height * width),
                "head.x",
            )
            for c in range(channels)
        }  # fmt: skip
        out, _ = self.layer("head.linear", "head.x", None, mean, (channels, 1, 1), 1, 0)
        return [out[o, 0, 0] for o in range(len(out))]


def changed(seed: int) -> Spec:
    """A small spec with random choices of everything that the page speaks of; each method and stem comes in turn."""
    rng, xs = random.Random(seed), Spec.named("xs")
    methods, stems = list(TABLEAUS), ["conv3x3", "space_to_depth_2", "space_to_depth_4"]
    stem = stems[seed % 3]
    block = 1 if stem == "conv3x3" else int(stem[-1])
    blocks = rng.randint(1, 3)
    channels = tuple(rng.randint(2, 4) for _ in range(blocks))
    ranks = {"stem.conv": 1, "f1.pw1": 1, "f1.pw2": 2} | ({"down1.pw": 1} if blocks > 1 else {})
    low = tuple(LowRank(layer, rank) for layer, rank in ranks.items()) if seed % 2 else ()
    network = replace(
        xs.network, in_channels=rng.randint(1, 3), height=block * rng.randint(5, 7), width=block * rng.randint(5, 7),
        channels=channels, num_classes=3, stem=stem, time=rng.choice(["none", "bias"]), time_knots=rng.randint(2, 6),
        low_rank=low,
    )  # fmt: skip
    coeff_frac_bits = rng.randint(3, 14)
    quantisation = Quantisation(
        rng.randint(2, 8), 8 if seed < 6 else rng.randint(3, 8), rng.choice([12, 16]), 16, 18, coeff_frac_bits,
        ["RND_CONV", "TRN"][seed // 3 % 2],
    )  # fmt: skip
    solver = replace(
        xs.solver, method=methods[seed % len(methods)], t0=rng.choice([0.0, -0.3]), t1=rng.choice([1.0, 0.7]),
        n_steps=tuple(rng.randint(1, 3) for _ in range(blocks)),
    )  # fmt: skip
    return Spec(f"case{seed}", network, solver, quantisation, xs.kernel)


@pytest.mark.parametrize("seed", range(36))
def test_words_of_the_reference_follow_from_the_page(seed: int, tmp_path: Path) -> None:
    spec = changed(seed)
    params = random_params(spec, seed)
    last = f"z{len(spec.network.channels)}"
    # The average has the range of the state, so that its own rounding shows.
    head = replace(params.formats["head.x"], integer_bits=params.formats[last].integer_bits)
    params = replace(params, formats=params.formats | {"head.x": head})
    params.save(tmp_path)
    images = random_images(spec, 2, seed)
    with Accelerator(tmp_path, backend="cpu") as accelerator:
        computed = accelerator.predict(images)
    plain = Plain(tmp_path)
    for image, words in zip(images, computed.tolist()):
        assert plain.logits(image.tolist()) == words
        for block, states in plain.states.items():
            # (height, width, channels) before each step and after the last
            found = [state[0] for state in Reference(params).trajectory(image[None], block - 1)]
            assert [[int(state[y, x, c]) for c, y, x in maps] for maps, state in zip(states, found, strict=True)] == [
                list(maps.values()) for maps in states
            ]
    assert params.logits_scale == 2.0 ** -(plain.frac_bits("head.x") + plain.frac_bits("head.linear.weight"))


@pytest.mark.parametrize("seed", range(36))
def test_what_a_kernel_is_given_follows_from_the_page(seed: int, tmp_path: Path) -> None:
    """Coefficients and bias tables: a wrong LSB of theirs rarely reaches the logits."""
    spec = changed(seed)
    params = random_params(replace(spec, network=replace(spec.network, time="bias")), seed)
    params.save(tmp_path)
    plain, (a, b, c) = Plain(tmp_path), TABLEAUS[spec.solver.method]
    t0, t1 = Fraction(spec.solver.t0), Fraction(spec.solver.t1)
    for section in (section for section in sections(params.spec.network) if section.kind == "f"):
        n_steps = spec.solver.n_steps[section.block]
        dt = (t1 - t0) / n_steps
        times = [t0 + dt * (step + node) for step in range(n_steps) for node in fractions(c)]
        assert params.bias_table(params.spec, section).tolist() == [
            plain.bias(section.block + 1, t, t0, t1) for t in times
        ]
        assert spec.coefficients(section.block) == [plain.coefficients(row, dt) for row in [*a, b]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_images_are_rounded_as_the_page_says(dtype: type) -> None:
    halves = [(2 * pixel + 1) / 510 for pixel in range(255)]  # (pixel + 1/2) / 255, as near as the type has it
    network = replace(Spec.named("xs").network, height=16, width=16)
    floats: NDArray[Any] = np.resize(np.array(halves, dtype), (1, *network.image_shape))
    wide = floats.astype(np.float32) if dtype is np.float16 else floats
    products = [Fraction(float(product)) for product in (wide * wide.dtype.type(255)).ravel()]
    assert any(product.denominator == 2 for product in products) or dtype is np.float16, "there are ties"
    expected = [rounded(product, "RND_CONV") for product in products]
    assert as_pixels(floats, network).ravel().tolist() == expected
