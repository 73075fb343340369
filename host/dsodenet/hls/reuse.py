"""How many multiplications share a multiplier, layer by layer, and what that comes to.

`Plan` holds lanes of the state update, depths of memories, cycles and resources, all estimated. plan_search.py
chooses one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dsodenet.contract import DEVICE, Resources
from dsodenet.hls.costs import (
    PARTITION_LIMIT,
    block_resources,
    end_resources,
    in_uram,
    layer_resources,
    map_bits,
    most_registers,
)
from dsodenet.hls.trips import (
    PIPELINE_CYCLES,
    Process,
    end_processes,
    evaluation_processes,
    loop_cycles,
    region_cycles,
    section_processes,
)
from dsodenet.spec import Layer, Section, Spec, sections

CONSTANT_WEIGHTS = 4096  # of a layer that shares no multiplier: hls4ml unrolls all of them
STAGES_IN_FLIGHT = 3  # pixels in the pipeline and the output stream of a process, that a stall holds back


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

    def long_synthesis(self) -> dict[str, int]:
        """Layer -> registers of one array of it, where they are so many that Vitis HLS warns of a long run."""
        layers = [layer for part in self.parts for layer in part.layers]
        found = {layer.name: most_registers(layer, self.factors[layer.name]) for layer in layers}
        return {name: registers for name, registers in found.items() if registers > PARTITION_LIMIT}

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
        text = (
            f"hls: reuse factors {least} to {most}, {self.cycles:,} cycles for an image and {self.interval:,} for one "
            f"of many; {verdict} (estimated, never held against Vitis HLS)"
        )
        if arrays := self.long_synthesis():
            sizes = ", ".join(f"{name} {registers:,}" for name, registers in arrays.items())
            text += (
                f"\nhls4ml keeps more than {PARTITION_LIMIT:,} values in registers ({sizes}), and Vitis HLS warns of a "
                "long run for that (UG1448 200-868)"
            )
        return text

    def to_dict(self) -> dict[str, object]:
        return {
            "kind": "estimated",
            "reuse_factors": self.factors,
            "lanes": list(self.lanes),
            "cycles": self.cycles,
            "cycles_in_a_batch": self.interval,
            "resources": self.resources.to_dict(),
            "long_synthesis": self.long_synthesis(),
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


def section_cost(spec: Spec, part: Section, factors: dict[str, int]) -> tuple[int, Resources]:
    """Cycles of an image in one section, and what the section takes of the device."""
    return _section_cycles(spec, part, factors), _section_resources(spec, part, factors)


def fixed_plan(spec: Spec, reuse_factor: int) -> Plan:
    """The same reuse factor for every layer, or the largest below it that the layer can have."""
    layers = [layer for part in sections(spec.network) for layer in part.layers]
    return Plan(spec, {layer.name: fixed_factor(layer, reuse_factor) for layer in layers})
