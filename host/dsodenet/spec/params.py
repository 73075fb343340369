"""An exported model: integers, formats and a fingerprint, in RUN/params.npz and RUN/spec.json.

Files are data from outside: no pickle, sizes checked before memory is taken, every array checked against the spec.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import MAX_VALUE, RunError, SpecError, cut
from dsodenet.files import atomic_file, write_json
from dsodenet.outside import guard, npy_array, read_json
from dsodenet.runs import Run
from dsodenet.spec.formats import Format, shift_round
from dsodenet.spec.layers import IMAGE_FORMAT, Layer, Section, all_layers, sections, tensor_widths
from dsodenet.spec.specification import TIME_FRAC_BITS, Spec
from dsodenet.spec.strict import canonical_json, strict_from_json

# Every kernel has this accumulator, and no model can exceed it: an output has at most MAX_CHANNELS = 1024 inputs (the
# largest space-to-depth stem has 64 * 16, as many), a weight is at most 2**7, an input at most 255, and a bias at most
# 2**23, so that every partial sum stays below 1024 * 2**7 * 255 + 2**23 < 2**25.4.
ACCUMULATOR_BITS = 32
UPDATE_BITS = 48  # the state update has the width of a DSP48E2 accumulator


@dataclass(frozen=True)
class Params:
    """Integer weights with their formats.

    arrays: `<layer>.weight` int8 (shape of Layer.weight_shape), `<layer>.bias` int32 (out_channels,) or, for a layer
    with a time table, `<layer>.knots` int32 (time_knots, out_channels); biases and knots are in LSBs of the layer's
    accumulator. Construction checks shapes, ranges and that no state update can overflow."""

    spec: Spec
    formats: dict[str, Format]
    arrays: dict[str, NDArray[Any]]

    def __post_init__(self) -> None:
        self._check_formats()
        self._check_arrays()
        self.check_solver(self.spec)

    def __repr__(self) -> str:
        return f"<Params {self.model_fingerprint[:8]} of {self.spec!r}>"

    def _check_formats(self) -> None:
        widths = tensor_widths(self.spec)
        if set(self.formats) != set(widths):
            odd = ", ".join(sorted(set(self.formats) ^ set(widths)))
            raise SpecError(f"formats do not fit the network: {odd} is missing or unknown")
        for name, (bits, signed) in widths.items():
            fmt = self.formats[name]
            weight = name.endswith(".weight")
            if (fmt.bits, fmt.signed) != (bits, signed):
                given, wanted = (
                    f"{'' if s else 'un'}signed {b} bits" for b, s in ((fmt.bits, fmt.signed), (bits, signed))
                )
                raise SpecError(f"format of {name} is {given}, but the spec says {wanted}")
            if not weight and fmt.rounding != (
                self.spec.quantisation.rounding if name != "image" else IMAGE_FORMAT.rounding
            ):
                raise SpecError(
                    f"format of {name} rounds by {fmt.rounding}, but the spec says {self.spec.quantisation.rounding}"
                )
            if fmt.overflow != "SAT":
                raise SpecError(f"format of {name} overflows by {fmt.overflow}, but the number contract says SAT")
            if not -16 <= fmt.integer_bits <= 32:
                raise SpecError(f"format of {name} has {fmt.integer_bits} integer bits, but -16 to 32 are allowed")
        if self.formats["image"] != IMAGE_FORMAT:
            raise SpecError(
                f"format of image is {self.formats['image'].hls_type}, but pixels are {IMAGE_FORMAT.hls_type}"
            )

    def _check_arrays(self) -> None:
        expected = array_shapes(self.spec)
        if set(self.arrays) != set(expected):
            odd = ", ".join(sorted(set(self.arrays) ^ set(expected)))
            raise SpecError(f"arrays do not fit the network: {odd} is missing or unknown")
        for name, (shape, dtype) in expected.items():
            array = self.arrays[name]
            if array.shape != shape or array.dtype != dtype:
                raise SpecError(
                    f"array {name} is {array.dtype}{array.shape}, but the network needs {np.dtype(dtype)}{shape}"
                )
            bits = (
                self.spec.quantisation.weight_bit_width
                if name.endswith(".weight")
                else self.spec.quantisation.bias_bit_width
            )
            low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
            if array.min() < low or array.max() > high:
                raise SpecError(
                    f"array {name} reaches {array.min()} to {array.max()}, but {bits} bits hold {low} to {high}"
                )

    def check_solver(self, spec: Spec) -> None:
        """SpecError unless the state update of every ODE block fits its accumulator under this solver."""
        for block in range(len(spec.network.channels)):
            z, k, frac_bits = self.update_formats(block)
            for row in spec.coefficients(block):
                bound = (z.max_abs << (frac_bits - z.frac_bits)) + (
                    sum(map(abs, row)) * k.max_abs << (frac_bits - k.frac_bits - spec.quantisation.coeff_frac_bits)
                )
                if bound >= 1 << (UPDATE_BITS - 1):
                    raise SpecError(
                        f"ODE block {block + 1}: its state update can reach {bound}, over {UPDATE_BITS} bits"
                    )

    def update_formats(self, block: int) -> tuple[Format, Format, int]:
        """Format of the state, format of the slope k, and the fraction bits in which their weighted sum is exact."""
        z, k = self.formats[f"z{block + 1}"], self.formats[f"f{block + 1}.k"]
        return z, k, max(z.frac_bits, k.frac_bits + self.spec.quantisation.coeff_frac_bits)

    def accumulator_frac_bits(self, layer: Layer) -> int:
        return self.formats[layer.source].frac_bits + self.formats[f"{layer.name}.weight"].frac_bits

    def accumulator_bound(self, layer: Layer) -> int:
        """The largest magnitude that any partial sum of the layer, bias included, can take for any input, in LSBs."""
        weights = (
            np.abs(self.arrays[f"{layer.name}.weight"].astype(np.int64)).reshape(layer.out_channels, -1).sum(axis=1)
        )
        bias = np.abs(self.arrays[bias_name(layer)].astype(np.int64)).reshape(-1, layer.out_channels).max(axis=0)
        return int((weights * self.formats[layer.source].max_abs + bias).max())

    def bias_table(self, spec: Spec, section: Section) -> NDArray[np.int32]:
        """The bias of f's layer in front of ReLU at each evaluation of this solver: int32 (evaluations, channels).

        Piecewise linear between the knots in integers: the position of t between two knots is rounded to
        TIME_FRAC_BITS bits, the interpolated bias to one accumulator LSB, both half to even. Without a time table
        every row is the bias.
        """
        layer = section.biased
        times = spec.solver.times(section.block)
        if not layer.timed:
            return np.repeat(self.arrays[f"{layer.name}.bias"][None], len(times), axis=0)
        knots = self.arrays[f"{layer.name}.knots"].astype(np.int64)
        index, fraction = knot_positions(spec, section.block)
        one = 1 << TIME_FRAC_BITS
        mixed = knots[index] * (one - fraction)[:, None] + knots[index + 1] * fraction[:, None]
        return shift_round(mixed, TIME_FRAC_BITS).astype(np.int32)

    @property
    def logits_scale(self) -> float:
        """The value of one LSB of the integer logits."""
        return 2.0 ** -self.accumulator_frac_bits(all_layers(self.spec.network)[-1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over spec, formats and integers, in hexadecimal: tells whether a run's files belong together."""
        return self._digest(self.spec.identity())

    @cached_property
    def model_fingerprint(self) -> str:
        """The same without name, solver and kernel options: what a built kernel has in common with its model."""
        spec = self.spec.to_dict()
        return self._digest({key: spec[key] for key in ("network", "quantisation")})

    @cached_property
    def kernel_fingerprint(self) -> str:
        """The same without the bias tables of f, which an hls kernel is given at run time."""
        spec = self.spec.to_dict()
        tables = {bias_name(section.biased) for section in sections(self.spec.network) if section.kind == "f"}
        return self._digest({key: spec[key] for key in ("network", "quantisation")}, tables)

    def _digest(self, spec: dict[str, Any], without: Collection[str] = ()) -> str:
        digest = hashlib.sha256(canonical_json(spec | {"formats": self._formats_json()}))
        for name in sorted(set(self.arrays).difference(without)):
            array = self.arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def with_solver(self, method: str | None = None, n_steps: int | tuple[int, ...] | None = None) -> Params:
        """The same integers under another solver or step count."""
        return replace(self, spec=self.spec.with_solver(method, n_steps))

    def _formats_json(self) -> dict[str, Any]:
        return {name: fmt.to_json() for name, fmt in sorted(self.formats.items())}

    def save(self, run: Path) -> None:
        """Write RUN/params.npz and RUN/spec.json, each beside its place and then renamed."""
        with atomic_file(Run(run).params) as path, open(path, "wb") as file:
            np.savez_compressed(file, **self.arrays)
        write_json(self.to_dict(), Run(run).spec)

    def to_dict(self) -> dict[str, Any]:
        """What RUN/spec.json holds: everything but the arrays."""
        return self.spec.to_dict() | {"formats": self._formats_json(), "fingerprint": self.fingerprint}

    @classmethod
    def load(cls, run: str | Path | Run) -> Params:
        """Read and check an exported run, a folder or `zoo:NAME`.

        RunError when a file is missing, malformed or edited.
        """
        run = Run.of(run)
        if not run.folder.is_dir():
            raise RunError(f"{run}: no such run folder; `dsodenet train --out {run}` makes one")
        missing = [path.name for path in (run.spec, run.params) if not path.is_file()]
        if missing:
            raise RunError(f"{run}: {' and '.join(missing)} is missing; run `dsodenet export {run}`")
        data = read_json(run.spec, "the JSON of an exported run", RunError)
        return cls.from_parts(data, run.params, str(run.spec), str(run))

    @classmethod
    def from_parts(cls, data: Any, archive: Path | IO[bytes], source: str, where: str) -> Params:
        """data: decoded JSON as to_dict returns it; archive: the npz.

        RunError names `source`, where the JSON is from, or `where`
        both are from."""
        with guard(source, "the JSON of an exported run", RunError):
            rest = dict(data)
            found, fingerprint = rest.pop("formats").items(), rest.pop("fingerprint")
            try:
                formats = {name: strict_from_json(Format, fmt, f"formats.{name}") for name, fmt in found}
                spec = Spec.from_dict(rest)
                arrays = _read_arrays(archive, str(archive) if isinstance(archive, Path) else where, spec)
                params = cls(spec, formats, arrays)
            except SpecError as error:
                raise RunError(f"{where}: {error}") from None
        if params.fingerprint != fingerprint:
            raise RunError(
                f"{where}: the files were edited or mixed: their fingerprint is {params.fingerprint[:16]}, "
                f"but the JSON says "
                f"{str(fingerprint)[:16]}; run `dsodenet export` again"
            )
        return params


