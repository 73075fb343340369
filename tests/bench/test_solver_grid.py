"""The (S, n) table: its numbers are the accuracies of the very models that training left."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dsodenet.bench.studies import solver_grid
from dsodenet.data.dataset import Dataset
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images
from dsodenet.training.options import Options
from dsodenet.training.trainer import train
from tests.command_line import call


@pytest.fixture(scope="module")
def data() -> Dataset:
    images = random_images(Spec.named("xs"), 60, seed=1)[:, :, :8, :8] // 2
    images[1::2] += 60
    labels = np.arange(60) % 2
    return Dataset("bright", images[:40], labels[:40], images[40:], labels[40:], ("dark", "bright"))


@pytest.mark.parametrize("norm", ["none", "batch_mean_per_evaluation", "layer"])
def test_the_trained_setting_has_the_accuracy_of_training(make_spec, data, tmp_path, norm, monkeypatch, capsys):
    spec = make_spec(channels=(4, 6), height=8, width=8, num_classes=2, method="heun", n_steps=3, norm=norm)
    metrics = train(spec, data, tmp_path, Options(epochs=3, qat_epochs=1, batch_size=8, progress=False))
    monkeypatch.setattr(solver_grid, "load_dataset", lambda name, network: data)
    command = [str(tmp_path), "--solvers", "euler,heun", "--n-steps", "1,3", "--quiet"]
    assert call("study", "solvers", *command, "--json", "--plot", tmp_path / "grid.png") == 0
    result = json.loads(capsys.readouterr().out)
    found = {(row["numbers"], row["solver"], row["n_steps"]): row["accuracy"] for row in result["rows"]}
    assert found["float", "heun", 3] == metrics["float_accuracy"]
    assert len(found) == (4 if norm == "layer" else 8)
    if norm != "layer":
        assert found["integer", "heun", 3] == metrics["qat_accuracy"]
    assert len(result["drift"]) == 2
    assert all(0 < block["mean"] < 10 and block["std_ratio"] > 1 for block in result["drift"])
    assert (tmp_path / "grid.png").read_bytes()[:4] == b"\x89PNG"
    assert call("study", "solvers", *command) == 0
    assert f"norm {norm}, trained with heun, n_steps 3,3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--solvers", "magic"], "solver method is 'magic'"),
        (["--n-steps", "0"], "n-steps is '0'"),
        (["--n-steps", "65"], "numbers from 1 to 64"),
        (["--plot", "x.gif"], "must be a .png file"),
        ([], "no such checkpoint"),
    ],
)
def test_bad_input_is_refused(tmp_path, capsys, arguments, message):
    assert call("study", "solvers", tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
