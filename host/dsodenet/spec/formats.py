"""Fixed-point formats and their arithmetic on NumPy integers, exactly as ap_fixed of Vitis HLS computes it.

A value is an integer q standing for q * 2**-frac_bits. The rounding and overflow modes carry the names of
ap_fixed (AMD UG1399, "Arbitrary Precision Fixed-Point Data Types"); tests compare all of them with hls4ml's
own ap_types through g++.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.errors import SpecError

Ints = NDArray[np.int64]

# Every mode is floor(v / 2**shift) plus a carry: `q` is that floor, `rest` what it dropped, `half` half of one output
# LSB.
ROUNDINGS = {
    "TRN": lambda v, q, rest, half: rest < 0,  # towards minus infinity: never carries
    "TRN_ZERO": lambda v, q, rest, half: (rest > 0) & (v < 0),
    "RND": lambda v, q, rest, half: rest >= half,
    "RND_MIN_INF": lambda v, q, rest, half: rest > half,
    "RND_INF": lambda v, q, rest, half: (rest > half) | ((rest == half) & (v >= 0)),
    "RND_ZERO": lambda v, q, rest, half: (rest > half) | ((rest == half) & (v < 0)),
    "RND_CONV": lambda v, q, rest, half: (rest > half) | ((rest == half) & (q & 1 == 1)),
}

OVERFLOWS = {
    "SAT": lambda v, fmt: np.clip(v, fmt.min_int, fmt.max_int),
    "SAT_ZERO": lambda v, fmt: np.where((v < fmt.min_int) | (v > fmt.max_int), 0, v),
    "SAT_SYM": lambda v, fmt: np.clip(v, -fmt.max_int if fmt.signed else 0, fmt.max_int),
    "WRAP": lambda v, fmt: (v - fmt.min_int) % (1 << fmt.bits) + fmt.min_int,
}


def log2_exact(scale: float, what: str = "scale") -> int:
    """Return n where scale == 2**n; SpecError when the scale is no power of two."""
    mantissa, exponent = math.frexp(scale) if math.isfinite(scale) and scale > 0 else (0.0, 0)
    if mantissa != 0.5:
        raise SpecError(f"{what} is {scale!r}, but every scale must be a power of two such as 0.0625 (2**-4)")
    return exponent - 1


def shift_round(value: ArrayLike, shift: int, rounding: str = "RND_CONV") -> Ints:
    """Return value / 2**shift as integers, rounded by an ap_fixed mode; a negative shift multiplies exactly."""
    v = np.asarray(value, np.int64)
    if shift <= 0:
        return v << -shift
    q = v >> shift
    rest = v - (q << shift)
    return q + ROUNDINGS[rounding](v, q, rest, 1 << (shift - 1))


@dataclass(frozen=True)
class Format:
    """ap_[u]fixed<bits, integer_bits, rounding, overflow>: values q * 2**-(bits - integer_bits)."""

    bits: int
    integer_bits: int
    signed: bool = True
    rounding: str = "RND_CONV"
    overflow: str = "SAT"

    def __post_init__(self) -> None:
        for key in ("bits", "integer_bits"):
            if type(getattr(self, key)) is not int:
                raise SpecError(f"format: {key} is {getattr(self, key)!r}, but it must be a whole number")
        if not 1 <= self.bits <= 48:
            raise SpecError(f"format: bits is {self.bits}, but 1 to 48 are allowed")
        if abs(self.integer_bits) > 64:
            raise SpecError(f"format: integer_bits is {self.integer_bits}, but -64 to 64 are allowed")
        if type(self.signed) is not bool:
            raise SpecError(f"format: signed is {self.signed!r}, but it must be true or false")
        if self.rounding not in ROUNDINGS:
            raise SpecError(f"format: rounding is {self.rounding!r}, but it must be one of {', '.join(ROUNDINGS)}")
        if self.overflow not in OVERFLOWS:
            raise SpecError(f"format: overflow is {self.overflow!r}, but it must be one of {', '.join(OVERFLOWS)}")

    @classmethod
    def from_scale(cls, bits: int, scale: float, signed: bool = True, rounding: str = "RND_CONV") -> Format:
        """The format of `bits` bits whose LSB is worth `scale`, which must be a power of two."""
        return cls(bits, bits + log2_exact(scale), signed, rounding)

    @property
    def frac_bits(self) -> int:
        return self.bits - self.integer_bits

    @property
    def scale(self) -> float:
        """The value of one LSB."""
        return 2.0**-self.frac_bits

    @property
    def min_int(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max_int(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    @property
    def max_abs(self) -> int:
        """The largest magnitude the format can hold, in LSBs."""
        return max(-self.min_int, self.max_int)

    @property
    def hls_type(self) -> str:
        """The C++ type in Vitis HLS."""
        prefix = "ap_fixed" if self.signed else "ap_ufixed"
        return f"{prefix}<{self.bits}, {self.integer_bits}, AP_{self.rounding}, AP_{self.overflow}>"

    def requantise(self, value: ArrayLike, frac_bits: int) -> Ints:
        """Convert integers with `frac_bits` fraction bits to this format: round, then handle overflow."""
        return OVERFLOWS[self.overflow](shift_round(value, frac_bits - self.frac_bits, self.rounding), self)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
