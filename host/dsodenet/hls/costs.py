"""A model of the hls kernel's cycles and resources from its reuse factor.

Declared, not fitted: it was never compared with Vitis HLS.

hls4ml's io_stream kernels take a pixel every `reuse` cycles and are one dataflow pipeline, so an evaluation of f
takes the pixels of the map times the slowest layer's reuse, plus what the two line buffers hold back. Each product
that is not shared is a multiplier; with a reuse factor of 1 weights are constants and multipliers are LUTs, otherwise
each is one DSP and weights are memories.
"""

from __future__ import annotations

import math

from dsodenet.contract import Resources, memory
from dsodenet.spec import MAX_STAGES, Layer, Section, Spec, sections

PIPELINE_CYCLES = 20  # of one layer, from a pixel to its result
SUM_BITS = 20  # a LUT each
LUT_PER_CONSTANT_PRODUCT = 24
LUT_PER_REQUANTISED = 40  # per channel: rounding and saturation
UPDATE_DSP = 2 * MAX_STAGES - 1  # products of a coefficient and a slope per channel: at f's input and behind its output


def hls_cycles(spec: Spec) -> int:
    """Of one image, batch 1: sections one after another, though neighbouring images overlap."""
    total = 0
    for section in sections(spec.network):
        evaluations = len(spec.solver.times(section.block)) if section.kind == "f" else 1
        total += evaluations * _section_cycles(section, spec.kernel.reuse_factor)
    return total


def _section_cycles(section: Section, limit: int) -> int:
    slowest = max(math.prod(layer.in_size) * layer.reuse_factor(limit) for layer in section.layers)
    held_back = sum((layer.in_size[1] + 1) * layer.reuse_factor(limit) for layer in section.layers if layer.kernel == 3)
    return slowest + held_back + PIPELINE_CYCLES * len(section.layers)


def hls_resources(spec: Spec) -> Resources:
    """Of the kernel alone, without DMA and interconnect."""
    total = Resources()
    for section in sections(spec.network):
        for layer in section.layers:
            total += _layer_resources(layer, spec)
        if section.kind == "f":
            total += _update_resources(section, spec)
    return total


def _layer_resources(layer: Layer, spec: Spec) -> Resources:
    reuse, bits = layer.reuse_factor(spec.kernel.reuse_factor), spec.quantisation.act_bit_width
    multipliers = math.prod(layer.weight_shape) // reuse
    logic = multipliers * SUM_BITS + layer.out_channels * LUT_PER_REQUANTISED
    lines = memory(layer.in_size[1], (layer.kernel - 1) * layer.in_channels * bits)
    if reuse == 1:
        return lines + Resources(LUT=logic + multipliers * LUT_PER_CONSTANT_PRODUCT)
    return (
        lines + memory(reuse, multipliers * spec.quantisation.weight_bit_width) + Resources(DSP=multipliers, LUT=logic)
    )


def _update_resources(section: Section, spec: Spec) -> Resources:
    """Two copies of the map and the stream around f, each with state and slopes, and the state update's products."""
    channels, pixels = section.layers[0].in_channels, math.prod(section.layers[0].in_size)
    record = channels * (spec.quantisation.state_bit_width + (MAX_STAGES - 1) * spec.quantisation.act_bit_width)
    store = memory(pixels, record)
    products = UPDATE_DSP * channels
    logic = products * SUM_BITS + 2 * channels * LUT_PER_REQUANTISED
    return store + store + store + Resources(DSP=products, LUT=logic)
