"""The one description of a model: network, solver, quantisation, kernel; checked at construction, in words.

Every number that two sides of a boundary share (torch and NumPy, Python and C++, host and FPGA) is read from here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dsodenet.errors import SpecError
from dsodenet.outside import guard, read_json
from dsodenet.runs import Run
from dsodenet.spec.formats import Format
from dsodenet.spec.preparation import USUAL, Preparation, check_class_names
from dsodenet.spec.solvers import evaluation_times, step_coefficients, tableau
from dsodenet.spec.strict import canonical_json, check_choice, check_range, strict_from_json

MAX_BLOCKS = 3
RUN_KEYS = {"formats", "fingerprint"}  # of an exported run, beside its spec
MAX_SPEC_BYTES = 1 << 20
MAX_STEPS = 64
MAX_SIDE = 256
MAX_TIME = 1_000_000
MAX_CHANNELS = 1024
PIXEL_BITS = 8  # an image enters as uint8; a float image in [0, 1] is first rounded to uint8
TIME_FRAC_BITS = 12  # position of t between two knots of a time table

# Of f, over all its evaluations. The three BatchNorms (arXiv 2004.09222) differ in what each evaluation has for
# itself: batch_shared nothing, batch_mean_per_evaluation its running mean, batch_per_evaluation its running mean and
# variance.
NORMS = ("none", "weight", "spectral", "batch_shared", "batch_mean_per_evaluation", "batch_per_evaluation", "layer")
FLOAT_ONLY_NORMS = (
    "batch_per_evaluation",
    "layer",
)  # do not fold into weights and time table, so there is no quantised model
FOLDING_NORMS = tuple(norm for norm in NORMS if norm not in FLOAT_ONLY_NORMS)
STEMS = {"conv3x3": (3, 1, 1), "space_to_depth_2": (2, 2, 0), "space_to_depth_4": (4, 4, 0)}  # kernel, stride, padding
ROUNDINGS = ("RND_CONV", "TRN")  # the modes that torch, QONNX, hls4ml and the engine all have
KERNELS = ("rtl", "hls")


@dataclass(frozen=True)
class LowRank:
    """A dense layer kept as two: down to `rank` channels, then 1x1 up to its own; nothing but a quantiser between."""

    layer: str  # stem.conv, f1.pw1, f1.pw2, down1.pw, f2.pw1, ...
    rank: int


@dataclass(frozen=True)
class Network:
    """stem -> ODE block -> (down -> ODE block)* -> global average -> linear; one ODE block per entry of `channels`."""

    in_channels: int
    height: int
    width: int
    channels: tuple[int, ...]
    num_classes: int
    stem: str  # conv3x3, or space_to_depth_B: a 1x1 convolution on B x B pixel blocks
    norm: str  # inside f while training; folded before quantisation
    time: str  # none, or bias: a per-evaluation, per-channel bias before f's ReLU
    time_knots: int  # the bias is piecewise linear in t over this many uniform knots
    low_rank: tuple[LowRank, ...] = ()

    def __post_init__(self) -> None:
        check_range("network.in_channels", self.in_channels, 1, 64)
        check_range("network.height", self.height, 4, MAX_SIDE)
        check_range("network.width", self.width, 4, MAX_SIDE)
        check_range("number of network.channels", len(self.channels), 1, MAX_BLOCKS)
        for channels in self.channels:
            check_range("network.channels", channels, 1, MAX_CHANNELS)
        check_range("network.num_classes", self.num_classes, 2, 4096)
        check_choice("network.stem", self.stem, STEMS)
        check_choice("network.norm", self.norm, NORMS)
        check_choice("network.time", self.time, ("none", "bias"))
        check_range("network.time_knots", self.time_knots, 2, 64)
        limits = self.rank_limits()
        for item in self.low_rank:
            check_choice("network.low_rank.layer", item.layer, limits)
            check_range(f"network.low_rank.rank of {item.layer}", item.rank, 1, limits.pop(item.layer))
        _, stride, _ = STEMS[self.stem]
        if stride > 1 and (self.height % stride or self.width % stride):
            raise SpecError(
                f"network.stem {self.stem} needs a height and width divisible by {stride}, "
                f"but they are {self.height} x {self.width}"
            )
        if min(self.map_size(len(self.channels) - 1)) < 2:
            raise SpecError(
                f"network: {self.height} x {self.width} pixels leave the last ODE block a map under 2 x 2; "
                f"a larger image, fewer blocks or another stem is needed"
            )

    def rank_limits(self) -> dict[str, int]:
        """The layers that may be kept at low rank, and the rank at which each is what it was."""
        kernel, channels = STEMS[self.stem][0], self.channels
        result = {"stem.conv": min(channels[0], self.in_channels * kernel**2)}
        for number, c in enumerate(channels, 1):
            result |= {f"f{number}.pw1": c, f"f{number}.pw2": c}
            if number < len(channels):
                result[f"down{number}.pw"] = min(c, channels[number])
        return result

    def map_size(self, block: int) -> tuple[int, int]:
        """(height, width) of ODE block `block`, counted from 0."""
        stride = STEMS[self.stem][1]
        height, width = self.height // stride, self.width // stride
        for _ in range(block):
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.in_channels, self.height, self.width

    @property
    def float_only(self) -> bool:
        return self.norm in FLOAT_ONLY_NORMS

    @property
    def has_time_table(self) -> bool:
        """Whether f's bias depends on the evaluation: learned, or the means that a folded BatchNorm leaves."""
        return self.time == "bias" or self.norm == "batch_mean_per_evaluation"


