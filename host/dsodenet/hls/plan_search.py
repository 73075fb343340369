"""The choice of reuse factors: the fastest for one image that leaves the device room."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import DEVICE, Resources
from dsodenet.errors import InputError, SpecError
from dsodenet.hls.costs import end_resources
from dsodenet.hls.reuse import Plan, fixed_plan, section_cost, valid_factors
from dsodenet.hls.trips import layer_cycles
from dsodenet.spec import Section, Spec, sections

SHARE = 0.75  # of each resource: what a choice may take, so that the rest of the overlay and the router have room
CHANGED_TOGETHER = 2  # sections
STEP = 0.005  # of a resource: choices closer than this are as large as each other

Costs = NDArray[np.float64]  # rows or tables of (cycles, share of each resource)


@lru_cache(maxsize=256)
def best_plan(spec: Spec) -> Plan:
    """The fastest plan found for one image that takes at most SHARE of each resource.

    The spec's reuse factor is the least that a layer takes. From the smallest plan on, the two sections whose change
    saves most cycles are changed, until no two save any. Of what even the smallest plan takes more of, none takes more
    than that one.
    """
    parts = sections(spec.network)
    options = [_options(spec, part, max(1, spec.kernel.reuse_factor)) for part in parts]
    costs = [np.array([_row(option) for option in choices]) for choices in options]
    ends = np.array([0.0, *_shares(end_resources(spec))])
    chosen = [int(cost[:, 1:].max(axis=1).argmin()) for cost in costs]
    smallest = ends + sum(cost[index] for cost, index in zip(costs, chosen))
    limit = np.maximum(SHARE, smallest[1:])
    groups = list(combinations(range(len(parts)), min(CHANGED_TOGETHER, len(parts))))
    while True:
        now = ends + sum(cost[index] for cost, index in zip(costs, chosen))
        moves = []
        for group in groups:
            rest = now - sum(costs[place][chosen[place]] for place in group)
            moves.append((*_best_change([costs[place] for place in group], rest, limit), group))
        cycles, change, group = min(moves)
        if cycles >= now[0]:
            break
        for place, index in zip(group, change):
            chosen[place] = index
    return Plan(spec, {name: factor for i, index in enumerate(chosen) for name, factor in options[i][index][2].items()})


def _best_change(costs: list[Costs], rest: Costs, limit: Costs) -> tuple[float, tuple[int, ...]]:
    """Cycles of the kernel, infinite when nothing fits beside the rest, and the choice of each section."""
    sums = rest
    for cost in costs:
        sums = sums[..., None, :] + cost
    cycles = np.where((sums[..., 1:] <= limit + 1e-9).all(axis=-1), sums[..., 0], np.inf)
    best = np.unravel_index(int(cycles.argmin()), cycles.shape)
    return float(cycles[best]), tuple(int(index) for index in best)


Option = tuple[int, Resources, dict[str, int]]  # cycles of an image, resources, reuse factors


def _shares(resources: Resources) -> list[float]:
    return [resources.share(name) for name in DEVICE]


def _row(option: Option) -> list[float]:
    return [option[0], *_shares(option[1])]


@lru_cache(maxsize=1024)
def _options(spec: Spec, part: Section, least: int) -> tuple[Option, ...]:
    """The choices of one section, without those that take as much of the device as a faster one."""
    found = [(*section_cost(spec, part, factors), factors) for factors in _candidates(part, least)]
    rows = np.array([[option[0], *np.ceil(np.array(_shares(option[1])) / STEP)] for option in found])
    kept: list[int] = []
    for index in np.lexsort(rows.T[::-1]):
        if not (rows[kept] <= rows[index]).all(axis=1).any():
            kept.append(int(index))
    return tuple(found[index] for index in kept)


def _candidates(part: Section, least: int) -> Iterator[dict[str, int]]:
    """For every pace that a layer sets: the others at the largest factor that keeps it, or with own multipliers."""
    choices = {}
    for layer in part.layers:
        valid = valid_factors(layer)
        choices[layer] = [factor for factor in valid if factor >= least] or valid[-1:]
    paces = sorted({layer_cycles(layer, factor) for layer, factors in choices.items() for factor in factors})
    seen = set()
    for pace in paces:
        kept = []
        for layer, factors in choices.items():
            within = [factor for factor in factors if layer_cycles(layer, factor) <= pace]
            kept.append(sorted({*within[-1:], *(factor for factor in within[:1] if factor == 1)}))
        for combination in product(*kept):
            if combination and combination not in seen:
                seen.add(combination)
                yield {layer.name: factor for layer, factor in zip(choices, combination)}


def choose_plan(spec: Spec, reuse_factor: int | None = None) -> Plan:
    """The plan of this reuse factor, or the best one."""
    if reuse_factor is not None and reuse_factor < 1:
        raise InputError(f"reuse factor is {reuse_factor}, but it must be 1 or more")
    return best_plan(spec) if reuse_factor is None else fixed_plan(spec, reuse_factor)


def check_plan_fits(plan: Plan) -> None:
    """SpecError when the kernel is estimated to take more of something than the device has."""
    over = plan.exceeds(1)
    if not over:
        return
    best = best_plan(plan.spec)
    if best.exceeds(1):
        advice = "no reuse factor makes it fit; the rtl kernel takes any model (--kernel rtl), and --force goes on"
    else:
        advice = "without --reuse-factor one that fits is chosen, and --force goes on"
    raise SpecError(f"{plan.spec.name} does not fit the device as an hls kernel: it takes {', '.join(over)}; {advice}")
