"""The integer model in NumPy: the definition of truth that every other backend equals word for word, and the fast CPU
path.

All integers travel as floats that hold them exactly. A layer's accumulator bound, computed from its weights, decides
the type: below 2**24 float32 represents every partial sum, so BLAS in any order gives the exact integer; otherwise
float64 (2**53) does. Requantisation is a power of two folded into the weights, then rint (half to even) and clip:
each exact. Maps are (batch, height, width, channels) inside, so that a row of pixels times channels is one contiguous
vector.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from dsodenet.spec import Format, Layer, Params, Section, bias_name, integrate, sections

Map = NDArray[Any]  # (batch, height, width, channels), integers held in float32 or float64
OnStep = Callable[[int, Map], None]
ROUND: dict[str, Callable[..., Any]] = {"RND_CONV": np.rint, "TRN": np.floor}
CHUNK_BYTES = 1 << 20  # a float32 map of this size stays in a core's cache


def exact_float(bound: int) -> type:
    """The narrowest float type that holds every integer up to `bound` in magnitude."""
    return np.float32 if bound < 1 << 24 else np.float64


def requantise(values: Map, fmt: Format) -> Map:
    """Round and saturate in place values that are already counted in LSBs of `fmt`."""
    ROUND[fmt.rounding](values, out=values)
    np.maximum(values, fmt.min_int, out=values)  # both together are faster than np.clip
    return np.minimum(values, fmt.max_int, out=values)


def convert(z: Map, source: Format, dest: Format) -> Map:
    """A float32 map of integers in one format, as integers in another."""
    return requantise(z * np.float32(2.0 ** (dest.frac_bits - source.frac_bits)), dest)


class Convolution:
    """One layer: exact multiply-accumulate, bias, requantisation (ReLU is the lower end of an unsigned format)."""

    def __init__(self, params: Params, layer: Layer) -> None:
        self.layer = layer
        self.dest = params.formats.get(layer.dest)  # None for logits
        self.dtype = exact_float(params.accumulator_bound(layer))
        frac_bits = params.accumulator_frac_bits(layer)
        self.lsb = (
            1.0 if self.dest is None else 2.0 ** (self.dest.frac_bits - frac_bits)
        )  # LSB of the accumulator, in LSBs of dest
        weight = params.arrays[f"{layer.name}.weight"].astype(self.dtype) * self.dtype(self.lsb)
        if layer.depthwise:
            # (kernel, kernel, width, channels): the weights again for each pixel of a row
            self.weight = np.repeat(weight[:, 0].transpose(1, 2, 0)[:, :, None], layer.out_size[1], axis=2)
        else:
            self.weight = np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).reshape(-1, layer.out_channels)
        self.bias = None if layer.timed else self.scale_bias(params.arrays[bias_name(layer)])

    def scale_bias(self, bias: NDArray[np.int32]) -> NDArray[Any]:
        """Accumulator integers in the units in which this layer accumulates."""
        return bias.astype(self.dtype) * self.dtype(self.lsb)

    def __call__(self, x: Map, bias: NDArray[Any] | None = None) -> Map:
        """(batch, height, width, in_channels) -> (batch, height, width, out_channels) in the format of `layer.dest`."""
        return self.finish(self.accumulate(x, bias))

    def accumulate(self, x: Map, bias: NDArray[Any] | None = None) -> Map:
        """The accumulators of the layer's outputs, bias included, in units of `lsb`."""
        layer = self.layer
        x = x.astype(self.dtype, copy=False)
        if layer.padding:
            batch, height, width, channels = x.shape
            pad = layer.padding
            padded: Map = np.zeros((batch, height + 2 * pad, width + 2 * pad, channels), self.dtype)
            padded[:, pad:-pad, pad:-pad] = x
            x = padded
        out = self._depthwise(x) if layer.depthwise else self._dense(x)
        out += self.bias if bias is None else bias
        return out

    def finish(self, accumulators: Map) -> Map:
        """Accumulators, in place, as what leaves the layer."""
        return accumulators if self.dest is None else requantise(accumulators, self.dest)

    def _windows(self, x: Map) -> Map:
        """What each output of a contiguous padded map sees, without a copy.

        (batch, height, kernel, kernel, width, channels).
        """
        kernel, stride, (height, width) = self.layer.kernel, self.layer.stride, self.layer.out_size
        image, row, pixel, channel = x.strides
        shape = (len(x), height, kernel, kernel, width, x.shape[3])
        return as_strided(x, shape, (image, stride * row, row, pixel, stride * pixel, channel), writeable=False)

    def _depthwise(self, x: Map) -> Map:
        windows = self._windows(x)
        if self.layer.stride == 1:  # then a row of pixels times channels is one vector, and the innermost loop as long
            windows = windows.reshape(*windows.shape[:4], -1)
        out: Map = np.einsum("bhij...,ij...->bh...", windows, self.weight.reshape(windows.shape[2:]))
        return out.reshape(len(x), *self.layer.out_size, -1)

    def _dense(self, x: Map) -> Map:
        if self.layer.kernel > 1:
            x = self._windows(x).transpose(
                0, 1, 4, 2, 3, 5
            )  # rows of weight are in this order: kernel, kernel, channels
        return (x.reshape(-1, len(self.weight)) @ self.weight).reshape(len(x), *self.layer.out_size, -1)