def bias_name(layer: Layer) -> str:
    return f"{layer.name}.{'knots' if layer.timed else 'bias'}"


def array_shapes(spec: Spec) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and dtype of every array of a model."""
    shapes: dict[str, tuple[tuple[int, ...], type]] = {}
    for layer in all_layers(spec.network):
        shapes[f"{layer.name}.weight"] = (layer.weight_shape, np.int8)
        rows = (spec.network.time_knots,) if layer.timed else ()
        shapes[bias_name(layer)] = ((*rows, layer.out_channels), np.int32)
    return shapes


def knot_positions(spec: Spec, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each evaluation falls between the knots.

    (index of the knot before it, position after it in 2**-TIME_FRAC_BITS).
    """
    solver, intervals = spec.solver, spec.network.time_knots - 1
    span = Fraction(solver.t1) - Fraction(solver.t0)
    positions = [round((t - Fraction(solver.t0)) / span * intervals * 2**TIME_FRAC_BITS) for t in solver.times(block)]
    index = np.minimum(np.array(positions) >> TIME_FRAC_BITS, intervals - 1)
    return index, np.array(positions) - (index << TIME_FRAC_BITS)


def _read_arrays(archive: Path | IO[bytes], where: str, spec: Spec) -> dict[str, NDArray[Any]]:
    """Read the arrays that the spec names, and no others; the size of each is known before it is read."""
    expected, arrays = array_shapes(spec), {}
    with guard(where, "a params file", RunError), zipfile.ZipFile(archive) as container:
        for item in container.infolist():
            name = item.filename.removesuffix(".npy")
            if name not in expected:
                raise RunError(f"{where}: unknown array {cut(name, MAX_VALUE)}; the spec has {', '.join(expected)}")
            if name in arrays:
                raise RunError(f"{where}: array {name} stands twice in it")
            shape, dtype = expected[name]
            if item.file_size > math.prod(shape) * np.dtype(dtype).itemsize + 4096:
                raise RunError(f"{where}: array {name} has {item.file_size} bytes, more than its shape {shape} takes")
            arrays[name] = npy_array(container.read(item))
    return arrays
