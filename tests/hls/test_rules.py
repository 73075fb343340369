"""The vendor's rules on C++: each is kept by a small good kernel and found broken, by line, in a planted fault.

The shapes of the kernel as it was before the rules were read are among the faults: arguments of several processes,
a reader that holds a reference, a status that is written and read in one region, arrays of structs, a region in a
loop that waits for its result, INTERFACE below the top, and one region at two places with ALLOCATION.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dsodenet.errors import RunError, ToolError
from dsodenet.hls.rules import RULES, check_rules

PARTS = dict(
    part.split("\n", 1)
    for part in (Path(__file__).parent / "rule_plants.cpp").read_text(encoding="utf-8").split("\n//// ")[1:]
)
GOOD = PARTS.pop("good")
FAULTS = PARTS  # "rule: what is wrong" -> C++


def kernel(folder: Path, content: str) -> Path:
    (folder / "kernel.cpp").write_text(content, encoding="utf-8")
    return folder


def test_a_kernel_that_keeps_the_rules(tmp_path: Path) -> None:
    assert check_rules(kernel(tmp_path, GOOD)) == []


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault(name: str, tmp_path: Path) -> None:
    content = GOOD + FAULTS[name]
    marked = [number for number, text in enumerate(content.splitlines(), 1) if "// <-" in text]
    found = check_rules(kernel(tmp_path, content))
    rule = name.split(":")[0]
    assert {(f.file, f.line, f.rule) for f in found} == {("kernel.cpp", number, rule) for number in marked}
    assert all(f.paragraph and f.sentence in str(f) for f in found)
    assert str(found[0]).startswith(f"kernel.cpp:{marked[0]}: {rule}: ")


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule.name for rule in RULES} == {name.split(":")[0] for name in FAULTS}


def test_what_synthesis_does_not_see_may_allocate(tmp_path: Path) -> None:
    hidden = "static void trace(int word) {\n#ifndef __SYNTHESIS__\n    std::vector<int> kept;\n#endif\n}\n"
    assert check_rules(kernel(tmp_path, GOOD + hidden)) == []


def test_missing_parser_and_missing_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"no C\+\+ of a kernel"):
        check_rules(tmp_path)
    monkeypatch.setitem(sys.modules, "tree_sitter_cpp", None)
    with pytest.raises(ToolError, match=r"tree-sitter-cpp; install dsodenet\[lower\]"):
        check_rules(kernel(tmp_path, GOOD))
