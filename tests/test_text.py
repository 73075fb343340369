"""Tables for terminals and notebooks, and objects that say in one line what they are."""

from __future__ import annotations

import os

import numpy as np
import pytest

import dsodenet
from dsodenet import text
from dsodenet.data import load_dataset
from dsodenet.errors import InputError
from dsodenet.ladder import verify
from dsodenet.reference import Reference
from tests.models import MODELS

HEADER = ("name", "first", "second", "third")
ROWS = [("a", "1", "22", "a long entry"), ("bb", "333", "4", "short")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    columns: int = request.param
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(text.shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    return columns


def test_a_table_in_a_file_is_as_wide_as_it_is() -> None:
    assert text.table(HEADER, ROWS).splitlines() == [
        "name  first  second  third",
        "----  -----  ------  ------------",
        "a         1      22  a long entry",
        "bb      333       4  short",
    ]


@pytest.mark.parametrize("terminal", [18, 20, 32, 33], indirect=True)
def test_a_table_fits_the_terminal(terminal: int) -> None:
    told = text.table(HEADER, ROWS)
    parts = [part.splitlines() for part in told.split("\n\n")]
    assert max(map(len, told.splitlines())) <= terminal
    assert len(parts) == {18: 3, 20: 2, 32: 2, 33: 1}[terminal]
    assert [line.split()[0] for part in parts for line in part] == ["name", "----", "a", "bb"] * len(parts)
    assert {word for part in parts for word in part[0].split()} == {*HEADER}


@pytest.mark.parametrize("terminal", [3], indirect=True)
def test_a_terminal_that_is_too_narrow_gets_a_column_at_a_time(terminal: int) -> None:
    assert len(text.table(HEADER, ROWS).split("\n\n")) == len(HEADER) - 1


@pytest.mark.parametrize("terminal", [50, 200], indirect=True)
def test_a_paragraph_fits_the_terminal_and_stays_readable(terminal: int) -> None:
    assert max(map(len, text.paragraph("word " * 60).splitlines())) <= min(terminal, text.LINE)


def test_names_from_outside_are_no_html() -> None:
    assert "<b>" not in text.html_table(("<b>",), [("<b>",)], "<b>")


def test_objects_say_what_they_are_in_a_line() -> None:
    params, data = MODELS["plain"], load_dataset("digits", MODELS["plain"].spec.network)
    ladder = verify("zoo:digits-xs", ("cpu",))
    shown = [params.spec, params, data, dsodenet.estimate(params), dsodenet.zoo.models(), ladder]
    with dsodenet.Accelerator(params, "cpu") as accelerator:
        shown.append(accelerator)
    pytest.importorskip("pynq")
    report = dsodenet.selftest()
    assert all(item.name in report.table() and item.name in report._repr_html_() for item in report.items)
    for item in [*shown, report]:
        assert "\n" not in repr(item)
        assert len(repr(item)) < 250
    assert "1,437 training" in repr(data) or "1,438 training" in repr(data)
    assert "closed" in repr(accelerator)


def test_the_zoo_is_a_table_and_cards() -> None:
    found = dsodenet.zoo.models()
    assert [model.model for model in found.models] == [f"zoo:{name}" for name in dsodenet.zoo.names()]
    xs = next(model for model in found.models if model.model == "zoo:digits-xs")
    params = dsodenet.Params.load("zoo:digits-xs")
    assert xs.parameters == sum(array.size for array in params.arrays.values())
    data = load_dataset("digits", params.spec.network)
    right = Reference(params).predict(data.test_images).argmax(axis=1) == data.test_labels
    assert np.isclose(xs.qat_accuracy, right.mean())
    assert "zoo:digits-xs" in found._repr_html_()
    assert dsodenet.zoo.card("digits-xs") == dsodenet.zoo.card("zoo:digits-xs")
    with pytest.raises(InputError, match="the zoo has zoo:cifar10-l"):
        dsodenet.zoo.card("imagenet")
