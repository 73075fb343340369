"""Compressed networks compute what their factors say, have the size asked for, and train and export like any other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from dsodenet.data.dataset import Dataset
from dsodenet.errors import InputError
from dsodenet.exporting.integers import export
from dsodenet.ladder import verify
from dsodenet.nets.network import DsODENet
from dsodenet.nets.teachers import full_odenet
from dsodenet.spec.layers import parameters
from dsodenet.spec.specification import LowRank, Spec
from dsodenet.spec.synthetic import random_images
from dsodenet.training.checkpoint import load_checkpoint, load_float_model
from dsodenet.training.compression import choose_ranks, factorised, full_weight, options_of, separated, size, with_ranks
from dsodenet.training.factors import evbmf_rank
from dsodenet.training.options import Options
from dsodenet.training.trainer import train

OPTIONS = Options(epochs=2, qat_epochs=1, batch_size=16, progress=False)


@pytest.fixture(scope="module")
def data() -> Dataset:
    images = random_images(Spec.named("xs"), 48, seed=1)[:, :, :8, :8].copy()
    return Dataset("noise", images[:32], np.arange(32) % 2, images[32:], np.arange(16) % 2, ("even", "odd"))


def trained_like(spec: Spec, seed: int = 0) -> DsODENet:
    """A float model whose every parameter matters."""
    torch.manual_seed(seed)
    model = DsODENet(spec).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def full_ranks(spec: Spec) -> dict[str, int]:
    return spec.network.rank_limits()


@pytest.mark.parametrize("norm", ["none", "weight", "batch_mean_per_evaluation"])
@torch.no_grad()
def test_full_ranks_change_nothing(make_spec, norm):
    spec = make_spec(channels=(4, 6), height=8, width=8, norm=norm)
    model, images = trained_like(spec), torch.from_numpy(random_images(spec, 4, 1))
    result = factorised(model, full_ranks(spec)).double().eval()
    assert torch.allclose(result(images), model(images), atol=1e-6)
    assert result.spec.network.low_rank == ()


@torch.no_grad()
def test_layers_that_have_low_rank_lose_nothing_round_after_round(make_spec):
    spec = make_spec(channels=(6, 8), height=8, width=8, time="bias", in_channels=2)
    model, images = trained_like(spec), torch.from_numpy(random_images(spec, 4, 1))
    ranks = {"stem.conv": 4, "f1.pw1": 3, "f1.pw2": 2, "down1.pw": 3, "f2.pw2": 2}
    for name, rank in ranks.items():
        weight = model.layer(name).weight
        u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        weight.copy_((u[:, :rank] * s[:rank] @ v[:rank]).reshape(weight.shape))
    result = factorised(model, full_ranks(spec) | ranks)
    assert torch.allclose(result(images), model(images), atol=1e-12)
    assert result.spec.network.low_rank == tuple(LowRank(*item) for item in ranks.items())
    assert sum(p.numel() for p in result.parameters()) == sum(parameters(result.spec).values())
    for first in ("stem.conv_in", "f1.pw1_in", "down1.pw_in"):  # fine-tuning moves the biases of the first factors
        nn.init.normal_(result.layer(first).bias)
    again = factorised(result, full_ranks(spec) | ranks)
    assert torch.allclose(again(images), result(images), atol=1e-12)
    whole = factorised(result, full_ranks(spec))
    assert torch.allclose(whole(images), result(images), atol=1e-12)
    assert np.linalg.matrix_rank(full_weight(result, "f1.pw2")[:, :, 0, 0]) == 2
    cut = factorised(result, full_ranks(spec) | ranks | {"f1.pw1": 1})
    assert (cut(images) - result(images)).abs().max() > 1e-3


def test_ranks_reach_the_size_asked_for(make_spec):
    spec = make_spec(channels=(8, 16, 32))
    model = trained_like(spec)
    before = sum(parameters(spec).values())
    for ratio in (1.2, 1.5, 2.0):
        ranks = choose_ranks(model, before / ratio)
        assert size(spec, ranks) <= before / ratio
        # EVBMF finds no rank in noise, so that only the size lowers ranks: one rank more would be too many
        assert all(evbmf_rank(full_weight(model, name)[:, :, 0, 0]) == 0 for name in ranks if name.startswith("f"))
        assert size(spec, ranks) > 0.9 * before / ratio
        assert set(with_ranks(spec, ranks).network.low_rank) == {
            LowRank(n, r) for n, r in ranks.items() if r < full_ranks(spec)[n]
        }
    with pytest.raises(
        InputError, match=r"cannot be compressed to 1\d\d\d parameters: at rank 1 it still has 2\d\d\d of its 5258"
    ):
        choose_ranks(model, before / 4)


@torch.no_grad()
def test_a_planted_rank_is_found_and_approached(make_spec):
    spec = make_spec(channels=(32,))
    model = trained_like(spec)
    weight = model.layer("f1.pw1").weight
    weight.copy_(_planted(4)[:, :, None, None])
    assert choose_ranks(model, 1e9)["f1.pw1"] == int(32 - 0.8 * (32 - 4))
    assert choose_ranks(model, 1e9, weakening=1.0)["f1.pw1"] == 4


def _planted(rank: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(32, rank)) @ rng.normal(size=(rank, 32)) + 0.1 * rng.normal(size=(32, 32)))


def test_a_rank_pays_only_below_half_of_a_square_layer(make_spec):
    options = options_of(make_spec(channels=(8, 16)).network)
    assert options["f1.pw1"] == [1, 2, 3, 8]
    assert options["f2.pw2"] == [*range(1, 8), 16]
    assert options["stem.conv"] == [1, 2, 3, 8]


@torch.no_grad()
def test_separating_undoes_what_a_full_convolution_joins(make_spec):
    spec = make_spec(channels=(4, 6), height=8, width=8)
    model, full, images = trained_like(spec), full_odenet(spec).double(), torch.from_numpy(random_images(spec, 3, 1))
    for name, module in full.body.named_children():
        convolutions = (module.conv1, module.conv2) if name.startswith("f") else (module,)
        names = {"f": (("dw1", "pw1"), ("dw2", "pw2")), "d": (("dw", "pw"),)}.get(name[0], ((None, "conv"),))
        for conv, (dw, pw) in zip(convolutions, names):
            pointwise = model.layer(f"{name}.{pw}")
            conv.bias.copy_(pointwise.bias)
            conv.weight.copy_(pointwise.weight)
            if dw:
                model.layer(f"{name}.{dw}").bias.zero_()
                conv.weight.copy_(pointwise.weight * model.layer(f"{name}.{dw}").weight[None, :, 0])
    full.classifier.load_state_dict(model.classifier.state_dict())
    assert torch.allclose(full(images), model(images), atol=1e-12)
    assert torch.allclose(separated(full, spec).double()(images), model(images), atol=1e-5)
    timed = dataclasses.replace(spec, network=dataclasses.replace(spec.network, time="bias"))
    assert torch.allclose(separated(full, timed).double()(images), model(images), atol=1e-5)


def test_a_compressed_run_is_exported_and_verified(make_spec, data, tmp_path):
    spec = make_spec(channels=(32,), height=8, width=8, num_classes=2)
    metrics = train(spec, data, tmp_path, OPTIONS, "compress")
    assert [len(metrics["stages"][name]["loss"]) for name in ("whole", "compressed-1", "compressed-2", "qat")] == [
        2,
        1,
        1,
        1,
    ]
    _, loaded, _ = load_checkpoint(tmp_path)
    assert loaded.network.low_rank
    assert sum(parameters(loaded).values()) <= sum(parameters(spec).values()) / 2
    assert metrics["spec_fingerprint"] == loaded.fingerprint() != spec.fingerprint()
    assert load_float_model(tmp_path)[0].spec == loaded
    export(tmp_path)
    rungs = verify(tmp_path, ("torch",), data.test_images).rungs
    assert [(rung.backend, rung.differing) for rung in rungs] == [("torch", 0)]


def test_without_tuning_nothing_is_trained_after_the_cut(make_spec, data, tmp_path):
    spec = make_spec(channels=(32,), height=8, width=8, num_classes=2)
    metrics = train(spec, data, tmp_path, OPTIONS, "compress-untuned")
    assert [len(metrics["stages"][name]["loss"]) for name in ("whole", "compressed", "qat")] == [2, 0, 0]
    assert sum(parameters(load_checkpoint(tmp_path)[1]).values()) <= sum(parameters(spec).values()) / 2


def test_separate_starts_from_full_convolutions(make_spec, data, tmp_path):
    spec = make_spec(channels=(6, 8), height=8, width=8, num_classes=2)
    metrics = train(spec, data, tmp_path, OPTIONS, "separate")
    assert list(metrics["stages"]) == ["full", "float", "qat"]
    assert load_checkpoint(tmp_path)[1] == dataclasses.replace(spec, class_names=data.class_names)


def test_impossible_combinations_are_refused_before_any_work(make_spec, data, tmp_path):
    network = {"channels": (6, 8), "height": 8, "width": 8, "num_classes": 2}
    for norm in ("layer", "batch_per_evaluation"):
        with pytest.raises(
            InputError, match=f"recipe compress works with network.norm none, .*, but the spec's is {norm}"
        ):
            train(make_spec(norm=norm, **network), data, tmp_path, OPTIONS, "compress")
    with pytest.raises(
        InputError, match=r"recipe separate needs a network without network.low_rank, but f1\.pw1 has a rank"
    ):
        train(make_spec(low_rank=(LowRank("f1.pw1", 2),), **network), data, tmp_path, OPTIONS, "separate")
    with pytest.raises(InputError, match="gradient is 'magic'"):
        train(make_spec(**network), data, tmp_path, dataclasses.replace(OPTIONS, gradient="magic"))
    assert not list(tmp_path.iterdir())


def test_training_by_another_gradient(make_spec, data, tmp_path):
    spec = make_spec(channels=(4,), height=8, width=8, num_classes=2, method="rk4_38")
    losses = {}
    for name in ("backprop", "checkpoint", "irdm"):
        metrics = train(spec, data, tmp_path / name, dataclasses.replace(OPTIONS, gradient=name))
        losses[name] = metrics["stages"]["float"]["loss"]
    assert losses["checkpoint"] == pytest.approx(losses["backprop"], rel=1e-5)
    assert losses["irdm"] == pytest.approx(losses["backprop"], rel=2e-2)
    assert losses["irdm"] != losses["backprop"]
