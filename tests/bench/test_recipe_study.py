"""The table of recipes: its rows, its cells on disk, its words."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.bench.studies import recipe_report, recipe_rows
from dsodenet.bench.studies import recipe_study as recipes
from dsodenet.bench.studies.recipe_rows import DEFAULT, FULL, Row, chosen, rows
from dsodenet.cli.entry import parser
from dsodenet.data.datasets import load_dataset
from dsodenet.errors import InputError
from dsodenet.spec.specification import FLOAT_ONLY_NORMS, NORMS
from dsodenet.training.recipes import RECIPES
from tests.command_line import call


def tiny() -> recipe_rows.Scale:
    network = dataclasses.replace(DEFAULT.spec.network, channels=(4,))
    spec = dataclasses.replace(
        DEFAULT.spec, name="tiny", network=network, solver=dataclasses.replace(DEFAULT.spec.solver, n_steps=(1,))
    )
    options = dataclasses.replace(DEFAULT.options, epochs=1, qat_epochs=1, teacher_epochs=1, batch_size=256)
    return dataclasses.replace(DEFAULT, spec=spec, options=options, adaptation=options)


@pytest.mark.parametrize("scale", [DEFAULT, FULL])
def test_rows_cover_every_norm_recipe_and_comparison(scale):
    everything = rows(scale)
    names = [row.name for row in everything]
    assert len(set(names)) == len(names)
    assert {row.norm for row in everything} == set(NORMS)
    assert {row.recipe for row in everything} == {name for name, recipe in RECIPES.items() if recipe.quantises}
    assert all(row.against in names[: names.index(row.name)] for row in everything if row.against is not None)
    for row in everything:
        recipe = RECIPES[row.recipe]
        assert recipe.needs_teacher == (row.teacher or row.new_teacher)
        assert row.target is not None or not recipe.needs_target


def test_a_choice_takes_along_what_it_is_compared_with():
    assert [row.name for row in chosen(DEFAULT, "compress")] == [
        "baseline",
        "compressed 2x, not tuned",
        "compressed 2x, tuned",
    ]
    assert {row.group for row in chosen(DEFAULT, "normalisation")} == {"baseline", "normalisation"}
    with pytest.raises(InputError, match="only is 'magic', but it must be some of baseline, "):
        chosen(DEFAULT, "magic")


def test_cells_are_measured_once_and_kept(tmp_path, monkeypatch):
    table_rows = [
        Row("baseline", "baseline"),
        Row("norm layer", "normalisation", norm="layer", against="baseline"),
        Row("th-kd", "distillation", "th-kd", "baseline", teacher=True),
        Row("source only, digits-inverted", "digits-inverted", target="digits-inverted"),
    ]
    found = recipes.measure(table_rows, tiny(), 1, 1, tmp_path, True)
    assert [cell["row"] for cell in found] == [row.name for row in table_rows]
    plain, layer, distilled, source = found
    assert layer["integer_accuracy"] is None
    assert 0 <= layer["float_accuracy"] <= 1
    assert distilled["teachers"][0]["name"] == "wide"
    assert (distilled["teacher_seconds"], plain["teachers"]) == (0, [])  # trained in a run of its own
    # The same network on the same images: the integers of the run folder itself, measured here.
    from dsodenet.exporting.integers import extract, torch_logits
    from dsodenet.training.checkpoint import load_checkpoint

    run = next(path for path in tmp_path.iterdir() if path.name.startswith("source-only"))
    model, spec, _ = load_checkpoint(run)
    data = load_dataset("digits-inverted", spec.network)
    guesses = torch_logits(model, data.test_images, extract(model).logits_scale).argmax(axis=1)
    assert source["integer_accuracy"] == (guesses == data.test_labels).mean()
    layers = [p for name, p in model.named_parameters() if name.endswith(("weight", "bias"))]
    assert source["parameters"] == sum(p.numel() for p in layers)

    def fail(*_: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(recipes, "run_cell", fail)
    path = tmp_path / recipes.CELLS_FILE
    path.write_text(path.read_text() + '{"key": "cut sho')  # killed while it wrote
    assert recipes.measure(table_rows, tiny(), 1, 1, tmp_path, True) == found


def cell(row: str, seed: int, integer: float | None, real: float) -> dict[str, Any]:
    compared = {"dsodenet": 100, "full": 800, "residual": 3200}
    return {
        "row": row, "seed": seed,
        "integer_accuracy": integer, "float_accuracy": real, "source_float_accuracy": real,
        "student_seconds": 10.0, "teacher_seconds": 0.0,
        "parameters": 150, "macs": 120_000, "parameters_compared": compared,
        "teachers": [], "moved": 0.25 if row == "norm batch_shared" else None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.95, 0.96, 0.95), "helps"),
        ((0.85, 0.84, 0.85), "does not help"),
        ((0.95, 0.80, 0.92), "no clear difference"),
        ((0.90, 0.91, 0.90), "no clear difference"),
    ],
)
def test_a_gain_is_paired_and_judged_by_its_own_spread(values, verdict):
    table_rows = (Row("baseline", "baseline"), Row("norm layer", "normalisation", norm="layer", against="baseline"))
    base = (0.90, 0.91, 0.90)
    cells = [cell("baseline", s, v, v) for s, v in enumerate(base)] + [
        cell("norm layer", s, v, v) for s, v in enumerate(values)
    ]
    result = recipe_report.summary(table_rows, DEFAULT, cells) | {"processor": "a processor", "workers": 2}
    second = result["rows"][1]
    differences = np.subtract(values, base)
    assert second["gain"]["mean"] == pytest.approx(differences.mean())
    assert second["gain"]["sd"] == pytest.approx(differences.std(ddof=1))
    assert second["verdict"] == verdict
    text = recipe_report.text(result)
    assert verdict in text
    assert "12.5" in text  # 100 of 800 parameters
    assert "a processor" in text
    json.dumps(result)


def test_the_table_says_how_far_shared_statistics_move():
    names = ("baseline", "norm batch_shared")
    table_rows = (Row(names[0], "baseline"), Row(names[1], "normalisation", norm="batch_shared", against="baseline"))
    cells = [cell(name, seed, 0.9, 0.9) for name in names for seed in (0, 1)]
    cells[-1]["moved"] = 0.75
    about = {"processor": "a processor", "workers": 2}
    assert "0.50 ± 0.35 standard deviations" in " ".join(
        recipe_report.text(recipe_report.summary(table_rows, DEFAULT, cells) | about).split()
    )
    plain = recipe_report.summary(table_rows[:1], DEFAULT, cells[:2])
    assert "standard deviations" not in recipe_report.text(plain | about)


def test_float_only_rows_are_compared_in_float():
    cells = [cell("baseline", s, 0.5, 0.9) for s in (0, 1)] + [cell("norm layer", s, None, 0.95) for s in (0, 1)]
    table_rows = (Row("baseline", "baseline"), Row("norm layer", "normalisation", norm="layer", against="baseline"))
    second = recipe_report.summary(table_rows, DEFAULT, cells)["rows"][1]
    assert second["gain"]["mean"] == pytest.approx(0.05)
    assert second["integer_accuracy"] is None
    assert "layer" in FLOAT_ONLY_NORMS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "magic"], "only is 'magic'"),
        (["--seeds", "0"], "seeds is 0"),
        (["--json", "x.txt"], "it must be a .json file"),
    ],
)
def test_bad_words_are_refused(words, message, capsys, tmp_path):
    assert call("study", "recipes", "--out", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()


def options_of(*words: str) -> argparse.Namespace:
    return parser().parse_args(["study", "recipes", *words])


def test_other_data_have_no_rows_that_adapt():
    scale = recipes.scale_of(options_of("--data", "pictures", "--preset", "cifar10", "--epochs", "7"))
    assert (scale.data, scale.spec.name, scale.targets) == ("pictures", "s", ())
    assert (scale.options.epochs, scale.options.shift, scale.options.flip) == (7, 4, True)
    assert not any(row.target for row in rows(scale))
    assert recipes.scale_of(options_of()) == DEFAULT
    assert recipes.scale_of(options_of("--full")) == FULL


def test_few_labels_take_as_many_steps_as_all_images():
    options = dataclasses.replace(DEFAULT.options, train_images=1000, labels_per_class=5)
    assert recipes.stretch("supervised", options, 10) == recipes.stretch("kd", options, 10) == 20
    assert recipes.stretch("matching", options, 10) == 1, "it needs no labels"
    assert recipes.stretch("supervised", DEFAULT.options, 10) == 1
