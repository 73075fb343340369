"""Adapting: features against torch, statistics against torch, heads against closed forms, and a guard that guards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dsodenet.adapting.adapted import adapt, chosen_methods
from dsodenet.adapting.forward import forward, misfit
from dsodenet.adapting.heads import confident, fitted, head_logits, prototypes, voted, with_head
from dsodenet.adapting.statistics import Statistics, observe
from dsodenet.adapting.tables import matched, moved
from dsodenet.errors import InputError, RunError
from dsodenet.reference import Reference
from dsodenet.runs import Run
from dsodenet.spec import Params, random_images, random_params, sections, split_features, with_features
from tests.test_reference import integers

IMAGES = 40


@pytest.fixture(scope="module")
def model(make_spec) -> Params:
    """Random layers, under a head that tells three kinds of images apart, so that predictions vary."""
    spec = make_spec(height=8, width=8, channels=(4, 6), num_classes=3, time="bias", time_knots=3, n_steps=3)
    spec = dataclasses.replace(spec, kernel=dataclasses.replace(spec.kernel, name="rtl"), class_names=("a", "b", "c"))
    params = random_params(spec, 1)
    features, _ = evaluate(params, random_images(spec, IMAGES, 2))
    axis = np.linalg.svd(features - features.mean(axis=0))[2][0]
    return fitted(params, features, np.argsort(np.argsort(features @ axis)) * 3 // IMAGES)


@pytest.fixture(scope="module")
def images(model) -> np.ndarray:
    return random_images(model.spec, IMAGES, 2)


def evaluate(params: Params, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return split_features(Reference(with_features(params), threads=1).predict(images), params)


def test_features_and_logits_are_those_of_the_model(model, images):
    features, logits = evaluate(model, images)
    assert np.array_equal(logits, Reference(model).predict(images))
    # an independent implementation of the contract runs the same widened head
    assert np.array_equal(np.hstack([features, logits]), integers(with_features(model), images).numpy())
    assert np.array_equal(logits, head_logits(model, features))
    assert len(np.unique(features)) > 10  # not all saturated or zero


def test_statistics_are_means_over_images_and_pixels(model, images, tmp_path):
    """Shifting a bias shifts the observed mean of the first evaluation by the same integer."""
    before = observe(model, images)
    section = next(s for s in sections(model.spec.network) if s.kind == "f")
    shift = np.arange(section.biased.out_channels, dtype=float) - 2
    after = observe(moved(model, {section.biased.name: shift}), images)
    name = section.biased.name
    assert np.allclose(after.activations[name][0] - before.activations[name][0], shift, atol=1e-6)
    features, _ = evaluate(model, images)
    assert np.allclose(before.mean, features.mean(axis=0))
    assert np.allclose(before.deviation, features.std(axis=0))
    before.save(tmp_path / "statistics.npz")
    loaded = Statistics.load(tmp_path / "statistics.npz", model)
    assert all(np.array_equal(loaded.activations[key], value) for key, value in before.activations.items())
    (tmp_path / "statistics.npz").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(RunError, match="not statistics of a model"):
        Statistics.load(tmp_path / "statistics.npz", model)


def test_matching_means_undoes_a_shift_of_the_first_block(model, images):
    """A model whose first biases were moved is moved back to what the source saw there, up to rounding of knots."""
    name = "f1.pw1"
    source = observe(model, images)
    shift = np.array([40.0, -30.0, 20.0, -10.0])
    broken = moved(model, {name: shift})
    target = observe(broken, images)
    first = {name: np.repeat((target.activations[name] - source.activations[name])[:1], 3, axis=0)}
    mended = matched(broken, {name: np.zeros_like(first[name])}, first)
    assert np.array_equal(mended.arrays[f"{name}.knots"], model.arrays[f"{name}.knots"])


def test_a_fitted_head_separates_what_is_separable(model):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = (60 * np.eye(3, 6)[labels] + rng.normal(0, 3, (90, 6))).round().astype(np.int32)
    head = fitted(model, features, labels)
    assert np.array_equal(head_logits(head, features).argmax(axis=1), labels)
    # T3A from a head that is a little off: each class keeps its direction
    off = with_head(model, np.eye(3, 6) + 0.3, np.zeros(3))
    adjusted = prototypes(off, features, head_logits(off, features), keep=10)
    assert np.array_equal(head_logits(adjusted, features).argmax(axis=1), labels)


def test_a_ridge_head_is_the_least_squares_solution(model):
    """Against the same problem given to a least-squares solver as stacked rows."""
    rng = np.random.default_rng(1)
    features, labels = rng.integers(-90, 90, (50, 6)).astype(np.int32), rng.integers(0, 3, 50)
    head = fitted(model, features, labels)
    x = features.astype(float)
    spread = x.std(axis=0) + 0.01 * x.std() + 1e-9
    x = np.column_stack([(x - x.mean(axis=0)) / spread, np.ones(50)])
    y = np.where(np.arange(3) == labels[:, None], 4.0, -4.0)
    own = model.arrays["head.linear.weight"][:, :, 0, 0].astype(float)
    prior = np.vstack([(own * spread).T, model.arrays["head.linear.bias"] + own @ features.mean(axis=0)])
    scale = np.linalg.lstsq((x @ prior).reshape(-1, 1), y.reshape(-1), rcond=None)[0][0]
    root = np.sqrt(0.02 * 50)
    stacked = np.vstack([x, root * np.eye(7)]), np.vstack([y, root * scale * prior])
    want = np.linalg.lstsq(*stacked, rcond=None)[0]
    found = head.arrays["head.linear.weight"][:, :, 0, 0].T * spread[:, None]
    likeness = (found * want[:-1]).sum() / np.linalg.norm(found) / np.linalg.norm(want[:-1])
    assert likeness > 0.9999  # weights of 8 bits


def test_neighbours_outvote_a_wrong_label(model):
    features = np.zeros((12, 6), np.int32)
    features[:, 0], features[6:, 0], features[:, 1] = 50, -50, np.arange(12)
    logits = np.zeros((12, 3), np.int32)
    logits[:6, 0], logits[6:, 1] = 400, 400
    logits[2] = (0, 500, 0)  # wrong, and sure of it
    p = voted(model, features, logits, neighbours=4)
    assert p.argmax(axis=1).tolist() == [0] * 6 + [1] * 6
    assert np.allclose(p.sum(axis=1), 1)
    assert len(confident(p, 0.5)) == 6


@pytest.mark.parametrize("names", ["t3a", "pseudo", "bias", "head", "t3a,pseudo"])
def test_every_method_gives_a_model(model, images, names):
    labels = np.arange(IMAGES) % 3
    source = observe(model, images[::-1])
    methods = chosen_methods(names, "rtl", True, True)
    result = adapt(model, images, evaluate, methods, labels=labels, source=source)
    assert result.images == 32
    assert result.methods == tuple(names.split(","))
    assert result.kept == (result.params is model) or result.kept


def test_a_collapsed_model_is_not_used(model, images):
    """A method that answers one class is turned down, and the source's model kept."""

    def collapse(params, task):
        return with_head(params, np.full((3, 6), 0.01), np.array([1.0, 0.0, 0.0]) * 1e6)

    methods = {"bias": dataclasses.replace(chosen_methods("bias", "rtl", False, True)["bias"], adapt=collapse)}
    result = adapt(model, images, evaluate, methods)
    assert result.kept
    assert result.params is model
    assert "collapse" in result.reason