@dataclass(frozen=True)
class Solver:
    """A fixed-step method; n_steps has one entry per ODE block."""

    method: str
    n_steps: tuple[int, ...]
    t0: float
    t1: float

    def __post_init__(self) -> None:
        tableau(self.method)
        for n_steps in self.n_steps:
            check_range("solver.n_steps", n_steps, 1, MAX_STEPS)
        if not (math.isfinite(self.t0) and math.isfinite(self.t1) and self.t0 < self.t1):
            raise SpecError(f"solver: t0 is {self.t0} and t1 is {self.t1}, but t0 must be less than t1")
        if max(abs(self.t0), abs(self.t1)) > MAX_TIME:
            raise SpecError(f"solver: t0 is {self.t0} and t1 is {self.t1}, but both must be {-MAX_TIME} to {MAX_TIME}")

    def times(self, block: int) -> list[Fraction]:
        """The time of every evaluation of f in ODE block `block`."""
        return evaluation_times(tableau(self.method), self.n_steps[block], self.t0, self.t1)


@dataclass(frozen=True)
class Quantisation:
    """Bit widths and modes of the number contract; the integer bits of each tensor are found in training."""

    weight_bit_width: int
    act_bit_width: int
    state_bit_width: int
    bias_bit_width: int
    coeff_bit_width: int  # dt*a and dt*b as signed fixed point ...
    coeff_frac_bits: int  # ... with this many fraction bits
    rounding: str

    def __post_init__(self) -> None:
        check_range("quantisation.weight_bit_width", self.weight_bit_width, 2, 8)
        check_range("quantisation.act_bit_width", self.act_bit_width, 2, 8)
        check_range("quantisation.state_bit_width", self.state_bit_width, self.act_bit_width, 16)
        check_range("quantisation.bias_bit_width", self.bias_bit_width, 4, 24)
        check_range("quantisation.coeff_bit_width", self.coeff_bit_width, 4, 18)
        check_range("quantisation.coeff_frac_bits", self.coeff_frac_bits, 0, self.coeff_bit_width - 1)
        check_choice("quantisation.rounding", self.rounding, ROUNDINGS)

    @property
    def coeff(self) -> Format:
        return Format(self.coeff_bit_width, self.coeff_bit_width - self.coeff_frac_bits)


