"""The biases in front of each f's ReLU, moved: what travels to both kernels at run time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dsodenet.spec import TIME_FRAC_BITS, Params, Section, bias_name, knot_positions, sections

Floats = NDArray[np.float64]


def moved(params: Params, shifts: dict[str, Floats]) -> Params:
    """The model with shifts added to the biases of f, in LSBs of the accumulator.

    shifts: by layer, such as `f1.pw1`, (channels,) for all times, or (evaluations, channels). Knots of a time table
    take the piecewise linear curve that comes nearest to the shifts at the evaluations (least squares).
    """
    limit = 1 << (params.spec.quantisation.bias_bit_width - 1)
    arrays = dict(params.arrays)
    for section in sections(params.spec.network):
        if section.kind == "f" and section.biased.name in shifts:
            name = bias_name(section.biased)
            shift = _per_knot(params, section, shifts[section.biased.name])
            arrays[name] = np.clip(np.rint(arrays[name] + shift), -limit, limit - 1).astype(np.int32)
    return replace(params, arrays=arrays)


def _per_knot(params: Params, section: Section, shift: Floats) -> Floats:
    if shift.ndim == 1:
        return shift
    if not section.biased.timed:
        return shift.mean(axis=0)
    index, fraction = knot_positions(params.spec, section.block)
    right = fraction / 2**TIME_FRAC_BITS
    hats = np.zeros((len(index), params.spec.network.time_knots))
    hats[np.arange(len(index)), index] = 1.0 - right
    hats[np.arange(len(index)), index + 1] += right
    solution: Floats = np.linalg.lstsq(hats, shift, rcond=None)[0]
    return solution


def matched(params: Params, source: dict[str, Floats], target: dict[str, Floats]) -> Params:
    """Means in front of ReLU moved back from the target's to the source's: AdaBN (1603.04779), by biases alone."""
    return moved(params, {name: source[name] - target[name] for name in source})


def units(params: Params) -> dict[str, Floats]:
    """A step of each bias that a ReLU's output can notice: 1/32 of its range, in LSBs of the accumulator."""
    result = {}
    for section in sections(params.spec.network):
        if section.kind == "f":
            layer = section.biased
            top = params.formats[layer.dest].max_abs * params.formats[layer.dest].scale
            lsb = 2.0 ** -params.accumulator_frac_bits(layer)
            result[layer.name] = np.full(layer.out_channels, top / 32 / lsb)
    return result