def test_the_search_lowers_the_misfit_and_goes_on_from_its_journal(model, images, tmp_path):
    calls = 0

    def counted(params, pixels):
        nonlocal calls
        calls += 1
        return evaluate(params, pixels)

    source, journal = observe(model, images), tmp_path / "forward.journal"
    bad = moved(model, {"f1.pw1": np.full(4, 10_000.0)})
    options = {"budget_s": 1e9, "seed": 3, "journal": journal}
    whole = forward(bad, images, counted, source, generations=6, **options)
    assert misfit(whole, *evaluate(whole, images), source) < misfit(bad, *evaluate(bad, images), source)
    made, calls = calls, 0
    again = forward(bad, images, counted, source, generations=6, **options)
    assert calls == 0
    assert made > 0
    assert again.fingerprint == whole.fingerprint
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]))  # interrupted after three generations
    resumed = forward(bad, images, counted, source, generations=6, **options)
    assert resumed.fingerprint == whole.fingerprint
    assert 0 < calls < made
    journal.write_text("[1, 2]\n")
    with pytest.raises(InputError, match="not the journal of this search"):
        forward(bad, images, counted, source, generations=6, **options)


@pytest.mark.parametrize(
    ("names", "kernel", "labels", "source", "message"),
    [
        ("magic", "rtl", True, True, "it must be one or more of t3a"),
        ("t3a", "hls", True, True, "fixed in the hls kernel"),
        ("head", "rtl", False, True, "needs labels"),
        ("bias", "hls", False, False, "needs the source's statistics"),
    ],
)
def test_what_cannot_be_is_said(names, kernel, labels, source, message):
    with pytest.raises(InputError, match=message):
        chosen_methods(names, kernel, labels, source)


def test_few_images_are_refused(model, images):
    with pytest.raises(InputError, match="at least 20"):
        adapt(model, images[:19], evaluate, chosen_methods("t3a", "rtl", False, False))


def test_torch_agrees_on_the_features(model, images):
    """The average of the last state, from a torch mean in rationals of float64."""
    states = Reference(model, threads=1).trajectory(images, 1)[-1]
    z, dest = model.formats["z2"], model.formats["head.x"]
    mean = torch.from_numpy(states).double().mean(dim=(1, 2)) * z.scale / dest.scale
    want = mean.round().clamp(dest.min_int, dest.max_int).numpy()
    assert np.array_equal(evaluate(model, images)[0], want)


def test_run_names_its_statistics(tmp_path: Path):
    assert Run(tmp_path).statistics.parent == tmp_path
