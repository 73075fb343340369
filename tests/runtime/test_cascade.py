"""Cascades and features on every backend that needs no compiler: equal to plain calls, word for word."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dsodenet.errors import DeviceError, InputError
from dsodenet.reference import Reference
from dsodenet.runtime import Accelerator, Cascade, curve, usual_stages
from dsodenet.spec import Params, bias_name, random_images, random_params, sections, split_features, with_features
from tests.command_line import call

BACKENDS = {"cpu": {}, "zcu104-sim": {"simulate_with": "reference"}}


def model(make_spec, kernel: str) -> Params:
    spec = make_spec(height=8, width=8, channels=(4, 6), num_classes=3, time="bias", time_knots=3, n_steps=4)
    return random_params(dataclasses.replace(spec, kernel=dataclasses.replace(spec.kernel, name=kernel)), 5)


@pytest.fixture
def rtl_model(make_spec) -> Params:
    return model(make_spec, "rtl")


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_image_ends_as_a_plain_call_at_its_steps(rtl_model, backend):
    images = random_images(rtl_model.spec, 12, 3)
    plain = {n: Reference(rtl_model.with_solver(n_steps=n)).predict(images) for n in (1, 3, 8)}
    sure = np.exp((plain[1] - plain[1].max(axis=1, keepdims=True)) * rtl_model.logits_scale)
    threshold = float(np.median(1 / sure.sum(axis=1)))
    with Accelerator(rtl_model, backend, **BACKENDS[backend]) as accelerator:
        before = accelerator.predict(images)
        logits = accelerator.predict(images, cascade=[1, 3, 8], threshold=threshold)
        ended = accelerator.last_cascade.ended
        assert np.array_equal(accelerator.predict(images), before)
        assert accelerator.params.spec.solver == rtl_model.spec.solver
    assert 0 < (ended == 1).sum() < len(images)
    for row, n in enumerate(ended):
        assert np.array_equal(logits[row], plain[int(n)][row])


def test_features_leave_the_model_as_it_was(rtl_model):
    images = random_images(rtl_model.spec, 5, 4)
    want, _ = split_features(Reference(with_features(rtl_model)).predict(images), rtl_model)
    with Accelerator(rtl_model, "cpu") as accelerator:
        before = accelerator.predict(images)
        assert np.array_equal(accelerator.features(images), want)
        assert np.array_equal(accelerator.predict(images), before)


def test_an_hls_kernel_takes_other_tables_and_nothing_else(make_spec):
    params = model(make_spec, "hls")
    images = random_images(params.spec, 4, 6)
    tables = {bias_name(s.biased) for s in sections(params.spec.network) if s.kind == "f"}
    moved = dataclasses.replace(params, arrays={k: v + 7 if k in tables else v for k, v in params.arrays.items()})
    other_head = dataclasses.replace(
        params, arrays=params.arrays | {"head.linear.bias": params.arrays["head.linear.bias"] + 1}
    )
    with Accelerator(params, "zcu104-sim", simulate_with="reference") as accelerator:
        accelerator.set_params(moved)
        assert np.array_equal(accelerator.predict(images), Reference(moved).predict(images))
        with pytest.raises(DeviceError, match="was built for model"):
            accelerator.set_params(other_head)
        with pytest.raises(DeviceError, match="the head of an hls kernel is fixed logic"):
            accelerator.features(images)
        assert np.array_equal(accelerator.predict(images), Reference(moved).predict(images))


@pytest.mark.parametrize(
    ("cascade", "threshold", "message"),
    [
        ([2], 0.5, "two or more rising"),
        ([4, 2], 0.5, "two or more rising"),
        ([0, 2], 0.5, "two or more rising"),
        ([1, 2], 1.0, "less than 1"),
        ([1, 2], 0, "more than 0"),
        ([1, 2], None, "belong together"),
        (None, 0.5, "belong together"),
    ],
)
def test_bad_cascades_are_refused(rtl_model, cascade, threshold, message):
    with Accelerator(rtl_model) as accelerator, pytest.raises(InputError, match=message):
        accelerator.predict(random_images(rtl_model.spec, 1, 1), cascade=cascade, threshold=threshold)


def test_the_curve_is_what_cascades_give(rtl_model):
    images, labels = random_images(rtl_model.spec, 30, 8), np.arange(30) % 3
    scale, cycles = rtl_model.logits_scale, {1: 100.0, 4: 250.0}
    plain = {n: Reference(rtl_model.with_solver(n_steps=n)).predict(images) for n in cycles}
    points = curve(list(plain.values()), list(cycles.values()), labels, scale)
    for point in points[::14]:
        logits, ended = Cascade((1, 4), point.threshold).predict(
            lambda n, x: Reference(rtl_model.with_solver(n_steps=n)).predict(x), images, scale
        )
        assert point.accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == labels))
        assert point.cycles == pytest.approx(100 + 250 * np.mean(ended == 4))


def test_usual_stages_are_a_quarter_and_all():
    assert usual_stages((8, 8, 8)) == (2, 8)
    assert usual_stages((1, 3)) == (1, 3)
    with pytest.raises(InputError, match="1 solver step"):
        usual_stages((1, 1))


def test_calibrate_without_steps_takes_the_usual_ones(tmp_path):
    assert call("calibrate", "zoo:digits-xs", "--data", "digits", "--json", tmp_path / "c.json") == 0
    found = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert found["cascade"] == [1, 4]
    assert [stage["n_steps"] for stage in found["stages"]] == [1, 4]
    # One step is surely wrong for some images: no threshold is as accurate as four steps, so the best there is.
    assert found["stages"][0]["accuracy"] < found["accuracy"] < found["stages"][1]["accuracy"]
