"""Studies that train: their figures are those of the runs that they leave, and a second call trains nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.bench.studies import anytime_study, once
from dsodenet.data import load_dataset
from dsodenet.exporting import extract
from dsodenet.reference import Reference
from dsodenet.runtime import Accelerator
from dsodenet.spec import Spec
from dsodenet.training import load_checkpoint
from tests.command_line import call, refused


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of four steps."""
    xs = Spec.named("xs")
    network = dataclasses.replace(xs.network, channels=(4,), height=8, width=8)
    tiny = dataclasses.replace(xs, name="tiny", network=network, solver=dataclasses.replace(xs.solver, n_steps=(4,)))
    path = tmp_path_factory.mktemp("spec") / "tiny.json"
    path.write_text(tiny.to_json(), encoding="utf-8")
    return path


def words(spec: Path, out: Path, *more: str) -> tuple[Any, ...]:
    return "--spec", spec, "--epochs", "2", "--qat-epochs", "1", "--device", "cpu", "--out", out, *more


def integers(run: Path, n_steps: int | None = None) -> Any:
    params = extract(load_checkpoint(run)[0])
    return params if n_steps is None else params.with_solver(n_steps=n_steps)


def test_anytime_measures_the_integers_of_its_runs(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ("study", "anytime", *words(spec, tmp_path / "runs", "--seeds", "1", "--cascade", "1,4"), "--json")
    assert call(*line, tmp_path / "a.json") == 0
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"]
    data = load_dataset("digits", Spec.load(spec).network)
    for recipe in ("supervised", "anytime"):
        run = tmp_path / "runs" / f"{recipe}-digits-0"
        own = {tuple(row["n_steps"]): row for row in rows if row["recipe"] == recipe}
        assert set(own) == {(1,), (2,), (4,), (1, 4)}
        for n in (1, 2, 4):
            right = Reference(integers(run, n)).predict(data.test_images).argmax(axis=1) == data.test_labels
            assert own[n,]["accuracy"]["mean"] == right.mean()
            assert own[n,]["lost"]["mean"] == pytest.approx(own[4,]["accuracy"]["mean"] - right.mean())
        assert own[4,]["saved"] == 0 < own[2,]["saved"] < own[1,]["saved"] < 1
        # Some threshold of hundredths gives the cascade's accuracy and cycles, by the class that users have.
        found = []
        with Accelerator(integers(run), "cpu") as accelerator:
            for hundredth in range(1, 100):
                logits = accelerator.predict(data.test_images, cascade=[1, 4], threshold=hundredth / 100)
                assert accelerator.last_cascade is not None
                found.append(((logits.argmax(axis=1) == data.test_labels).mean(), accelerator.last_cascade.ended))
        share = 1 - own[1, 4]["saved"]
        low, full = own[1,]["cycles"], own[4,]["cycles"]
        told = [(right, (low + full * (ended == 4).mean()) / full) for right, ended in found]
        assert any(right == own[1, 4]["accuracy"]["mean"] and cost == pytest.approx(share) for right, cost in told)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(anytime_study, "train", fail)
    assert call(*line, tmp_path / "b.json") == 0
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["rows"] == rows


def test_images_that_choose_the_threshold_are_not_trained_on(spec: Path) -> None:
    data = load_dataset("digits", Spec.load(spec).network)
    rest, held = anytime_study.held_back(data, 200)
    assert (len(rest.train_images), len(held.train_images)) == (len(data.train_images) - 200, 200)
    together = np.concatenate([rest.train_images, held.train_images])
    assert sorted(image.tobytes() for image in together) == sorted(image.tobytes() for image in data.train_images)


def test_domains_are_studied_both_ways(spec: Path, tmp_path: Path) -> None:
    recipes = ("--recipes", "source-only,target-supervised", "--seeds", "2", "--second-images", "300")
    line = ("study", "domains", "digits", "digits-inverted", *words(spec, tmp_path / "runs", *recipes), "--json")
    assert call(*line, tmp_path / "d.json") == 0
    result = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    ways = [(row["recipe"], row["source"], row["target"]) for row in result["rows"]]
    pair = ("digits", "digits-inverted (generated)")
    assert ways == [(recipe, *way) for recipe in ("source-only", "target-supervised") for way in (pair, pair[::-1])]
    first = result["rows"][0]
    data = load_dataset("digits-inverted", Spec.load(spec).network)
    run = tmp_path / "runs" / f"source-only-{pair[0]}-{pair[1]}-1"
    right = Reference(integers(run)).predict(data.test_images).argmax(axis=1) == data.test_labels
    assert first["accuracy"][1] == pytest.approx(right.mean())
    assert first["mean"] == pytest.approx(np.mean(first["accuracy"]))


def test_a_training_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"float_accuracy": 1}', encoding="utf-8")
    assert once.once(tmp_path, lambda: {"float_accuracy": 2}) == {"float_accuracy": 1}
    (tmp_path / "unfinished").mkdir()
    assert once.once(tmp_path, lambda: {"float_accuracy": 2}) == {"float_accuracy": 2}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("anytime", "--cascade", "4"), "cascade is [4], but it must be two or more rising step counts"),
        (("anytime", "--cascade", "a,b"), "cascade is 'a,b'"),
        (("anytime", "--seeds", "0"), "seeds is 0"),
        (("anytime", "--calibration-images", "100000"), "calibration-images is 100000"),
        (("domains", "digits", "digits-inverted", "--recipes", "magic"), "recipe is 'magic'"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_bad_words_are_refused(
    line: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "study", *line, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_few_steps_to_cut_are_refused(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.json"
    path.write_text(Spec.load(spec).with_solver(n_steps=2).to_json(), encoding="utf-8")
    assert "solver.n_steps is [2]" in refused(capsys, "study", "anytime", "--spec", path, "--out", tmp_path / "out")


def test_adapting_is_measured_over_trainings(tmp_path: Path) -> None:
    line = (
        "study",
        "adapting",
        "zoo:digits-xs",
        "zoo:digits-xs",
        "--target",
        "digits-rotated",
        "--methods",
        "t3a;head",
    )
    assert call(*line, "--images", "150", "--seeds", "2", "--json", tmp_path / "a.json") == 0
    result = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    before, t3a, head = result["rows"]
    assert (result["models"], len(before["accuracy"])) == (2, 2)
    assert before["accuracy"][0] == before["accuracy"][1]
    for row in (t3a, head):
        assert row["accuracy"][:2] == row["accuracy"][2:], "the same model, the same draws"
        gains = np.subtract(row["accuracy"], before["accuracy"][0])
        assert row["gain"]["mean"] == pytest.approx(gains.mean())
        assert row["gain"]["sd"] == pytest.approx(gains.std(ddof=1))
        assert 0 < row["engine_seconds"] < row["a53_with_engine_s"]
        assert row["a53_alone_s"] > 0


def test_trainings_of_two_networks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = ("study", "adapting", "zoo:digits-xs", "zoo:digits-s", "--target", "digits-rotated")
    assert "zoo:digits-s is of another network than zoo:digits-xs" in refused(capsys, *line)
