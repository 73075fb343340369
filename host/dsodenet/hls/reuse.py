"""How many multiplications share a multiplier, layer by layer: the fastest choice that leaves the device room.

`Plan` is what a choice comes to: lanes of the state update, depths of memories, cycles and resources, all estimated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import DEVICE, Resources
from dsodenet.errors import InputError, SpecError
from dsodenet.hls.costs import block_resources, end_resources, in_uram, layer_resources, map_bits
from dsodenet.hls.trips import (
    PIPELINE_CYCLES,
    Process,
    end_processes,
    evaluation_processes,
    layer_cycles,
    loop_cycles,
    region_cycles,
    section_processes,
)
from dsodenet.spec import Layer, Section, Spec, sections

SHARE = 0.75  # of each resource: what a choice may take, so that the rest of the overlay and the router have room
CONSTANT_WEIGHTS = 4096  # of a layer that shares no multiplier: hls4ml unrolls all of them
CHANGED_TOGETHER = 2  # sections
STEP = 0.005  # of a resource: choices closer than this are as large as each other
STAGES_IN_FLIGHT = 3  # pixels in the pipeline and the output stream of a process, that a stall holds back

Costs = NDArray[np.float64]  # rows or tables of (cycles, share of each resource)


def valid_factors(layer: Layer) -> list[int]:
    """The reuse factors for which hls4ml 1.3.0 has a right kernel, in ascending order; 1 is constant multipliers.

    Dense layers: the divisors of the inputs, or whole multiples of the inputs that divide the weights. Depthwise
    layers: what divides the weights, up to the channels, and whole multiples of the channels.
    """
    inputs = math.prod(layer.weight_shape[1:])
    if layer.depthwise:
        channels, taps = layer.in_channels, layer.kernel**2
        found = {n for n in _divisors(channels * taps) if n <= channels} | {channels * n for n in _divisors(taps)}
    else:
        found = {*_divisors(inputs), *(inputs * n for n in _divisors(layer.out_channels))}
    if math.prod(layer.weight_shape) > CONSTANT_WEIGHTS:
        found.discard(1)
    return sorted(found) or [math.prod(layer.weight_shape)]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def fixed_factor(layer: Layer, reuse_factor: int) -> int:
    """The largest valid factor up to this one; the smallest there is when none is."""
    factors = valid_factors(layer)
    return max((factor for factor in factors if factor <= reuse_factor), default=factors[0])


@dataclass(frozen=True)
class Plan:
    """Reuse factors by layer, and what follows from them."""

    spec: Spec
    factors: dict[str, int]

    @cached_property
    def parts(self) -> tuple[Section, ...]:
        return sections(self.spec.network)

    @cached_property
    def lanes(self) -> tuple[int, ...]:
        """Channels that are updated in a cycle, for each ODE block: the fewest that keep up with its f."""
        return tuple(_lanes(self.spec, part, self.factors) for part in self.parts if part.kind == "f")

    def block(self, block: int) -> Section:
        return next(part for part in self.parts if part.kind == "f" and part.block == block)

    def skip_words(self, block: int) -> int:
        """Depth of the stream around f, in words."""
        return _skip_words(self.spec, self.block(block), self.factors, self.lanes[block])

    def map_words(self, block: int) -> int:
        layer = self.block(block).layers[0]
        return math.prod(layer.in_size) * (layer.in_channels // self.lanes[block])

    def in_uram(self, block: int) -> bool:
        """Whether the block's maps are in UltraRAM; else they are in block RAM."""
        return in_uram(self.map_words(block), map_bits(self.spec, self.lanes[block]))

    @cached_property
    def resources(self) -> Resources:
        """Of the kernel alone, without DMA and interconnect."""
        total = end_resources(self.spec)
        for part in self.parts:
            total += _section_resources(self.spec, part, self.factors)
        return total

    @cached_property
    def section_cycles(self) -> dict[str, int]:
        """Cycles of each section for one image."""
        return {part.name: _section_cycles(self.spec, part, self.factors) for part in self.parts}

    @property
    def cycles(self) -> int:
        """Of one image alone. Counted as if a section began when the one before has ended; they overlap a little."""
        return sum(self.section_cycles.values()) + region_cycles(end_processes(self.spec)[1:])[1]

    @property
    def interval(self) -> int:
        """Of one image among many: the slowest section, since each works on an image of its own."""
        return max(*self.section_cycles.values(), end_processes(self.spec)[0].cycles)

    def words(self) -> Iterator[tuple[str, int, int]]:
        """(path, words read, words written) of each process for one image, in the order of the chain. No tokens.

        Of the processes at the ends only what goes through the kernel's inner streams.
        """
        reader, writer = end_processes(self.spec)
        yield "read_images", 0, reader.writes
        for part in self.parts:
            pixels, number = math.prod(part.layers[0].in_size), part.block + 1
            if part.kind != "f":
                if part.kind == "down":
                    yield f"convert{number}", pixels, pixels
                for process in section_processes(self.spec, part, self.factors):
                    yield f"{part.name}/{process.name}", process.reads, process.writes
                continue
            times, other = len(self.spec.solver.times(part.block)), self.map_words(part.block) - pixels
            for process in evaluation_processes(self.spec, part, self.factors, self.lanes[part.block]):
                # A pixel of the section in front, or of the one behind, is one word instead of one for each group.
                entering, leaving = other * (process.name == "feed"), other * (process.name == "update")
                reads, writes = times * process.reads - entering, times * process.writes - leaving
                yield f"block{number}/{process.name}", reads, writes
        yield "write_logits", writer.reads, 0

    def exceeds(self, share: float) -> list[str]:
        """What the kernel takes more of than this share of the device, in words."""
        return [
            f"{self.resources.share(name):.0%} of the {name}" for name in DEVICE if self.resources.share(name) > share
        ]

    def __str__(self) -> str:
        least, most = min(self.factors.values()), max(self.factors.values())
        figures = ", ".join(f"{self.resources.share(name):.0%} of the {name}" for name in DEVICE)
        over = self.exceeds(1)
        verdict = f"does not fit: {', '.join(over)}" if over else f"fits: {figures}"
        return (
            f"hls: reuse factors {least} to {most}, {self.cycles:,} cycles for an image and {self.interval:,} for one "
            f"of many; {verdict} (estimated, never held against Vitis HLS)"
        )

    def to_dict(self) -> dict[str, object]:
        return {
            "kind": "estimated",
            "reuse_factors": self.factors,
            "lanes": list(self.lanes),
            "cycles": self.cycles,
            "cycles_in_a_batch": self.interval,
            "resources": self.resources.to_dict(),
        }


