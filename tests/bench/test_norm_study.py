"""The normalisation study trains what it says, and tells shared statistics from those of a batch."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from dsodenet.bench.studies import norm_study
from dsodenet.data.dataset import Dataset
from dsodenet.nets.network import DsODENet
from dsodenet.spec.synthetic import random_images
from dsodenet.training.checkpoint import accuracy
from tests.command_line import call


def test_the_study_has_a_row_for_each_case(capsys):
    command = [
        "--norms",
        "batch_shared,layer",
        "--spans",
        "2",
        "--solvers",
        "euler,rk4",
        "--seeds",
        "1",
        "--epochs",
        "1",
    ]
    assert call("study", "norms", *command, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["solver"], row["span"], row["norm"]) for row in rows] == [
        (solver, 2.0, norm) for solver in ("euler", "rk4") for norm in ("batch_shared", "layer")
    ]
    for row in rows:
        assert ("batch stat." in row["figures"]) == (row["norm"] == "batch_shared")
        assert all(0 <= value["mean"] <= 1 for key, value in row["figures"].items() if key != "moved")
    assert norm_study.text(rows).count("\n") == 5


def test_figures_are_means_and_sample_deviations_over_the_seeds(monkeypatch):
    found = [0.90, 0.95, 0.97]
    values = iter(found)
    keys = ("accuracy", "moved", *(f"n={n}" for n in norm_study.TEST_STEPS))
    monkeypatch.setattr(norm_study, "cell", lambda spec, data, options: dict.fromkeys(keys, next(values)))
    (row,) = rows = norm_study.measure(("none",), ("euler",), (1.0,), 3, 1)
    assert row["figures"]["accuracy"] == pytest.approx({"mean": np.mean(found), "sd": np.std(found, ddof=1)})
    assert "94.0 ± 3.6" in norm_study.text(rows)
    assert "batch stat.: every evaluation" in norm_study.result_text({"seeds": 3, "epochs": 1, "rows": rows})


def test_statistics_of_the_batch_make_the_running_ones_idle(make_spec):
    spec = make_spec(channels=(4, 6), height=8, width=8, norm="batch_shared")
    torch.manual_seed(0)
    model, images = DsODENet(spec).eval(), random_images(spec, 40, 1)
    labels = model(torch.from_numpy(images)).argmax(dim=1).numpy()
    data = Dataset("guessed", images, labels, images, labels, tuple("0123456789"))
    before = norm_study.batch_accuracy(model, data)
    for block in model.blocks():
        nn.init.normal_(block.norm.running_mean, std=10)
    assert norm_study.batch_accuracy(model, data) == before
    assert accuracy(model, images, labels) < 1
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--norms", "magic"], "norms is 'magic', but it must be some of none, weight"),
        (["--solvers", "magic"], "solvers is 'magic', but it must be some of euler, rk4"),
        (["--spans", "x"], "spans is 'x'"),
        (["--spans", "100"], "needs the step coefficient"),
        (["--seeds", "0"], "seeds is 0"),
    ],
)
def test_bad_input_is_refused(capsys, arguments, message):
    assert call("study", "norms", *arguments) == 2
    assert message in capsys.readouterr().err