class OdeBlock:
    """z(t1) from z(t0): f inside the solver loop, state update in exact arithmetic."""

    def __init__(self, params: Params, section: Section) -> None:
        self.z, k, _ = params.update_formats(section.block)
        self.x = params.formats[section.layers[0].source]
        self.convolutions = [Convolution(params, layer) for layer in section.layers]
        self.biased = self.convolutions[section.layers.index(section.biased)]
        coeff = params.spec.quantisation.coeff
        self.lsb = 2.0 ** (self.z.frac_bits - k.frac_bits - coeff.frac_bits)  # LSB of coefficient * k, in LSBs of z
        self.watch: Callable[[int, Map], None] | None = None  # sees (evaluation, accumulators in front of ReLU)
        solver = params.spec.solver
        self.set_solver(
            solver.n_steps[section.block],
            params.spec.coefficients(section.block),
            params.bias_table(params.spec, section),
        )

    def set_solver(self, n_steps: int, rows: list[list[int]], bias_table: NDArray[np.int32]) -> None:
        """What a kernel gets at run time: steps, Spec.coefficients and Params.bias_table of this block."""
        self.n_steps = n_steps
        self.rows = [[entry * self.lsb for entry in row] for row in rows]
        self.biases = self.biased.scale_bias(bias_table)

    def f(self, z: Map, evaluation: int) -> Map:
        x = convert(z, self.z, self.x)
        for convolution in self.convolutions:
            if convolution is self.biased:
                x = convolution.accumulate(x, self.biases[evaluation])
                if self.watch is not None:
                    self.watch(evaluation, x)
                x = convolution.finish(x)
            else:
                x = convolution(x)
        return x

    def combine(self, z: Map, row: Sequence[float], slopes: list[Map]) -> Map:
        """Q(z + sum row[j] * slopes[j]); float64 holds the sum exactly (Params.check_solver)."""
        terms = [(entry, slope) for entry, slope in zip(row, slopes) if entry]
        if not terms:
            return z
        (entry, slope), *others = terms
        total = np.multiply(slope, entry, dtype=np.float64)
        total += z
        for entry, slope in others:
            total += np.multiply(slope, entry, dtype=np.float64)
        return requantise(total, self.z).astype(np.float32)

    def __call__(self, z: Map, on_step: OnStep | None = None) -> Map:
        return integrate(self.f, z, self.rows, self.n_steps, self.combine, on_step)


class Reference:
    """params -> integer logits. `threads` images chunks run at once; BLAS then runs single-threaded inside each."""

    def __init__(self, params: Params, threads: int | None = None) -> None:
        self.params = params
        self.threads = threads or os.cpu_count() or 1
        self.parts: list[tuple[Section, Any]] = []
        for section in sections(params.spec.network):
            part = (
                OdeBlock(params, section)
                if section.kind == "f"
                else [Convolution(params, layer) for layer in section.layers]
            )
            self.parts.append((section, part))

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """uint8 images (batch, channels, height, width) -> int32 logits (batch, num_classes) in LSBs.

        One LSB is worth params.logits_scale.
        """
        network = self.params.spec.network
        out = np.empty((len(images), network.num_classes), np.int32)
        height, width = network.map_size(0)
        size = max(1, CHUNK_BYTES // (4 * height * width * network.channels[0]))
        size = min(size, max(1, -(-len(images) // self.threads)))
        chunks = [slice(i, i + size) for i in range(0, len(images), size)]

        def work(chunk: slice) -> None:
            out[chunk] = self._forward(images[chunk])

        if self.threads == 1 or len(chunks) == 1:
            for chunk in chunks:
                work(chunk)
        else:
            # Our threads split the batch; BLAS threads inside them would only contend.
            with limited_blas(1), ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(work, chunks))
        return out

    def trajectory(self, images: NDArray[np.uint8], block: int) -> list[NDArray[np.int16]]:
        """States of ODE block `block` before the first step and after each: int16 (batch, height, width, channels)."""
        states: list[NDArray[np.int16]] = []
        self._forward(images, {block: lambda step, z: states.append(z.astype(np.int16))})
        return states

    def _forward(self, images: NDArray[np.uint8], on_step: dict[int, OnStep] | None = None) -> NDArray[np.int32]:
        formats = self.params.formats
        z: Map = np.ascontiguousarray(images.transpose(0, 2, 3, 1), dtype=np.float32)
        for section, part in self.parts:
            if section.kind == "f":
                z = part(z, (on_step or {}).get(section.block))
                continue
            if section.kind == "down":
                source, dest = formats[f"z{section.block + 1}"], formats[f"{section.name}.x"]
                z = convert(z, source, dest)
            elif section.kind == "head":
                z = global_average(z, formats[f"z{section.block + 1}"], formats["head.x"])
            for convolution in part:
                z = convolution(z)
            if section.kind == "stem":
                z = z.astype(np.float32, copy=False)
        return z.reshape(len(images), -1).astype(np.int32)


def global_average(z: Map, source: Format, dest: Format) -> Map:
    """Q(sum / count), rounded as if the quotient were exact.

    float64 does that: a quotient that is no tie lies at least 1 / (2 * count) LSB from one, far more than the
    division's error.
    """
    total = z.sum(axis=(1, 2), keepdims=True, dtype=np.float64) * 2.0 ** (dest.frac_bits - source.frac_bits)
    return requantise(total / (z.shape[1] * z.shape[2]), dest).astype(np.float32)


def limited_blas(threads: int) -> Any:
    """A context in which BLAS uses so many threads. Needs threadpoolctl; without it, a context without effect."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(threads, user_api="blas")
