"""Accuracy, confusions and errors of a run on the images that its training held back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from dsodenet.data import load_dataset
from dsodenet.evaluation import evaluate
from dsodenet.reference import Reference
from dsodenet.spec import Spec, random_params
from tests.command_line import call, refused

MODEL = random_params(Spec.named("xs").with_classes(("bolt", "nut", "washer")), 1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An exported run that remembers a folder of photos."""
    random = np.random.default_rng(1)
    photos = tmp_path / "photos"
    for name in MODEL.spec.labels:
        (photos / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (16, 16)).astype(np.uint8)
            Image.fromarray(pixels).save(photos / name / f"{number}.png")
    MODEL.save(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"data": {"name": "photos", "source": str(photos)}}))
    return tmp_path / "run"


def test_figures_are_those_of_another_implementation(run: Path) -> None:
    data = load_dataset(run.parent / "photos", MODEL.spec.network)
    guesses = Reference(MODEL).predict(data.test_images).argmax(axis=1)
    found = evaluate(run)
    labels = [0, 1, 2]
    assert (found.confusion == confusion_matrix(data.test_labels, guesses, labels=labels)).all()
    assert found.accuracy == np.mean(guesses == data.test_labels)
    rows = found.to_dict()["classes"]
    recall = recall_score(data.test_labels, guesses, labels=labels, average=None)
    assert [row["recall"] for row in rows] == pytest.approx(recall)
    precision = precision_score(data.test_labels, guesses, labels=labels, average=None, zero_division=0)
    assert [row["precision"] or 0.0 for row in rows] == pytest.approx(precision)
    errors = found.to_dict()["errors"]
    assert {error["image"] for error in errors} == set(np.flatnonzero(guesses != data.test_labels))
    surest = [error["probability"] for error in errors]
    assert surest == sorted(surest, reverse=True)


def test_the_command_its_json_and_its_picture(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = run.parent / "confusion.png"
    assert call("evaluate", run, "--plot", picture, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["kind"], answer["images"]) == (1, "measured", 12)
    assert answer["source"] == str(run.parent / "photos")
    assert Image.open(picture).width > 500
    assert call("verify", run, "--backends", "cpu", "--images", 5) == 0
    assert "5 of the photos test split" in capsys.readouterr().out
    assert call("verify", run, "--backends", "cpu", "--images", 50) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "50 generated, seed 1, since the test split of photos has 12" in said


def test_data_that_is_gone_or_has_other_classes_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run.parent / "photos").rename(run.parent / "moved")
    assert "which is not here; name its folder by --data" in refused(capsys, "evaluate", run)
    assert call("evaluate", run, "--data", run.parent / "moved") == 0
    (run.parent / "moved" / "nut").rename(run.parent / "moved" / "screw")
    assert "but the model knows bolt, nut, washer" in refused(capsys, "evaluate", run, "--data", run.parent / "moved")
    assert "classes" in refused(capsys, "evaluate", run, "--data", "digits")
    (run / "metrics.json").unlink()
    assert "does not say on which data it was trained" in refused(capsys, "evaluate", run)


def test_a_run_without_names_takes_those_of_its_data(run: Path) -> None:
    dataclasses.replace(MODEL, spec=dataclasses.replace(MODEL.spec, class_names=())).save(run)
    assert [row["name"] for row in evaluate(run).to_dict()["classes"]] == ["bolt", "nut", "washer"]
