"""The pretrained models: their cards say what they compute, and they run wherever a run folder does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dsodenet.data.datasets import load_dataset
from dsodenet.exporting.integers import float_model
from dsodenet.reference import Reference
from dsodenet.runs import ZOO, Run, zoo_names
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.spec.params import Params
from tests.command_line import call, refused
from tools.make_zoo import CARD, ENTRIES, card, integer_accuracies

MAX_BYTES = 2_000_000
OF_DIGITS = [name for name in zoo_names() if ENTRIES[name].data is None]


def test_the_zoo_is_complete_and_small() -> None:
    assert set(zoo_names()) == set(ENTRIES)
    assert sum(file.stat().st_size for file in ZOO.rglob("*") if file.is_file()) <= MAX_BYTES


@pytest.mark.parametrize("name", zoo_names())
def test_card_says_what_the_model_does(name: str) -> None:
    """All of it; but where the data are not in the package, the accuracy of the integers stands as it was measured."""
    folder = Run.of(f"zoo:{name}").folder
    params, metrics = Params.load(folder), json.loads((folder / "metrics.json").read_text())
    text = (folder / CARD).read_text()
    if name in OF_DIGITS:
        integers = integer_accuracies(params, metrics)
    else:
        domains = [domain["name"] for domain in (metrics["data"], metrics["target"]) if domain is not None]
        told = re.findall(r"accuracy.*, integers \| (\S+) %", text)
        integers = {domain: float(value) / 100 for domain, value in zip(domains, told, strict=True)}
        for domain, key in zip(domains, ("qat_accuracy", "target_qat_accuracy")):
            assert abs(integers[domain] - metrics[key]) < 0.003
    assert text == card(name, params, metrics, integers)
    assert "source" not in metrics["data"]


@pytest.mark.parametrize("name", OF_DIGITS)
def test_float_model_of_the_integers_is_the_same_classifier(name: str) -> None:
    params = Params.load(Run.of(f"zoo:{name}").folder)
    data = load_dataset("digits", params.spec.network)
    with torch.inference_mode():
        logits = float_model(params)(torch.from_numpy(data.test_images)).numpy()
    truth = Reference(params).predict(data.test_images) * params.logits_scale
    assert float(np.mean(logits.argmax(axis=1) == truth.argmax(axis=1))) >= 0.98
    # Rounding to 8 bits adds up over some dozen tensors, far below the spread of the logits.
    assert np.abs(logits - truth).mean() < 0.15 * truth.std()


def test_a_model_of_the_zoo_runs_from_the_command_line(tmp_path: Path) -> None:
    images = load_dataset("digits", Params.load(Run.of("zoo:digits-xs").folder).spec.network).test_images[:8]
    np.save(tmp_path / "x.npy", images)
    outputs = []
    for backend in ("cpu", "zcu104-sim"):
        output = tmp_path / f"{backend}.npy"
        words = ("--backend", backend, "--input", tmp_path / "x.npy", "--output", output)
        assert call("run", "zoo:digits-xs", *words) == 0
        outputs.append(np.load(output))
    with Accelerator("zoo:digits-xs") as accelerator:
        outputs.append(accelerator.predict(images))
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


def test_unknown_name_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "estimate", "zoo:nothing")
    assert "zoo:nothing" in message
    assert "zoo:digits-xs" in message


def test_nothing_is_built_into_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in refused(capsys, "overlay", "zoo:digits-xs", "--kernel", "rtl")
