"""One way to start a thing: every command and study by one registry, one meaning of --json, one small Makefile."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsodenet.bench.studies import STUDIES
from dsodenet.cli import entry
from dsodenet.cli.entry import extra_of, parser
from dsodenet.cli.registry import COMMANDS
from dsodenet.command import Command, Values, give
from dsodenet.rtl.cycles import estimate
from dsodenet.runs import Run, zoo_names
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import TABLEAUS
from dsodenet.spec.specification import NORMS
from tests.command_line import call, refused

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "host" / "dsodenet"
# Targets of one step that a newcomer looks for; every other target must save several steps.
SHORT_TARGETS = {"help", "setup", "demo", "lab", "test", "docs", "results", "wheel", "paths", "audit", "fuzz"}
SHORT_TARGETS |= {"board-pythons", "clean"}


# one registry -------------------------------------------------------------------------------------------------------


PARSERS = ("argparse.ArgumentParser", "ArgumentParser", "Parser")  # and not tree_sitter.Parser, which reads C++


def starts(source: str) -> list[str]:
    """What a module does that makes it a program: a parser of its own, or code for `python -m`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PARSERS:
            found.append("a parser")
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            found.append("a main")
    return found


def test_nothing_in_the_package_starts_but_the_command_line() -> None:
    programs = {
        str(path.relative_to(PACKAGE)): found
        for path in PACKAGE.rglob("*.py")
        if (found := starts(path.read_text(encoding="utf-8")))
    }
    assert programs == {"cli/entry.py": ["a parser"]}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import argparse\nargparse.ArgumentParser()", "a parser"),
        ("from dsodenet.cli import Parser\nParser(prog='x')", "a parser"),
        ("if __name__ == '__main__':\n    pass", "a main"),
    ],
)
def test_a_planted_program_shows(source: str, found: str) -> None:
    assert starts(source) == [found]


EVERY = [*((name,) for name in COMMANDS), *(("study", name) for name in STUDIES)]