@dataclass(frozen=True)
class Kernel:
    """What runs in the fabric, and how wide it is."""

    name: str
    clock_mhz: float  # the fastest that is wanted; the board gives the next one that its PLL makes
    reuse_factor: int  # hls: the fewest multiplications that share a multiplier; `lower` chooses more where it must
    pixel_lanes: int  # rtl: parallel pixels, inputs and outputs of the pointwise array
    input_lanes: int
    output_lanes: int
    double_pumped: bool = False  # rtl: the pointwise array runs at twice the fabric's clock

    def __post_init__(self) -> None:
        check_choice("kernel.name", self.name, KERNELS)
        if not 10 <= self.clock_mhz <= 600:
            raise SpecError(f"kernel.clock_mhz is {self.clock_mhz}, but it must be 10 to 600")
        check_range("kernel.reuse_factor", self.reuse_factor, 1, 1 << 20)
        for key in ("pixel_lanes", "input_lanes", "output_lanes"):
            check_range(f"kernel.{key}", getattr(self, key), 1, 256)


@dataclass(frozen=True)
class Spec:
    name: str
    network: Network
    solver: Solver
    quantisation: Quantisation
    kernel: Kernel
    images: Preparation = USUAL
    class_names: tuple[str, ...] = ()  # by label; none before training, which takes them from its data

    def __post_init__(self) -> None:
        check_class_names(self.class_names, self.network.num_classes)
        if not self.name or len(self.name) > 64 or not all(ch.isalnum() or ch in "_-" for ch in self.name):
            raise SpecError(f"name is {self.name!r}, but it must be 1 to 64 letters, digits, '_' or '-'")
        blocks = len(self.network.channels)
        if len(self.solver.n_steps) != blocks:
            raise SpecError(f"solver.n_steps has {len(self.solver.n_steps)} entries, but network.channels has {blocks}")
        for block in range(blocks):
            self.coefficients(block)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for every class: its own, or its number."""
        return self.class_names or tuple(map(str, range(self.network.num_classes)))

    def with_classes(self, names: Iterable[str]) -> Spec:
        """The same model for classes of these names."""
        names = tuple(names)
        network = dataclasses.replace(self.network, num_classes=len(names))
        return dataclasses.replace(self, network=network, class_names=names)

    def with_network(self, network: Network) -> Spec:
        """Another network under the same solver; its outputs are no classes that have names."""
        return dataclasses.replace(self, network=network, class_names=())

    @classmethod
    def named(cls, size: str) -> Spec:
        """One of the ready sizes: xs, s, m, l."""
        if size not in SIZES:
            raise SpecError(
                f"size is {size!r}, but it must be one of {', '.join(SIZES)}, a spec JSON file, or an exported run"
            )
        return SIZES[size]

    @classmethod
    def load(cls, name_or_file: str | Path) -> Spec:
        """A ready size by name, a JSON file by path, or the spec of an exported run: its folder, or zoo:NAME."""
        text = str(name_or_file)
        if text in SIZES:
            return SIZES[text]
        run = Run.of(text)
        path = run.spec if run.spec.is_file() else Path(text)
        if path.suffix.lower() != ".json":
            return cls.named(text)
        if path.is_file() and path.stat().st_size > MAX_SPEC_BYTES:
            raise SpecError(f"{path}: a spec JSON file is at most 1 MiB")
        data = read_json(path, "a spec JSON file", SpecError)
        if isinstance(data, dict) and set(data) >= RUN_KEYS:
            data = {key: value for key, value in data.items() if key not in RUN_KEYS}
        try:
            return cls.from_dict(data)
        except SpecError as error:
            raise SpecError(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, text: str) -> Spec:
        with guard("spec", "JSON", SpecError):
            return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, data: Any) -> Spec:
        """Build from decoded JSON; every key must be there, and no other. n_steps may be one number for all blocks.

        A file from before LATER_KEYS and LATER_KERNEL_KEYS were part of a spec is one with their defaults.
        """
        if (
            isinstance(data, dict)
            and isinstance(data.get("solver"), dict)
            and type(data["solver"].get("n_steps")) is int
        ):
            network = data.get("network")
            channels = network.get("channels") if isinstance(network, dict) else None
            blocks = len(channels) if isinstance(channels, list) else 1
            data = data | {"solver": data["solver"] | {"n_steps": [data["solver"]["n_steps"]] * blocks}}
        if isinstance(data, dict):
            data = LATER_KEYS | {key: value for key, value in data.items() if key != "schema"}  # of `spec --json`
            if isinstance(data.get("kernel"), dict):
                data["kernel"] = LATER_KERNEL_KEYS | data["kernel"]
        return strict_from_json(cls, data, "spec")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        network, solver = self.network, self.solver
        image, channels = ("x".join(map(str, network.image_shape)), "/".join(map(str, network.channels)))
        return (
            f"<Spec {self.name}: {image} -> {channels} channels -> {network.num_classes} classes, "
            f"{solver.method} {','.join(map(str, solver.n_steps))}>"
        )

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(canonical_json(self.identity())).hexdigest()

    def identity(self) -> dict[str, Any]:
        """What fingerprints are made of: to_dict without later keys at their defaults: old files keep theirs."""
        found = {key: value for key, value in self.to_dict().items() if LATER_KEYS.get(key) != value}
        found["kernel"] = {key: value for key, value in found["kernel"].items() if LATER_KERNEL_KEYS.get(key) != value}
        return found

    def with_solver(self, method: str | None = None, n_steps: int | tuple[int, ...] | None = None) -> Spec:
        """The same model under another solver or step count: what may change after training."""
        steps = self.solver.n_steps if n_steps is None else n_steps
        if isinstance(steps, int):
            steps = (steps,) * len(self.network.channels)
        return dataclasses.replace(
            self, solver=dataclasses.replace(self.solver, method=method or self.solver.method, n_steps=tuple(steps))
        )

    def coefficients(self, block: int) -> list[list[int]]:
        """round(dt * a_ij) row by row, then round(dt * b_j), as integers of format `quantisation.coeff`.

        The only place where step coefficients are rounded (half to even); they travel as these integers.
        """
        fmt, solver = self.quantisation.coeff, self.solver
        dt = (Fraction(solver.t1) - Fraction(solver.t0)) / solver.n_steps[block]
        rows = [[round(c * 2**fmt.frac_bits) for c in row] for row in step_coefficients(tableau(solver.method), dt)]
        for value in (v for row in rows for v in row):
            if not fmt.min_int <= value <= fmt.max_int:
                raise SpecError(
                    f"solver {solver.method} with n_steps {solver.n_steps[block]} over [{solver.t0}, {solver.t1}] "
                    f"needs the "
                    f"step coefficient {value * fmt.scale:g}, but {fmt.bits} bits with {fmt.frac_bits} fraction bits "
                    f"reach "
                    f"{fmt.max_int * fmt.scale:g}"
                )
        return rows


LATER_KEYS: dict[str, Any] = {"images": dataclasses.asdict(USUAL), "class_names": ()}
LATER_KERNEL_KEYS: dict[str, Any] = {"double_pumped": False}


def _size(name: str, channels: int, side: int, in_channels: int, n_steps: int, lanes: tuple[int, int, int]) -> Spec:
    return Spec(
        name,
        Network(in_channels, side, side, (channels, 2 * channels, 4 * channels), 10, "conv3x3", "none", "none", 5),
        Solver("euler", (n_steps,) * 3, 0.0, 1.0),
        Quantisation(8, 8, 16, 16, 18, 15, "RND_CONV"),
        Kernel("hls", 187.5, 1, *lanes),
    )


SIZES = {
    spec.name: spec
    for spec in (
        _size("xs", 8, 16, 1, 4, (1, 4, 8)),
        _size("s", 16, 32, 3, 10, (1, 32, 64)),
        _size("m", 32, 32, 3, 10, (1, 32, 64)),
        _size("l", 64, 32, 3, 10, (1, 32, 64)),
    )
}
