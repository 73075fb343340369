"""Small random models that the runtime tests share."""

from __future__ import annotations

import dataclasses

from dsodenet.params import Params
from dsodenet.spec import Spec
from dsodenet.synthetic import random_params


def model(name: str, method: str = "euler", n_steps: int | tuple[int, ...] = 2, seed: int = 1, **network: object) -> Params:
    """Random integers for the xs network with some of its fields replaced."""
    base = Spec.named("xs")
    spec = dataclasses.replace(
        base,
        name=name,
        network=dataclasses.replace(base.network, **network),
        solver=dataclasses.replace(base.solver, n_steps=base.solver.n_steps[: len(network.get("channels", base.network.channels))]),
    )
    return random_params(spec.with_solver(method, n_steps), seed)


MODELS = {
    params.spec.name: params
    for params in (
        model("plain"),
        model("time_bias", "rk4", (2, 1, 3), time="bias"),
        model("batch_norm_means", "midpoint", 3, norm="batch_mean_per_evaluation", in_channels=2),
        model("colour_not_square", "rk3", 2, in_channels=3, height=12, width=20, channels=(6, 10), num_classes=7),
        model("one_block", "heun", 5, channels=(5,), height=9, width=5, num_classes=2, time="bias"),
        model("patches", "rk4_38", 1, stem="space_to_depth_4", in_channels=3, height=16, width=32, channels=(4, 6)),
    )
}
