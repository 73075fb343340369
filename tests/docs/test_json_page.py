"""The page JSON of the commands: complete, and true of the code. Answers of all tests are held to it by conftest."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dsodenet.bench.studies import STUDIES
from dsodenet.cli.registry import COMMANDS
from tests.json_page import EVERYWHERE, PAGE, SECTIONS, sections, undocumented

ROOT = Path(__file__).parents[2]
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "host").rglob("*.py"))


def test_every_command_has_a_section() -> None:
    assert set(SECTIONS) == {EVERYWHERE, *COMMANDS, *(f"study {name}" for name in STUDIES)}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_in_the_code(title: str) -> None:
    assert [key for key in SECTIONS[title][0] if not re.search(rf"\b{re.escape(key)}\b", SOURCES)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_kept_results_have_keys_of_the_page(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    command = (data.get("command") or "").removeprefix("dsodenet ")
    if command not in SECTIONS:
        pytest.skip("not of a command")
    assert list(undocumented(command, data)) == []


def test_a_key_that_is_missing_shows() -> None:
    answer = {"rungs": [{"backend": "cpu", "differing": 0, "left": 1}], "left_out": {"rtl": "why"}, "images": "x"}
    assert list(undocumented("verify", answer)) == ["rungs[].left"]
    cut = sections(PAGE.read_text(encoding="utf-8").replace("`rungs[]`", ""))
    assert list(undocumented("verify", {"rungs": []}, cut)) == ["rungs"]
