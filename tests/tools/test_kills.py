"""The tool that kills commands: it passes what is well, and shows what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import kills
from tools.kills import CASES, Case, ended, faults, files


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `dsodenet spec` has nothing to stand on."""
    folder = tmp_path_factory.mktemp("kills") / "start"
    folder.mkdir()
    (folder / "x.json").write_text("1", encoding="utf-8")
    return folder


INPUTS = Case((), "overlay zoo:digits-xs --kernel rtl --inputs-only --out build", "", "spec xs")


def test_a_command_that_keeps_its_word_has_no_faults(start: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "x.json").write_text("1", encoding="utf-8")
    assert ended(INPUTS.command, whole) == (0, "")
    for number, at_s in enumerate((0.0, 0.3)):
        how = list(kills.SIGNALS.values())[number]
        assert faults(INPUTS, start, files(whole, True), at_s, how, tmp_path / str(number)) == []


def test_what_is_missing_left_over_or_changed_shows(start: Path, tmp_path: Path) -> None:
    listing = Case((), "spec xs", "", "spec nothing-such --json")
    found = faults(listing, start, {"gone.txt": "", "x.json": "other"}, 0.0, 9, tmp_path / "a")
    assert found == ["missing: gone.txt", "differs: x.json"]
    assert faults(listing, start, {}, 0.0, 9, tmp_path / "b") == ["left over: x.json"]


def test_a_command_that_fails_once_more_shows(start: Path, tmp_path: Path) -> None:
    (found,) = faults(Case((), "export nowhere"), start, {"x.json": "", "more": ""}, 0.0, 9, tmp_path / "c")[:1]
    assert found.startswith("once more, it ends with 2: dsodenet: nowhere")


def test_every_case_is_of_a_command() -> None:
    assert all(case.command.split()[0] == name for name, case in CASES.items())
