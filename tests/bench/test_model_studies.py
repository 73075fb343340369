"""The studies of the zoo, of training's speed, and of two domains: what they print is what was counted or measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsodenet.bench.studies import domain_study
from dsodenet.rtl import estimate
from dsodenet.runs import Run
from dsodenet.spec import Params
from dsodenet.training import train
from tests.command_line import call

FEW = ("--seeds", "1", "--epochs", "1", "--qat-epochs", "1", "--learning-rate", "0.02")


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_models_stand_beside_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("study", "models", "--models", "digits-xs,cifar10-m") == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "hls4ml RN08" in text
    assert call("study", "models", "--models", "digits-xs,cifar10-m", "--json") == 0
    xs, m = printed(capsys)["models"]
    params = Params.load(Run.of("zoo:digits-xs"))
    assert xs["cycles"] == estimate(params).command_cycles(1)
    assert xs["kernel_us"] == pytest.approx(xs["cycles"] / xs["clock_mhz"])
    assert xs["call_us"] > xs["kernel_us"]
    assert (xs["parameters"], m["lanes"]) == (5258, "1x32x64")
    assert m["accuracy"] == json.loads(Run.of("zoo:cifar10-m").metrics.read_text())["qat_accuracy"]


def test_training_is_timed_in_each_of_its_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("study", "training", "--specs", "xs", "--batch", "2", "--repeats", "1", "--json") == 0
    rows = printed(capsys)["rows"]
    assert [row["step"] for row in rows] == ["float", "quantised, Brevitas", "quantised, fused"]
    assert all(row["of_float"] == pytest.approx(row["images_per_s"] / rows[0]["images_per_s"]) for row in rows)


def test_domains_are_adapted_both_ways_and_only_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, str, str]] = []

    def noted(spec: Any, data: Any, out: Path, options: Any, recipe: str, **more: Any) -> Any:
        trained.append((recipe, data.source, more["target"].source))
        assert (options.train_images, options.target_images) in {(60, 50), (50, 60), (50, 50), (60, 60)}
        return train(spec, data, out, options, recipe, **more)

    monkeypatch.setattr(domain_study, "train", noted)
    words = ("study", "domains", "digits", "digits-rotated", "--first-images", "60", "--second-images", "50", *FEW)
    chosen = ("--recipes", "source-only,target-supervised", "--out", tmp_path, "--json")
    for _ in range(2):
        assert call(*words, *chosen) == 0
        rows = printed(capsys)["rows"]
    assert trained == [
        ("supervised", "digits", "digits-rotated"),
        ("supervised", "digits-rotated", "digits"),
        ("supervised", "digits-rotated", "digits-rotated"),
        ("supervised", "digits", "digits"),
    ]
    assert [row["recipe"] for row in rows] == ["source-only"] * 2 + ["target-supervised"] * 2
    assert all(row["mean"] == row["accuracy"][0] and row["sd"] is None for row in rows)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("models", "--models", "cifar100"), "model is 'cifar100'"),
        (("training", "--batch", "0"), "batch is 0"),
        (("domains", "digits", "digits", "--recipes", "kd"), "recipe is 'kd'"),
        (("domains", "digits", "nowhere"), "data is 'nowhere'"),
        (("domains", "digits", "digits", "--seeds", "0"), "seeds is 0"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("study", *words) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
