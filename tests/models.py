"""Models that tests share: random integers for small networks, and random specs for the rtl kernel."""

from __future__ import annotations

import dataclasses
import random

from dsodenet.errors import SpecError
from dsodenet.spec.lanes import parse_lanes
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import TABLEAUS
from dsodenet.spec.specification import STEMS, Kernel, LowRank, Network, Quantisation, Solver, Spec
from dsodenet.spec.synthetic import random_params


def kernel(lanes: str) -> Kernel:
    """The rtl kernel with `pixel x input x output` lanes."""
    return Kernel("rtl", 200.0, 1, *parse_lanes(lanes))


def random_spec(rng: random.Random, lanes: str) -> Spec:
    stem, blocks = rng.choice([*STEMS, "conv3x3"]), rng.choice([1, 2, 3])
    stride, act_bits = STEMS[stem][1], rng.choice([8, 8, 8, 4, 3, 2])
    while True:
        try:
            network = Network(
                in_channels=rng.choice([1, 1, 2, 3, 3, 4, 5, 7]),
                height=rng.randint(1, 14) * stride,
                width=rng.randint(1, 14) * stride,
                channels=tuple(rng.randint(1, 20) for _ in range(blocks)),
                num_classes=rng.randint(2, 20),
                stem=stem,
                norm=rng.choice(["none", "none", "batch_mean_per_evaluation"]),
                time=rng.choice(["none", "bias"]),
                time_knots=rng.choice([2, 5]),
            )
            break
        except SpecError:  # too small for the blocks: draw again
            continue
    solver = Solver(rng.choice([*TABLEAUS]), tuple(rng.choice([1, 1, 2, 3, 4]) for _ in range(blocks)), 0.0, 1.0)
    quantisation = Quantisation(
        weight_bit_width=rng.choice([8, 8, 4, 2]),
        act_bit_width=act_bits,
        state_bit_width=rng.choice([16, 16, 12, 8]),
        bias_bit_width=rng.choice([8, 16, 24]),
        coeff_bit_width=18,
        coeff_frac_bits=rng.choice([15, 12]),
        rounding=rng.choice(["RND_CONV", "RND_CONV", "TRN"]),
    )
    if (
        quantisation.weight_bit_width == act_bits == 8
    ):  # with fewer, a rank of 1 needs shifts that the engine does not have
        limits = network.rank_limits().items()
        ranks = tuple(LowRank(layer, rng.randint(1, limit)) for layer, limit in limits if rng.random() < 0.4)
        network = dataclasses.replace(network, low_rank=ranks)
    names = tuple(f"class {i}" for i in range(network.num_classes)) if network.num_classes % 2 else ()
    return Spec("random", network, solver, quantisation, kernel(lanes), class_names=names)


def random_model(seed: int, lanes: str) -> Params:
    return random_params(random_spec(random.Random(seed), lanes), seed)


def on(params: Params, lanes: str) -> Params:
    """The same model for an engine with these lanes."""
    return dataclasses.replace(params, spec=dataclasses.replace(params.spec, kernel=kernel(lanes)))


def saturating(params: Params) -> Params:
    """The same integers in finer formats: every state and every activation saturates at both ends or at zero."""
    formats = {
        name: fmt
        if name == "image" or name.endswith("weight")
        else dataclasses.replace(fmt, integer_bits=fmt.integer_bits - 3)
        for name, fmt in params.formats.items()
    }
    return dataclasses.replace(params, formats=formats)


def model(
    name: str,
    method: str = "euler",
    n_steps: int | tuple[int, ...] = 2,
    seed: int = 1,
    names: tuple[str, ...] = (),
    **network: object,
) -> Params:
    """Random integers for the xs network with some of its fields replaced."""
    base = Spec.named("xs")
    spec = dataclasses.replace(
        base,
        name=name,
        network=dataclasses.replace(base.network, **network),
        solver=dataclasses.replace(
            base.solver, n_steps=base.solver.n_steps[: len(network.get("channels", base.network.channels))]
        ),
    )
    spec = spec.with_solver(method, n_steps)
    return random_params(spec.with_classes(names) if names else spec, seed)


MODELS = {
    params.spec.name: params
    for params in (
        model("plain"),
        model("time_bias", "rk4", (2, 1, 3), time="bias"),
        model("batch_norm_means", "midpoint", 3, norm="batch_mean_per_evaluation", in_channels=2),
        model("colour_not_square", "rk3", 2, in_channels=3, height=12, width=20, channels=(6, 10), num_classes=7),
        model("one_block", "heun", 5, names=("yes", "no"), channels=(5,), height=9, width=5, time="bias"),
        model("patches", "rk4_38", 1, stem="space_to_depth_4", in_channels=3, height=16, width=32, channels=(4, 6)),
    )
}
