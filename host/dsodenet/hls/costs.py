"""What the hls kernel takes of the device. Estimated from what its code asks for; it was never compared with Vitis HLS.

A multiplication that shares its multiplier is a DSP with its weights in a memory; one that does not is constant logic.
"""

from __future__ import annotations

import math

from dsodenet.contract import BRAM36, DEVICE, URAM, Resources, blocks, memory
from dsodenet.spec import MAX_STAGES, MAX_STEPS, Layer, Section, Spec

ACCUMULATOR_BITS = 20  # of a sum, a LUT each
LUT_PER_CONSTANT_PRODUCT = 24
LUT_PER_REQUANTISED = 40  # per channel: rounding and saturation
LUT_PER_PROCESS = 150  # its counters, its handshakes and its start
PRODUCTS = MAX_STAGES  # of a coefficient and a slope, for each lane
SHIFT_REGISTER_BITS = 32  # of one bit's delay, in a LUT
FIFO_DEPTH = 2  # a LUT for each bit
PARTITION_LIMIT = 1024  # elements of one array that become registers, above which Vitis HLS warns of a long run


def layer_resources(layer: Layer, spec: Spec, factor: int) -> Resources:
    """One layer with its line buffers, its padding and the streams around it."""
    q = spec.quantisation
    weights, channels = math.prod(layer.weight_shape), layer.out_channels
    multipliers = math.ceil(weights / factor)
    result = Resources(LUT=LUT_PER_PROCESS + multipliers * ACCUMULATOR_BITS + channels * LUT_PER_REQUANTISED)
    if layer.kernel > 1:
        width = layer.in_size[1] + 2 * layer.padding
        rows = (layer.kernel - 1) * layer.in_channels * q.act_bit_width
        result += Resources(LUT=rows * math.ceil(width / SHIFT_REGISTER_BITS))
    streamed = channels * q.act_bit_width
    if layer.padding:
        streamed += layer.in_channels * q.act_bit_width
        result += Resources(LUT=LUT_PER_PROCESS)
    if layer.relu:
        streamed += channels * ACCUMULATOR_BITS
        result += Resources(LUT=LUT_PER_PROCESS)
    if layer.timed:
        streamed += channels * (q.bias_bit_width + ACCUMULATOR_BITS)
        result += Resources(LUT=LUT_PER_PROCESS + channels * ACCUMULATOR_BITS)
    result += Resources(LUT=streamed * FIFO_DEPTH / 2)
    if factor == 1:
        return result + Resources(LUT=multipliers * LUT_PER_CONSTANT_PRODUCT)
    inputs = math.prod(layer.weight_shape[1:]) * (layer.in_channels if layer.depthwise else 1)
    choosing = Resources(LUT=2 * inputs)  # which of its inputs a multiplier takes: 8 bits, four of them in a LUT
    bits = multipliers * q.weight_bit_width
    held = (
        Resources(LUT=bits * math.ceil(factor / 64))
        if layer.depthwise
        else Resources(BRAM36=blocks(factor, bits, BRAM36))
    )
    return result + choosing + held + Resources(DSP=multipliers)


def most_registers(layer: Layer, factor: int) -> int:
    """Elements of the largest array of a layer that hls4ml partitions into registers: its window, or its products."""
    window = layer.in_channels * layer.kernel**2
    return max(window, math.prod(layer.weight_shape)) if factor == 1 else window


def skip_bits(spec: Spec, lanes: int) -> int:
    """Bits of a word around f: the state and the slopes of `lanes` channels."""
    q = spec.quantisation
    return lanes * (q.state_bit_width + (MAX_STAGES - 1) * q.act_bit_width)


def map_bits(spec: Spec, lanes: int) -> int:
    """Bits of a word of the map: what goes around f, and the input of the next stage."""
    return skip_bits(spec, lanes) + lanes * spec.quantisation.act_bit_width


def in_uram(words: int, bits: int) -> bool:
    """Whether a memory takes a smaller share of the device's UltraRAM than of its block RAM."""
    return blocks(words, bits, URAM) / DEVICE["URAM"] < blocks(words, bits, BRAM36) / DEVICE["BRAM36"]


def block_resources(section: Section, spec: Spec, lanes: int, skip_words: int) -> Resources:
    """An ODE block without f: its map, what f holds back of it, the products of the update, and the bias table."""
    q, layer = spec.quantisation, section.layers[0]
    channels = layer.in_channels
    words, bits = math.prod(layer.in_size) * (channels // lanes), map_bits(spec, lanes)
    if in_uram(words, bits):
        store = Resources(URAM=blocks(words, bits, URAM))
    else:
        store = memory(words, bits)
    products = PRODUCTS * lanes
    narrow = channels * (2 * q.state_bit_width + 2 * q.act_bit_width)  # pixels in registers, lanes chosen from them
    logic = 2 * LUT_PER_PROCESS + products * ACCUMULATOR_BITS + 3 * lanes * LUT_PER_REQUANTISED + narrow
    result = store + memory(skip_words, skip_bits(spec, lanes)) + Resources(DSP=products, LUT=logic)
    if section.biased.timed:
        table = memory(MAX_STEPS * MAX_STAGES * channels, q.bias_bit_width)
        result += table + Resources(LUT=LUT_PER_PROCESS + channels * q.bias_bit_width)
    return result


def end_resources(spec: Spec) -> Resources:
    """What stands around the layers: reader and writer, conversions, the average, and the registers."""
    network = spec.network
    converted = sum(network.channels[:-1]) + network.channels[-1]
    average = network.channels[-1] * 2 * ACCUMULATOR_BITS
    return Resources(LUT=1500 + converted * LUT_PER_REQUANTISED + average)
