"""README and pages say what the code and the kept results say, and name only what is there."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from dsodenet.bench.studies import STUDIES
from dsodenet.cli.entry import parser
from dsodenet.cli.registry import COMMANDS
from dsodenet.ladder import rungs_text
from dsodenet.runs import Run
from tests.test_architecture import GRAPH, ORDER, modules, unit
from tools import pages, results

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("overlays/*/README.md"),
    ]
)
TEXT = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}


def kept(name: str) -> Any:
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def headlines() -> list[str]:
    """The values of README's table, from the results that the documents keep."""
    demo, cycles, resources, bench = kept("demo"), kept("cycles"), kept("resources"), kept("bench-l")
    medium, sure, large = (
        json.loads(Run.of(f"zoo:cifar10-{name}").metrics.read_text(encoding="utf-8")) for name in ("m", "m-conv", "l")
    )
    kernel, sure_kernel = (
        next(row for row in kept(f"bench-cifar10-{name}")["rows"] if (row["scope"], row["batch"]) == ("kernel", 1))
        for name in ("m", "m-conv")
    )
    words = sum(rung["words"] for rung in demo["rungs"])
    accuracies = ", ".join(f"{value:.2%}".replace("%", " %") for value in demo["accuracy"].values())
    row, pumped = (
        next(row for row in cycles["rows"] if (row["size"], row["solver"], row["lanes"]) == ("l", "euler", lanes))
        for lanes in ("3x16x64", "4x16x64@2")
    )
    found = resources["lanes"]["3x16x64"]
    (ratio,) = [r for r in bench["ratios"] if (r["batch"], r["scope"], r["software_kind"]) == (1, "kernel", "measured")]
    return [
        f"{demo['differing']} of {words:,}",
        accuracies,
        f"{medium['float_accuracy']:.2%}, {medium['qat_accuracy']:.2%}".replace("%", " %"),
        f"{kernel['cycles']:,} cycles, {kernel['median_us']:.1f} µs at {kernel['clock_mhz']:.3f} MHz",
        f"{sure['float_accuracy']:.2%}, {sure['qat_accuracy']:.2%}, {sure_kernel['cycles']:,} cycles".replace(
            "%", " %"
        ),
        f"{large['float_accuracy']:.2%}, {large['qat_accuracy']:.2%}".replace("%", " %"),
        f"{row['cycles']:,} cycles",
        f"{row['share_of_device']:.1%}".replace("%", " %"),
        ", ".join(f"{found[name]:,.0f}" for name in ("DSP", "BRAM36", "URAM", "LUT")),
        f"{pumped['cycles']:,} cycles, {resources['lanes']['4x16x64@2']['DSP']:,.0f} DSPs",
        f"{ratio['ratio_to_best']:.1f} times as fast",
    ]


def table_values(text: str) -> list[str]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    start = next(i for i, line in enumerate(rows) if line.startswith("| figure | value |"))
    return [row.split(" | ")[1] for row in rows[start + 2 :] if row.count("|") == 5][: len(headlines())]


def test_readme_shows_what_was_measured() -> None:
    assert table_values(TEXT["README.md"]) == headlines()


def test_readme_shows_the_ladder_that_was_printed() -> None:
    assert rungs_text(kept("demo")) in TEXT["README.md"]
    assert rungs_text(kept("demo")) not in TEXT["README.md"].replace(" 3590 ", " 3591 ")


def test_an_edited_figure_shows() -> None:
    cycles = headlines()[6]
    assert table_values(TEXT["README.md"].replace(cycles, "12,345 cycles")) != headlines()


def test_readme_is_short() -> None:
    assert len(TEXT["README.md"].splitlines()) <= 130


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", TEXT)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[\w-]*)?\)", TEXT[name]):
        if not target.startswith("http") and target:
            assert (ROOT / name).parent.joinpath(target).exists(), target
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", TEXT[name]):
        page = (ROOT / name).parent / target if target else ROOT / name
        assert anchor in anchors(page.read_text(encoding="utf-8")), anchor


@pytest.mark.parametrize("name", TEXT)
def test_commands_are_there(name: str) -> None:
    text = TEXT[name]
    for command, study in re.findall(r"(?<!from)(?:^|[`\s])dsodenet ([a-z]+)(?: ([a-z]+))?", text):
        if command in ("import", "runs"):
            continue  # Python, or a sentence
        assert command in {*COMMANDS, "study"}, command
        if command == "study" and study:
            assert study in STUDIES, study
    for module in re.findall(r"python -m (tools[\w.]*|tests[\w.]*)", text):
        assert importlib.util.find_spec(module), module
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z0-9-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


