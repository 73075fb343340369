"""The processes of the hls kernel: what each reads and writes, and the cycles that its code is written for.

A process is a function of a dataflow region. Its cycles are initiation interval times trips, plus the depth of its
pipeline; the slowest process of a region bounds it. All of it is estimated: the initiation intervals are those that the
code asks for, and no Vitis HLS has answered yet. The counts of words are exact, and the concurrent C simulation is held
to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dsodenet.contract import BEAT_BYTES, beats
from dsodenet.spec import Layer, Section, Spec

PIPELINE_CYCLES = 12  # from the last word that a pipelined loop reads to the last that it writes
CALL_CYCLES = 4  # to start a region or a process, and to see its end
# hls4ml moves a pixel through its line buffers one after another when multipliers are shared; its own target_cycles
# allows six.
SERIAL_CYCLES = 6
COEFFICIENT_CYCLES = 20  # to read the coefficients of an evaluation, and to divide its number by the stages
PAD_FUNCTION = "zeropad2d_cl"


@dataclass(frozen=True)
class Process:
    """One process. Words are counted per call: a map, or an image for the processes at the kernel's ends."""

    name: str  # of the C++ function
    reads: int  # words from all its streams
    writes: int
    cycles: int  # of its loop, without waiting
    need: int = 1  # words that it reads before it writes the first
    tail: int = 1  # cycles from the last word that it reads to the end of its loop


def layer_cycles(layer: Layer, reuse_factor: int) -> int:
    """Cycles of one layer for a map: one per pixel when no multiplier is shared, else those of its products."""
    reads = padded_pixels(layer)
    if reuse_factor == 1:
        return reads
    return reads * SERIAL_CYCLES + math.prod(layer.out_size) * reuse_factor


def padded_pixels(layer: Layer) -> int:
    return math.prod(side + 2 * layer.padding for side in layer.in_size)


def layer_processes(layer: Layer, reuse_factor: int) -> list[Process]:
    """A layer and what hls4ml puts around it: zero padding, the second input, ReLU."""
    _, width = layer.in_size
    pixels, outputs, wide = math.prod(layer.in_size), math.prod(layer.out_size), width + 2 * layer.padding
    result = []
    if layer.padding:
        padded = padded_pixels(layer)
        result.append(Process(PAD_FUNCTION, pixels, padded, padded, 1, layer.padding * wide + layer.padding))
    each = 1 if reuse_factor == 1 else SERIAL_CYCLES + reuse_factor
    need = (layer.kernel - 1) * wide + layer.kernel
    name = "depthwise_conv_2d_cl" if layer.depthwise else "pointwise_conv_2d_cl" if layer.kernel == 1 else "conv_2d_cl"
    result.append(
        Process(name, padded_pixels(layer), outputs, layer_cycles(layer, reuse_factor), min(need, pixels), each)
    )
    if layer.timed:
        result.append(Process("add", 2 * outputs, outputs, outputs))
    if layer.relu:
        result.append(Process("relu", outputs, outputs, outputs))
    return result


def section_processes(spec: Spec, section: Section, factors: Mapping[str, int]) -> list[Process]:
    """The processes of the region that hls4ml writes for a section, in their order."""
    if section.kind != "head":
        return [process for layer in section.layers for process in layer_processes(layer, factors[layer.name])]
    pixels, (linear,) = math.prod(spec.network.map_size(section.block)), section.layers
    return [
        Process("global_pooling2d_cl", pixels, 1, pixels * 2, pixels),
        Process("linear", 1, 1, 1),
        Process("dense", 1, 1, factors[linear.name], 1, factors[linear.name]),
    ]


def evaluation_processes(spec: Spec, section: Section, factors: Mapping[str, int], lanes: int) -> list[Process]:
    """One evaluation of f: an iteration of the dataflow loop of ode_block.h, with f's own processes in it.

    Counted is an evaluation in the middle of an image. In the first one feed reads the section in front instead of the
    map that is there, and in the last update writes to the section behind: a word per pixel each, instead of `words`.
    """
    layer = section.layers[0]
    pixels = math.prod(layer.in_size)
    words = pixels * (layer.in_channels // lanes)
    result = [Process("feed", words, pixels + words, words + COEFFICIENT_CYCLES)]
    if section.biased.timed:
        result.append(Process("repeat", 0, pixels, pixels + layer.in_channels + PIPELINE_CYCLES))
    result += section_processes(spec, section, factors)
    return [*result, Process("update", pixels + words, words, words + COEFFICIENT_CYCLES, 1, words // pixels)]


def end_processes(spec: Spec) -> tuple[Process, Process]:
    """What reads the images of a command and what writes their logits; beats of the kernel's ports are counted too."""
    network = spec.network
    pixels = network.height * network.width
    in_beats, out_beats = beats(pixels * network.in_channels), beats(4 * network.num_classes)
    at_once = network.in_channels if network.in_channels <= BEAT_BYTES else 1
    reader = Process("read_images", in_beats, pixels + 1, pixels * network.in_channels // at_once)  # and a verdict
    return reader, Process("write_logits", 2, out_beats, out_beats)


def region_cycles(processes: Iterable[Process]) -> tuple[int, int]:
    """(cycles to the first word of the last process, cycles of the whole call) of a region that is a chain.

    A process begins when the one before it has written what it needs; it ends with its own loop, or when the last word
    has come and gone through it, whichever is later. `repeat` is a source beside the chain, and never the slowest.
    """
    first = end = previous = 0.0
    for process in processes:
        if process.name == "repeat":
            continue
        pace = process.cycles / max(process.reads, process.writes, 1)
        waits = (process.need - 1) * max(previous, pace)
        end = max(first + process.cycles, end + process.tail) + PIPELINE_CYCLES
        first += waits + pace + PIPELINE_CYCLES
        previous = process.cycles / max(process.writes, 1)
    return math.ceil(first) + CALL_CYCLES, math.ceil(end) + CALL_CYCLES


def loop_cycles(processes: Iterable[Process], iterations: int) -> int:
    """Cycles of a dataflow loop whose iterations overlap, each needing the first word of the one before.

    The interval is that of the slowest process, which starts again when its pipeline is empty, or the time in which
    one word goes round.
    """
    chain = list(processes)
    first, whole = region_cycles(chain)
    interval = max(first, max(process.cycles for process in chain) + PIPELINE_CYCLES + CALL_CYCLES)
    return (iterations - 1) * interval + max(whole, interval)
