"""A pass: its fields fit, and Python and SystemVerilog see the same bits."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from dsodenet.errors import SpecError
from dsodenet.rtl.build import engine_sources
from dsodenet.rtl.engine import program_package
from dsodenet.rtl.passes import FIELDS, KINDS, PASS_BYTES, Pass, pass_struct


def test_the_struct_has_the_fields_in_the_order_of_the_words() -> None:
    """SystemVerilog names the highest bits of a packed struct first."""
    names = re.findall(r"logic \[15:0\] (\w+);", pass_struct())[::-1]
    assert tuple(names[: len(FIELDS)]) == FIELDS
    assert 2 * len(names) == PASS_BYTES
    assert PASS_BYTES % 16 == 0
    for number, name in enumerate(FIELDS):
        low, high = (dataclasses.fields(Pass)[number].metadata[key] for key in ("low", "high"))
        for value in (low, high):
            words = Pass(**{name: value}).words()
            assert (np.flatnonzero(words) == ([number] if value else [])).all()
            assert int(words[number]) == value & 0xFFFF


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str) -> None:
    item = next(item for item in dataclasses.fields(Pass) if item.name == name)
    for value in (item.metadata["low"] - 1, item.metadata["high"] + 1):
        with pytest.raises(SpecError, match=f"{name} of a pass .* is {value}, but"):
            Pass(**{name: value})


def test_no_field_has_more_bits_than_the_engine_reads() -> None:
    """The engine's sources say how many bits of a field they take; the narrowest place counts."""
    sources = " ".join(path.read_text(encoding="utf-8") for path in engine_sources())
    for item in dataclasses.fields(Pass):
        places = re.findall(
            rf"\bpass(?:_i)?\.{item.name}\[(?:(\d+):)?0\]|\w_pass\.{item.name}\[(?:(\d+):)?0\]", sources
        )
        if item.name == "slot_shift":  # its lowest three bits are enough where it is compared first
            continue
        for first, second in places:
            bits, (low, high) = int(first or second or 0) + 1, (item.metadata[key] for key in ("low", "high"))
            signed = low < 0
            assert -signed * 2 ** (bits - 1) <= low, item.name
            assert high < 2 ** (bits - signed), item.name
    rotations = {item.name: item.metadata["high"] for item in dataclasses.fields(Pass) if item.name.endswith("_rotate")}
    assert rotations == dict.fromkeys(("fetch_rotate", "line_rotate", "dst_row_rotate", "image_row_rotate"), 7)


def test_a_limit_fills_its_bits() -> None:
    """But for counts that end earlier by their nature: kinds, blocks, taps, bytes of a chunk, shifts of an average."""
    fields = {item.name: (item.metadata["low"], item.metadata["high"]) for item in dataclasses.fields(Pass)}
    others = {"block": 2, "reps_last": 8, "block_shift": 2, "tail_bytes": 16, "average_shift": 22}
    for name, (low, high) in fields.items():
        assert high == others.get(name, high)
        assert name in others or (high & (high + 1) == 0 and low in (0, -high - 1)), name


def test_every_field_says_what_it_means() -> None:
    meanings = [item.metadata["meaning"] for item in dataclasses.fields(Pass)]
    assert all(meanings)


def test_slang_reads_the_struct_as_the_words_are_laid_out() -> None:
    """The bits of each field of `pass_t`, and the number of each kind, as another reader of SystemVerilog sees them."""
    slang = pytest.importorskip("pyslang", reason="pyslang is not installed")
    compilation = slang.ast.Compilation()
    compilation.addSyntaxTree(slang.syntax.SyntaxTree.fromText(program_package()))
    package = compilation.getPackage("dsodenet_program_pkg")
    struct = package.find("pass_t").targetType.type
    assert struct.bitWidth == 8 * PASS_BYTES
    places = {field.name: (field.bitOffset, field.type.bitWidth) for field in struct}
    for name in FIELDS:
        (word,) = np.flatnonzero(Pass(**{name: 1}).words())
        assert places[name] == (16 * word, 16)
    kinds = [value.name for value in package.find("kind_e").targetType.type]
    assert kinds == [f"Kind{name.title()}" for name in KINDS]
    assert package.find("kind_e").targetType.type.bitWidth == 2
    unlimited = {item.name for item in dataclasses.fields(Pass) if item.metadata["high"] >= 0xFFF}
    assert {item.metadata["high"] for item in dataclasses.fields(Pass) if item.name in unlimited} == {0x7FFF, 0xFFFF}
