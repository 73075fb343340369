"""Every rounding and overflow mode on every value of small formats, against hls4ml's own ap_types through g++."""

from __future__ import annotations

import itertools
import subprocess
from fractions import Fraction
from pathlib import Path

import hls4ml
import numpy as np
import pytest

from dsodenet.errors import SpecError
from dsodenet.spec.formats import OVERFLOWS, ROUNDINGS, Format, log2_exact, shift_round

SOURCE = Format(8, 4)
DESTS = [(5, 3), (3, 4), (6, 0), (9, 5), (1, 1)]  # (bits, integer_bits)
AP_TYPES = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"


def cases() -> list[tuple[bool, Format]]:
    """(source signed, destination) of every combination."""
    return [
        (source_signed, Format(bits, integer_bits, signed, rounding, overflow))
        for source_signed, signed in itertools.product((True, False), repeat=2)
        for rounding, overflow in itertools.product(ROUNDINGS, OVERFLOWS)
        for bits, integer_bits in DESTS
        # ap_types leaves AP_SAT_SYM of one signed bit undefined: its range would be empty but for 0.
        if not (overflow == "SAT_SYM" and bits == 1)
    ]


@pytest.fixture(scope="module")
def ap_table(compiler, tmp_path_factory) -> np.ndarray:
    """(cases, 256) integers that ap_fixed gives, from one compiled program that prints all of them."""
    lines = []
    for source_signed, fmt in cases():
        source = f"ap_{'' if source_signed else 'u'}fixed<{SOURCE.bits}, {SOURCE.integer_bits}>"
        bits = f"ap_{'' if fmt.signed else 'u'}int<{fmt.bits}>"
        lines.append(f"table<{source}, {fmt.hls_type}, {bits}>();")
    program = """
#include <cstdio>
#include "ap_fixed.h"
template <class Source, class Dest, class Bits> void table() {
    for (int i = 0; i < 256; i++) {
        Source source;
        source.range(7, 0) = i;
        Dest dest = source;
        Bits bits;
        bits.range() = dest.range();
        std::printf("%d ", (int)bits);
    }
    std::puts("");
}
int main() {
""" + "\n".join(lines)
    folder = tmp_path_factory.mktemp("ap_types")
    (folder / "table.cpp").write_text(program + "\n}\n")
    command = [compiler, "-O0", "-w", "-std=c++14", f"-I{AP_TYPES}", "table.cpp", "-o", "table"]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    output = subprocess.run([folder / "table"], check=True, capture_output=True, text=True, timeout=60).stdout
    return np.array([[int(word) for word in line.split()] for line in output.splitlines()])


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_value_is_that_of_ap_fixed(ap_table, rounding, overflow):
    raw = np.arange(256)
    checked = 0
    for (source_signed, fmt), expected in zip(cases(), ap_table):
        if (fmt.rounding, fmt.overflow) == (rounding, overflow):
            values = np.where(raw < 128, raw, raw - 256) if source_signed else raw
            assert np.array_equal(fmt.requantise(values, SOURCE.frac_bits), expected), (source_signed, fmt)
            checked += 1
    assert checked == 4 * (len(DESTS) - (overflow == "SAT_SYM"))


def test_rounding_halves_in_words():
    halves = np.array([-5, -3, -1, 1, 3, 5])  # in units of 1/2: -2.5 ... 2.5
    expected = {
        "TRN": [-3, -2, -1, 0, 1, 2],
        "TRN_ZERO": [-2, -1, 0, 0, 1, 2],
        "RND": [-2, -1, 0, 1, 2, 3],
        "RND_MIN_INF": [-3, -2, -1, 0, 1, 2],
        "RND_INF": [-3, -2, -1, 1, 2, 3],
        "RND_ZERO": [-2, -1, 0, 0, 1, 2],
        "RND_CONV": [-2, -2, 0, 0, 2, 2],
    }
    assert {mode: shift_round(halves, 1, mode).tolist() for mode in ROUNDINGS} == expected


def test_large_values_are_exact():
    rng = np.random.default_rng(0)
    values = rng.integers(-(1 << 60), 1 << 60, 1000)
    for shift in (1, 7, 31, 52):
        exact = [round(Fraction(int(v), 1 << shift)) for v in values]
        assert shift_round(values, shift).tolist() == exact
    assert shift_round([3, -3], -4).tolist() == [48, -48]


def test_a_format_knows_its_numbers():
    fmt = Format(8, 3, signed=False, rounding="TRN", overflow="WRAP")
    assert (fmt.frac_bits, fmt.scale, fmt.min_int, fmt.max_int, fmt.max_abs) == (5, 1 / 32, 0, 255, 255)
    assert fmt.hls_type == "ap_ufixed<8, 3, AP_TRN, AP_WRAP>"
    assert (Format(8, 3).min_int, Format(8, 3).max_int, Format(8, 3).max_abs) == (-128, 127, 128)
    assert Format.from_scale(8, 0.25) == Format(8, 6)
    assert Format(**fmt.to_json()) == fmt


@pytest.mark.parametrize("scale", [3.0, 0.0, -0.5, float("nan"), float("inf"), 0.1])
def test_only_powers_of_two_are_scales(scale):
    with pytest.raises(SpecError, match="power of two"):
        log2_exact(scale)


def test_powers_of_two_are_found():
    assert [log2_exact(2.0**n) for n in range(-60, 61)] == list(range(-60, 61))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 0}, "bits is 0, but 1 to 48"),
        ({"bits": 49}, "bits is 49"),
        ({"bits": 8.0}, r"bits is 8\.0, but it must be a whole number"),
        ({"bits": True}, "bits is True"),
        ({"integer_bits": 65}, "integer_bits is 65"),
        ({"integer_bits": "3"}, "integer_bits is '3'"),
        ({"signed": 1}, "signed is 1"),
        ({"rounding": "NEAREST"}, "rounding is 'NEAREST', but it must be one of TRN"),
        ({"overflow": "CLIP"}, "overflow is 'CLIP', but it must be one of SAT"),
    ],
)
def test_odd_formats_are_refused(change, message):
    with pytest.raises(SpecError, match=message):
        Format(**({"bits": 8, "integer_bits": 4} | change))
