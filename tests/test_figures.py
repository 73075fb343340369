"""The documents say what code and kept results say, and no figure is typed by hand where it could drift."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dsodenet.bench import figures, notebooks
from dsodenet.bench.figures_measured import NOTEBOOKS
from dsodenet.bench.kept import KINDS, load, take
from dsodenet.errors import InputError, ToolError
from dsodenet.estimate import of_spec
from dsodenet.files import read_text
from dsodenet.lanes import with_lanes
from dsodenet.spec import Spec

TEXTS = {name: read_text(figures.ROOT / name) for name in figures.DOCUMENTS}
KEPT = sorted(path.stem for path in (figures.ROOT / "host/dsodenet/bench/kept").glob("*.json"))
CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)\n]*\)|^    [^\n]*$", re.DOTALL | re.MULTILINE)
VERSION = re.compile(r"\b(Python|Vivado|pynq|PYNQ|arXiv) \d+\.\d+(\.\d+)?")
NUMBER = re.compile(r"(?<![\w./\[])\d[\d,.]*(?!\w)")
WITH_UNIT = re.compile(r"\d[\d,.]*\s*(%|(s|ms|µs|us|MiB|GMAC/s|images/s|cycles|points|W|mJ|seconds|minutes|hours)\b)")


def by_hand(text: str) -> list[str]:
    """Table cells with a number, and numbers with a unit of measurement, outside the blocks; code and versions apart."""
    kept = VERSION.sub("", CODE.sub("", figures.MARKED.sub("", text)))
    cells = [cell.strip() for line in kept.splitlines() if line.lstrip().startswith("|") for cell in line.split("|")]
    return [cell for cell in cells if NUMBER.search(cell)] + [match[0] for match in WITH_UNIT.finditer(kept)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the documents."""
    for name in figures.DOCUMENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(figures.ROOT / name, tmp_path / name)
    return tmp_path


def test_the_documents_are_as_they_are_rendered() -> None:
    """`make figures` writes them anew."""
    assert figures.check() == []


def test_every_block_is_in_some_document() -> None:
    assert {name for text in TEXTS.values() for name in figures.block_names(text)} == set(figures.BLOCKS)


@pytest.mark.parametrize("name", TEXTS)
def test_no_figure_is_typed_by_hand(name: str) -> None:
    assert by_hand(TEXTS[name]) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("| accuracy | 99.4 |", 1),
        ("| accuracy | 99.44 % | `make demo` |", 2),
        ("| words | 15,000 |\n", 1),
        ("it takes 79 µs here", 1),
        ("it takes\n12.5 ms here", 1),
        ("| in w8a8 by hls4ml | `make 3` | 3x3 |", 0),
        ("| [01_a](01_a.ipynb) | Python 3.10 and pynq 4.0.0 |", 0),
        ("```\n| 3 | 12 ms |\n```", 0),
        ("    pytest 3 s\n| 3 |", 1),
        ("one <!-- figures: a -->12 ms<!-- end --> line", 0),
        ("<!-- figures: a -->\n| 12 |\n<!-- end -->\n| 13 |", 1),
    ],
)
def test_a_figure_typed_by_hand_is_noticed(text: str, found: int) -> None:
    assert len(by_hand(text)) == found


def test_a_changed_document_is_named_with_its_block_and_the_difference(checkout: Path) -> None:
    assert figures.check(checkout) == []
    path = checkout / "hls" / "README.md"
    text = path.read_text()
    path.write_text(text.replace("| `0x010` | COMMAND", "| `0x014` | COMMAND"))
    (message,) = figures.check(checkout)
    assert message.startswith("hls/README.md differs in registers\n")
    assert "\n-| `0x014` | COMMAND" in message
    assert "\n+| `0x010` | COMMAND" in message
    assert figures.write(checkout) == [path]
    assert path.read_text() == text
    assert figures.write(checkout) == []


def test_a_change_of_the_code_fails_the_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.main(["--check"]) == 0
    monkeypatch.setattr("dsodenet.bench.figures_counted.DEVICE_FF", 460_801)
    assert figures.main(["--check"]) == 1
    output = capsys.readouterr().out
    assert "overlays/README.md differs in device, resources" in output
    assert "overlays/rtl/README.md differs in resources" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a <!-- figures: nothing -->x<!-- end -->", "block is 'nothing', but it must be one of "),
        ("a <!-- figures: one -->x", "needs one <!-- end --> after it"),
        ("a <!-- figures: one --><!-- figures: one -->x<!-- end -->", "needs one <!-- end --> after it"),
        ("x<!-- end -->", "needs one <!-- end --> after it"),
        ("<!-- figures: one -->x<!-- end -->", "must stand within a line of words, or have lines of its own"),
        ("a <!-- figures: one -->\nx\n<!-- end -->", "must stand within a line of words, or have lines of its own"),
        ("a <!-- figures: two -->x<!-- end -->", "has several lines"),
    ],
)
def test_a_block_that_cannot_be_rendered_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        figures.render(text, "README.md", {"one": lambda: "1", "two": lambda: "1\n2"})


def test_blocks_are_replaced_in_a_line_and_on_lines_of_their_own() -> None:
    text = "a <!-- figures: one -->old<!-- end --> b\n<!-- figures: two -->\n<!-- end -->\n"
    after = figures.render(text, "x", {"one": lambda: "1", "two": lambda: "1\n2\n"})
    assert after == "a <!-- figures: one -->1<!-- end --> b\n<!-- figures: two -->\n1\n2\n<!-- end -->\n"
    assert figures.render(after, "x", {"one": lambda: "1", "two": lambda: "1\n2\n"}) == after


def test_one_document_that_cannot_be_rendered_leaves_all_as_they_were(checkout: Path) -> None:
    path = checkout / "hls" / "README.md"
    path.write_text(path.read_text().replace("`0x010`", "`0x014`"))
    (checkout / "notebooks" / "README.md").write_text("a <!-- figures: nothing -->x<!-- end -->")
    before = path.read_text()
    with pytest.raises(InputError, match=r"notebooks/README\.md: block is 'nothing'"):
        figures.write(checkout)
    assert path.read_text() == before


def test_without_a_checkout_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="source checkout"):
        figures.check(tmp_path)


def test_every_notebook_has_a_time() -> None:
    assert list(NOTEBOOKS) == notebooks.names()


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_only_what_is_used(name: str) -> None:
    result = load(name)
    assert take(result, KINDS[name.partition("-")[0]].shape, name) == result


def test_kept_cycles_are_those_of_the_closed_form() -> None:
    """A change of the engine's schedule asks for `make cycles`."""
    result = load("cycles")
    for row in result["rows"] if result else ():
        spec = Spec.named(row["size"]).with_solver(row["solver"], row["n_steps"])
        assert of_spec(with_lanes(spec, row["lanes"], "rtl")).command_cycles(1) == row["cycles"]