def _lanes(spec: Spec, part: Section, factors: dict[str, int]) -> int:
    layer = part.layers[0]
    pixels, channels = math.prod(layer.in_size), layer.in_channels
    slowest = max(process.cycles for process in section_processes(spec, part, factors))
    return next(lanes for lanes in _divisors(channels) if pixels * (channels // lanes) <= slowest or lanes == channels)


def _skip_words(spec: Spec, part: Section, factors: dict[str, int], lanes: int) -> int:
    """Depth of the stream around f: the words that f may hold back.

    The first slope needs a row and a pixel of the input for each 3x3 layer, and one pixel more. Behind them come the
    pixels that a stalled process may hold, in the stages of its pipeline and in the stream behind it. More than a map
    is never in flight.
    """
    layer = part.layers[0]
    pixels, width, groups = math.prod(layer.in_size), layer.in_size[1], layer.in_channels // lanes
    rows = sum(1 for item in part.layers if item.kernel == 3)
    held = rows * (width + 1) + 1
    for process in evaluation_processes(spec, part, factors, lanes):
        pace = process.cycles / max(process.reads, process.writes, 1)
        held += STAGES_IN_FLIGHT + math.ceil(PIPELINE_CYCLES / max(pace, 1))
    return min(held, pixels) * groups


def _section_cycles(spec: Spec, part: Section, factors: dict[str, int]) -> int:
    if part.kind == "f":
        chain = evaluation_processes(spec, part, factors, _lanes(spec, part, factors))
        return loop_cycles(chain, len(spec.solver.times(part.block)))
    chain = section_processes(spec, part, factors)
    if part.kind == "stem":
        chain = [end_processes(spec)[0], *chain]
    elif part.kind == "down":
        pixels = math.prod(part.layers[0].in_size)
        chain = [Process("convert", pixels, pixels, pixels), *chain]
    return region_cycles(chain)[1]


def _section_resources(spec: Spec, part: Section, factors: dict[str, int]) -> Resources:
    total = Resources()
    for layer in part.layers:
        total += layer_resources(layer, spec, factors[layer.name])
    if part.kind == "f":
        lanes = _lanes(spec, part, factors)
        total += block_resources(part, spec, lanes, _skip_words(spec, part, factors, lanes))
    return total


def fixed_plan(spec: Spec, reuse_factor: int) -> Plan:
    """The same reuse factor for every layer, or the largest below it that the layer can have."""
    layers = [layer for part in sections(spec.network) for layer in part.layers]
    return Plan(spec, {layer.name: fixed_factor(layer, reuse_factor) for layer in layers})


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
    found = [
        (_section_cycles(spec, part, factors), _section_resources(spec, part, factors), factors)
        for factors in _candidates(part, least)
    ]
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