def of(words: tuple[str, ...]) -> Command:
    return STUDIES[words[1]] if words[0] == "study" else COMMANDS[words[0]]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_shows_an_example_that_parses(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(*words, "--help")
    assert ended.value.code == 0
    shown, command = " ".join(capsys.readouterr().out.split()), of(words)
    assert command.example in shown
    assert command.help in shown
    given = command.example.split(" > ")[0].split()
    assert given[0] == "dsodenet"
    assert parser().parse_args(given[1:]).run_command is command.run


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_no_help_says_a_default_twice(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call(*words, "--help")
    options = re.split(r"\n  (?=--)", capsys.readouterr().out)
    assert [option for option in options if option.count("default") > 1 and "of the default" not in option] == []


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_takes_json_and_quiet(words: tuple[str, ...]) -> None:
    given = of(words).example.split(" > ")[0].split()[1:]
    given = [word for word in given if word != "--json" and not word.endswith(".json")]
    args = parser().parse_args([*given, "--json", "--quiet"])
    assert (args.json, args.quiet) == (True, True)
    assert parser().parse_args([*given, "--json", "x.json"]).json == Path("x.json")
    assert parser().parse_args(given).json is False


def test_words_that_are_no_command_or_study_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'solver'" in refused(capsys, "study", "solver")
    assert "STUDY" in refused(capsys, "study")
    assert "COMMAND" in refused(capsys)


# one answer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "status"), [({}, 0), ({"ok": True}, 0), ({"differing": 0}, 0)])
def test_an_answer_without_a_fault_ends_with_0(data: dict[str, object], status: int) -> None:
    assert give(Values(data), False) == status


@pytest.mark.parametrize("data", [{"ok": False}, {"differing": 2}, {"ok": True, "differing": 1}])
def test_an_answer_with_a_fault_ends_with_1(data: dict[str, object]) -> None:
    assert give(Values(data), False) == 1


def test_json_is_printed_alone_or_written_beside_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = Values({"a": 1}, lambda data: "the text")
    give(answer, False)
    assert capsys.readouterr().out == "the text\n"
    give(answer, True)
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "a": 1}
    give(answer, tmp_path / "a.json")
    assert capsys.readouterr().out == "the text\n"
    assert json.loads((tmp_path / "a.json").read_text()) == {"schema": 1, "a": 1}
    give(answer, tmp_path / "silent.json", silent=True)
    assert (capsys.readouterr().out, (tmp_path / "silent.json").exists()) == ("", False)


@pytest.mark.parametrize("words", [("recipes",), ("zoo",), ("spec", "xs"), ("estimate", "xs")], ids=" ".join)
def test_a_command_prints_its_json_or_writes_it(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*words, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert call(*words, "--json", tmp_path / "x.json") == 0
    assert json.loads((tmp_path / "x.json").read_text()) == printed
    text = capsys.readouterr().out
    assert call(*words) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    "words", [("recipes",), ("demo",), ("study", "host"), ("study", "recipes"), ("study", "ladder")], ids=" ".join
)
def test_a_json_file_that_cannot_be_is_refused_before_the_work(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "must be a .json file" in refused(capsys, *words, "--json", "out.txt")


@pytest.mark.parametrize("words", [("estimate", "xs"), ("selftest", "--quiet")], ids=" ".join)
def test_no_json_carries_rendered_text(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words, "--json") == 0

    def strings(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for inner in value.values():
                yield from strings(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from strings(inner)

    assert not any("\n" in text for text in strings(json.loads(capsys.readouterr().out)))
    assert call(*words) == 0
    assert capsys.readouterr().out.count("\n") > 5


# what commands say --------------------------------------------------------------------------------------------------


def test_zoo_lists_each_model_with_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("zoo", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    rows = {row["model"].removeprefix("zoo:"): row for row in result["models"]}
    assert sorted(rows) == zoo_names()
    assert result["kinds"]["cycles"] == "estimated"
    for name, row in rows.items():
        run = Run.of(f"zoo:{name}")
        params, metrics = Params.load(run.folder), json.loads(run.metrics.read_text())
        assert row["parameters"] == sum(array.size for array in params.arrays.values()), "as they lie in the file"
        assert row["cycles"] == estimate(params).cycles
        assert row["float_accuracy"] == (metrics["target_float_accuracy"] or metrics["float_accuracy"])
        assert row["data"] == (metrics["target"] or metrics["data"])["name"]
    turned = json.loads(Run.of("zoo:digits-turned").metrics.read_text())
    assert rows["digits-turned"]["data"] == "digits-rotated (generated)"
    assert rows["digits-turned"]["qat_accuracy"] == turned["target_qat_accuracy"] != turned["qat_accuracy"]
    assert call("zoo") == 0
    text = capsys.readouterr().out
    assert all(f"zoo:{name}" in text for name in zoo_names())


def test_a_demo_that_has_no_place_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in refused(capsys, "demo", "--out", "zoo:demo")


def test_the_choices_of_studies_are_those_that_they_know() -> None:
    """The registry names them without importing torch."""
    pytest.importorskip("torch")
    gradients, norms = (
        importlib.import_module(f"dsodenet.bench.studies.{name}") for name in ("gradient_study", "norm_study")
    )

    def default(study: str, option: str) -> str:
        return str(next(options["default"] for names, options in STUDIES[study].arguments if option in names))

    assert default("gradients", "--activation").split(",") == list(gradients.ACTIVATIONS)
    assert default("norms", "--norms").split(",") == list(NORMS)
    assert default("solvers", "--solvers").split(",") == list(TABLEAUS)
    (text,) = (options["help"] for names, options in STUDIES["norms"].arguments if "--solvers" in names)
    assert text == f"some of {','.join(norms.SOLVERS)}"


# what is missing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("torch", "train"),
        ("sklearn", "train"),
        ("PIL", "train"),
        ("matplotlib", "train"),
        ("optuna", "explore"),
        ("qonnx", "train"),
        ("hls4ml", "lower"),
        ("pynq", "sim"),
        ("numpy", None),
        ("dsodenet", None),
    ],
)
def test_the_extra_of_a_package_is_that_of_the_metadata(package: str, extra: str | None) -> None:
    assert extra_of(package) == extra


def test_a_package_without_an_extra_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(args: object) -> None:
        raise ModuleNotFoundError("no", name="dsodenet.nothing")

    broken = Command(absent, "broken", "dsodenet recipes")  # type: ignore[arg-type]
    monkeypatch.setitem(entry.COMMANDS, "recipes", broken)
    with pytest.raises(ModuleNotFoundError):
        call("recipes")


def test_a_library_that_catches_the_end_does_not_hide_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def caught(args: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            raise AttributeError("half a module") from None

    monkeypatch.setitem(entry.COMMANDS, "recipes", Command(caught, "caught", "dsodenet recipes"))  # type: ignore[arg-type]
    assert call("recipes") == 143
    assert capsys.readouterr().err == "dsodenet: terminated; earlier results are as they were\n"
    assert call("zoo", "--quiet") == 0


# make ---------------------------------------------------------------------------------------------------------------


def targets(text: str) -> dict[str, list[str]]:
    """Target -> its command lines; comments left out."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if match := re.match(r"([a-z0-9-]+):(?!=)", line):
            name = match[1]
            found[name] = []
        elif line.startswith("\t") and name and not line.startswith("\t#"):
            found[name].append(line)
        elif line.strip():
            name = ""
    return found


def needless(text: str) -> list[str]:
    """Targets that only give a command another name."""
    return [name for name, lines in targets(text).items() if len(lines) < 2 and name not in SHORT_TARGETS]


def test_make_has_a_target_only_where_it_saves_steps() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(targets(text)) >= SHORT_TARGETS | {"lint", "aarch64"}
    assert needless(text) == []
    assert needless(text + "\nrates: setup  ## cycles\n\t$(BIN)/python -m tools.rtl.rates\n") == ["rates"]
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(targets(text))