def unknown_options(text: str) -> list[str]:
    """Options that a document gives to a command of `dsodenet`, and that its parser does not know."""
    below = pages.choices(parser())
    found = []
    for line in re.findall(r"(?:^|`|-m )dsodenet ([^`\n#>|]+)", text, re.MULTILINE):
        words = line.split()
        if words[0] not in below:
            continue  # test_commands_are_there says so
        sub = below[words[0]]
        if words[0] == "study":
            sub = pages.choices(sub).get(words[1] if len(words) > 1 else "", sub)
        found += [f"{words[0]} {word}" for word in words if word.startswith("--") and word not in options(sub)]
    return found


@pytest.mark.parametrize("name", TEXT)
def test_options_are_there(name: str) -> None:
    assert unknown_options(TEXT[name]) == []


def test_an_unknown_option_shows() -> None:
    assert unknown_options("```\ndsodenet lower RUN --lanes 4 # --no\n```") == ["lower --lanes"]
    assert unknown_options("Try `dsodenet study host --recipes 3`.") == ["study --recipes"]


def rows(picture: str) -> dict[str, float]:
    """How far down each package stands in the picture of the packages."""
    found = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*font-weight="bold">([^<]+)<', picture)
    return {name: float(y) for y, names in found for name in names.split(", ")}


def upward(picture: str) -> list[str]:
    """Each import of a package that the picture draws above."""
    row = rows(picture)
    pairs = {(unit(module), unit(other)) for module, others in GRAPH.items() for other in others}
    return sorted(f"{name} imports {other}" for name, other in pairs if row[name] > row[other])


def test_the_picture_of_the_packages_is_that_of_the_imports() -> None:
    picture = (ROOT / "docs" / "packages.svg").read_text(encoding="utf-8")
    assert set(rows(picture)) == set(ORDER)
    assert upward(picture) == []
    swapped = {"bench, zoo": "adapting, ladder, evaluation", "adapting, ladder, evaluation": "bench, zoo"}
    planted = re.sub(">(bench, zoo|adapting, ladder, evaluation)<", lambda match: f">{swapped[match[1]]}<", picture)
    assert "bench imports ladder" in upward(planted)


IMPORTED_AS = {"Pillow": "PIL", "scikit-learn": "sklearn"}


def libraries_told(page: str) -> dict[str, set[str]]:
    """Package -> the libraries that the page on the architecture allows it."""
    told: dict[str, set[str]] = {}
    for names, libraries in re.findall(r"^\| (`[^|]*`) \| [^|]* \|([^|]*)\|$", page, re.MULTILINE):
        words = {IMPORTED_AS.get(word, word).lower() for word in libraries.strip().split(", ") if word}
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), words)
    return told


def libraries_imported() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in ORDER}
    for module, file in modules(ROOT / "host").items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            tops = {name.split(".")[0] for name in names}
            found[unit(module)] |= {name.lower() for name in tops - sys.stdlib_module_names - {"dsodenet"}}
    return found


def test_the_page_on_the_architecture_names_the_libraries_of_each_package() -> None:
    page, imported = TEXT["docs/architecture.md"], libraries_imported()
    del imported["__main__"]
    assert libraries_told(page) == imported
    assert libraries_told(page.replace("| torch, Brevitas |", "| Brevitas |")) != imported


def test_blocks_of_pages_are_there() -> None:
    named = {name for text in TEXT.values() for name in re.findall(r"^\{\{ (\w+) \}\}$", text, re.MULTILINE)}
    assert named == set(pages.BLOCKS)
    for name in named:
        assert "{{" not in pages.on_page_markdown(f"{{{{ {name} }}}}")
    with pytest.raises(KeyError):
        pages.on_page_markdown("{{ nothing }}")


@pytest.mark.parametrize("name", results.MEASUREMENTS)
def test_measurements_are_commands_that_are_there(name: str) -> None:
    _, module, *words = results.MEASUREMENTS[name]
    assert importlib.util.find_spec(module)
    if module == "dsodenet":
        parser().parse_args([*words, "--json", "x.json"])  # raises InputError


def test_every_measurement_is_kept_with_its_text() -> None:
    folder = ROOT / "docs" / "results"
    for name in results.MEASUREMENTS:
        assert (folder / f"{name}.json").is_file(), name
        assert (folder / f"{name}.txt").read_text(encoding="utf-8").strip(), name
