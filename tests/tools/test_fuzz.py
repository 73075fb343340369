"""Every reader of files from outside: what was once read wrongly, and a little fresh damage, ends in words.

`make fuzz MINUTES=N` does the same for longer.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsodenet.errors import DsodenetError, RunError
from tools import fuzz
from tools.damage import damaged
from tools.fuzz_formats import FORMATS

pytestmark = pytest.mark.usefixtures("needs")
INPUTS = 25


@pytest.fixture
def needs() -> None:
    for name in ("pynq", "torch", "PIL", "sklearn"):
        pytest.importorskip(name)


@pytest.mark.parametrize("name", FORMATS)
def test_good_files_are_read(name: str, tmp_path: Path) -> None:
    for files in FORMATS[name].good():
        (tmp_path / "x").mkdir(exist_ok=True)
        for file in (tmp_path / "x").iterdir():
            file.unlink()
        for key, data in files.items():
            (tmp_path / "x" / key).write_bytes(data)
        if name == "manifest":  # one of another account
            with pytest.raises(RunError, match="was not compiled by this account"):
                FORMATS[name].read(tmp_path / "x")
        elif name != "photo":
            FORMATS[name].read(tmp_path / "x")


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_once_read_wrongly(name: str, tmp_path: Path) -> None:
    for files in fuzz.kept(name):
        assert fuzz.attempt(FORMATS[name].read, files, tmp_path / "x") == ""


@pytest.mark.parametrize("name", FORMATS)
def test_fresh_damage(name: str, tmp_path: Path) -> None:
    assert fuzz.fuzz(name, 600, 1, tmp_path / "x", INPUTS) == (INPUTS, {})


def test_what_a_reader_may_not_do_is_seen(tmp_path: Path) -> None:
    def raises(folder: Path) -> None:
        json.loads((folder / "a.json").read_bytes())

    class RawError(DsodenetError):
        """Does not escape what it says, as the package's own do."""

        def __str__(self) -> str:
            return str(self.args[0])

    def shows(folder: Path) -> None:
        error = RawError("")
        error.args = ((folder / "a.json").read_text(),)
        raise error

    assert fuzz.attempt(raises, {"a.json": b"{}"}, tmp_path / "x") == ""
    assert fuzz.attempt(raises, {"a.json": b"{"}, tmp_path / "x").startswith("JSONDecodeError in decoder.py")
    assert "unprintable" in fuzz.attempt(shows, {"a.json": b"\x1b[2J"}, tmp_path / "x")
    assert "4000 characters" in fuzz.attempt(shows, {"a.json": b"x" * 4000}, tmp_path / "x")


def test_damage_is_the_same_for_a_seed() -> None:
    import random

    files = {"a.json": b'{"a": [1, {"b": "c"}]}'}
    copies = [[damaged(files, rng) for _ in range(20)] for rng in (random.Random(1), random.Random(1))]
    assert copies[0] == copies[1]
    assert len({copy["a.json"] for copy in copies[0]}) > 15
