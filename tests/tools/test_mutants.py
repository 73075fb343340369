"""The mutation runs: their faults are still faults of these sources, and no mutant of an annotation is counted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tools import mutants
from tools.planted import PLANTED, Planted

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_fits_the_sources(fault: Planted) -> None:
    assert (ROOT / fault.file).read_text(encoding="utf-8").count(fault.old) == 1
    assert fault.new != fault.old
    files = [word for word in shlex.split(fault.tests) if word.endswith(".py")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


def test_modules_and_their_tests_are_there() -> None:
    for module, tests in mutants.MODULES.items():
        assert (ROOT / "host" / "dsodenet" / f"{module}.py").is_file()
        assert all((ROOT / file).is_file() for file in tests.split())
    for survivor, reason in json.loads(mutants.REASONS.read_text(encoding="utf-8")).items():
        module, line = survivor.split(": ", 1)
        assert line in (ROOT / "host" / "dsodenet" / f"{module}.py").read_text(encoding="utf-8"), "the line has changed"
        assert reason


def test_places_in_annotations_are_no_mutants() -> None:
    source = "x: int | None = 1 | 2\ndef f(a: int | str) -> int | None:\n    return a | 3\n"
    found = mutants.annotations(source)
    assert (1, 3) in found
    assert (1, 7) in found
    assert (2, 9) in found
    assert (2, 23) in found
    assert not {(1, 16), (1, 18), (3, 11), (3, 13)} & found


def test_a_change_is_told_without_its_line() -> None:
    diff = "--- a.py\n+++ b.py\n@@ -3,1 +3,1 @@\n x\n-    a = b + 1\n+    a = b - 1\n"
    assert mutants._change(diff) == "a = b + 1 -> a = b - 1"
