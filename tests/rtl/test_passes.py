"""A pass: its fields fit, and Python and SystemVerilog see the same bits."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from dsodenet.errors import SpecError
from dsodenet.rtl.passes import FIELDS, PASS_BYTES, Pass, pass_struct


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


def test_every_field_says_what_it_means() -> None:
    meanings = [item.metadata["meaning"] for item in dataclasses.fields(Pass)]
    assert all(meanings)
