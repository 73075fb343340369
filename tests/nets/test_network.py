"""The torch model: torchdiffeq integrates the same f to the same result, and folding changes no output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from dsodenet.errors import SpecError
from dsodenet.nets.network import DsODENet, OdeBlock, calibrate, pixels
from dsodenet.nets.time_table import EvaluationNorm
from dsodenet.spec.layers import parameters, sections
from dsodenet.spec.solvers import TABLEAUS
from dsodenet.spec.specification import FLOAT_ONLY_NORMS, FOLDING_NORMS, Spec
from dsodenet.spec.synthetic import random_images

TORCHDIFFEQ = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4_38": "rk4"}


def images_for(spec: Spec, count: int = 6) -> Tensor:
    return torch.from_numpy(random_images(spec, count, seed=3))


@torch.no_grad()
def disturb(model: nn.Module) -> None:
    """Give every parameter and every running mean a value that shows when it is lost."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.3 * torch.randn_like(buffer))
        if name.endswith("running_var"):
            buffer.mul_(torch.empty_like(buffer).uniform_(0.5, 2))


def make_model(spec: Spec) -> DsODENet:
    torch.manual_seed(1)
    model = DsODENet(spec).double()
    model.train()
    model(images_for(spec))  # spectral norm and running statistics settle
    disturb(model)
    return model.eval()


@pytest.mark.parametrize("method", TORCHDIFFEQ)
@pytest.mark.parametrize("time", ["none", "bias"])
@torch.no_grad()
def test_the_block_is_what_torchdiffeq_integrates(make_spec, method, time):
    spec = make_spec(
        method=method, n_steps=4, solver={"t0": 0.5, "t1": 2.5}, channels=(4, 6), height=8, width=6, time=time
    )
    model = make_model(spec)
    block = model.sections["f1"]
    assert isinstance(block, OdeBlock)

    def f(t: Tensor, z: Tensor) -> Tensor:
        if block.table is None:
            return block.f(z)
        knots = block.table.knots
        where = (t - 0.5) / 2.0 * (len(knots) - 1)
        index = min(int(where), len(knots) - 2)
        return block.f(z, torch.lerp(knots[index], knots[index + 1], where - index)[:, None, None])

    z0 = torch.randn(3, 4, 8, 6, dtype=torch.float64)
    expected = odeint(f, z0, torch.tensor([0.5, 2.5]).double(), method=TORCHDIFFEQ[method], options={"step_size": 0.5})[
        -1
    ]
    # A time is rounded to 2**-12 of a knot interval: that, times the largest step between knots, is the tolerance.
    tolerance = 1e-12 if time == "none" else 2e-3
    assert torch.allclose(block(z0, spec, False), expected, atol=tolerance, rtol=0)
    assert (expected - z0).abs().max() > 0.1


@pytest.mark.parametrize("time", ["none", "bias"])
@pytest.mark.parametrize("norm", FOLDING_NORMS)
@torch.no_grad()
def test_folding_keeps_the_outputs(make_spec, norm, time):
    spec = make_spec(method="midpoint", n_steps=3, channels=(4, 6), height=8, width=8, norm=norm, time=time)
    model = make_model(spec)
    images = images_for(spec)
    before = model(images)
    folded = model.folded().double()
    assert torch.allclose(folded(images), before, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) or "Parametrized" in type(m).__name__ for m in folded.modules())
    assert (before - make_model(make_spec(channels=(4, 6), height=8, width=8))(images)).abs().max() > 1e-2
    assert folded.folded() is folded


@torch.no_grad()
def test_batch_norm_keeps_one_mean_per_time_and_one_scale(make_spec):
    spec = make_spec(
        method="euler", n_steps=4, channels=(4,), height=8, width=8, norm="batch_mean_per_evaluation", time_knots=5
    )
    torch.manual_seed(0)
    model = DsODENet(spec)
    model.train()
    for _ in range(100):
        model(images_for(spec))
    block, seen = model.sections["f1"], []
    block.f.pw1.register_forward_hook(lambda module, inputs, output: seen.append(output.mean(dim=(0, 2, 3))))
    model(images_for(spec))
    # Euler with four steps evaluates f at the first four of five knots.
    assert torch.allclose(torch.stack(seen), block.norm.running_mean[:4], atol=1e-3)
    assert block.norm.running_var.shape == (1, 4)


def test_batch_norm_between_two_knots_moves_the_nearer_one_more():
    norm, x = EvaluationNorm(3, 5, 1), torch.randn(8, 3, 4, 4) + 2
    norm.train()
    for _ in range(200):
        norm(x, 1, 0.25, [])
    mean, moved = x.mean(dim=(0, 2, 3)), norm.running_mean
    assert torch.allclose(torch.lerp(moved[1], moved[2], 0.25), mean, atol=1e-3)
    assert torch.allclose(moved[1], 3 * moved[2])
    assert not moved[[0, 3, 4]].any()


@torch.no_grad()
def test_batch_norm_in_use_is_what_it_was_in_training(make_spec):
    """Also where the slope's variance changes on the way: a network that blows up shows it."""
    norm = "batch_mean_per_evaluation"
    spec = make_spec(n_steps=3, channels=(4,), height=8, width=8, norm=norm, time_knots=4)
    torch.manual_seed(0)
    model = DsODENet(spec).double()
    for name, parameter in model.named_parameters():
        if name.endswith("pw2.weight"):
            parameter.mul_(8)
    images = images_for(spec, 64)
    model.train()
    for _ in range(300):
        trained = model(images)
    used = model.eval()(images)
    assert (trained - used).abs().max() < 0.02 * trained.std()


def test_batch_norm_with_one_mean_and_variance_is_that_of_torch():
    torch.manual_seed(0)
    norm, expected = EvaluationNorm(3, 1, 1), nn.BatchNorm2d(3)
    for module in (norm, expected):
        torch.manual_seed(1)
        nn.init.normal_(module.weight), nn.init.normal_(module.bias)
    for _ in range(3):
        x = torch.randn(4, 3, 5, 6) * torch.tensor([1.0, 2.0, 3.0])[:, None, None] + 1
        assert torch.allclose(norm(x, 2, 0.5, []), expected(x), atol=1e-5)
    assert torch.allclose(norm.running_mean[0], expected.running_mean)
    assert torch.allclose(norm.running_var[0], expected.running_var)
    assert torch.allclose(norm.eval()(x, 0, 0.0, []), expected.eval()(x), atol=1e-5)


def test_batch_norm_per_evaluation_is_a_batch_norm_for_each():
    norm, alone = EvaluationNorm(3, 4, 4), [nn.BatchNorm2d(3) for _ in range(4)]
    for seed in range(3):
        for index in range(3):
            torch.manual_seed(seed + 10 * index)
            x = (index + 1) * torch.randn(4, 3, 5, 6) + index
            assert torch.allclose(norm(x, index, 0.0, []), alone[index](x), atol=1e-5)
    norm.eval()
    for index in range(3):
        assert torch.allclose(norm(x, index, 0.0, []), alone[index].eval()(x), atol=1e-5)
    between = norm(x, 1, 0.25, [])
    mean, var = (torch.lerp(getattr(alone[1], k), getattr(alone[2], k), 0.25) for k in ("running_mean", "running_var"))
    assert torch.allclose(between, nn.functional.batch_norm(x, mean, var), atol=1e-5)


def test_gradients_reach_every_parameter(make_spec):
    for norm in (*FOLDING_NORMS, *FLOAT_ONLY_NORMS):
        spec = make_spec(channels=(4, 6), height=8, width=8, norm=norm, time="bias", method="heun")
        model = make_model(spec).train()
        nn.functional.cross_entropy(model(images_for(spec)), torch.arange(6)).backward()
        assert {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0} == set()


@pytest.mark.parametrize("time", ["none", "bias"])
def test_gradients_reach_every_parameter_through_the_quantisers(make_spec, time):
    spec = make_spec(channels=(4, 6), height=8, width=8, time=time)
    model = make_model(spec).float().quantised()
    calibrate(model, images_for(spec))
    model.train()
    for _ in range(3):  # scales are learned once calibration has ended
        model.zero_grad()
        nn.functional.cross_entropy(model(images_for(spec)), torch.arange(6)).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert {name for name in without if "scaling" not in name} == set()


def test_the_float_gradient_is_that_of_finite_differences(make_spec):
    spec = make_spec(channels=(3,), height=4, width=4, num_classes=2, time="bias", method="rk4")
    model = make_model(spec)
    images, knots = images_for(spec, 2), model.sections["f1"].table.knots

    def loss(value: Tensor) -> Tensor:
        return torch.func.functional_call(model, {"sections.f1.table.knots": value}, (images,)).square().sum()

    assert torch.autograd.gradcheck(loss, knots.detach().clone().requires_grad_())


@torch.no_grad()
def test_steps_and_solver_change_after_training(make_spec):
    spec = make_spec(channels=(4, 6), height=8, width=8, time="bias", method="euler", n_steps=1)
    model, images = make_model(spec), images_for(spec)
    results = {}
    for method in TABLEAUS:
        model.spec = spec.with_solver(method, 16)
        results[method] = model(images)
    exact = results["rk4"]
    model.spec = spec
    assert (model(images) - exact).abs().max() > 10 * (results["euler"] - exact).abs().max()
    for method in ("rk3", "rk4_38"):
        assert (results[method] - exact).abs().max() < 0.1 * (results["euler"] - exact).abs().max()


@torch.no_grad()
def test_the_quantised_model_starts_close_to_the_float_one(make_spec):
    spec = make_spec(channels=(4, 6), height=8, width=8, time="bias", quantisation={"weight_bit_width": 8})
    model, images = make_model(spec).float(), images_for(spec, 64)
    quantised = model.quantised()
    calibrate(quantised, images)
    expected = model(images)
    # 8 bits in nine roundings in a row: a few per cent of the range.
    assert (quantised(images) - expected).abs().max() < 0.1 * (expected.max() - expected.min())
    coarse = model.quantised(bit_width=2)
    assert coarse.spec.quantisation.weight_bit_width == 2
    assert coarse.layer("f1.pw1").quant_weight().value.unique().numel() <= 4


@torch.no_grad()
def test_quantised_values_lie_on_grids_of_powers_of_two(make_spec):
    spec = make_spec(channels=(4, 6), height=8, width=8, time="bias", quantisation={"state_bit_width": 12})
    model, images = make_model(spec).float().quantised(), images_for(spec)
    calibrate(model, images)
    for name, bits in (("z1", 12), ("f1.k", 8), ("f2.d1", 8), ("down1.x", 8), ("head.x", 8)):
        module, seen = model.activation(name), []
        hook = module.register_forward_hook(
            lambda m, i, output, seen=seen: seen.append(getattr(output, "value", output))
        )
        model(images)
        hook.remove()
        scale = module.act_quant.scale()
        assert torch.frexp(scale)[0] == 0.5
        integers = torch.cat([s.flatten() for s in seen]) / scale
        assert torch.equal(integers, integers.round())
        assert -(2 ** (bits - 1)) <= integers.min() < integers.max() < 2 ** (bits - 1)


@pytest.mark.parametrize("norm", FLOAT_ONLY_NORMS)
def test_what_does_not_fold_stays_float(make_spec, norm):
    spec = make_spec(channels=(4,), norm=norm)
    assert DsODENet(spec)(images_for(spec)).shape == (6, 10)
    for refused in (lambda: DsODENet(spec, 8), DsODENet(spec).folded, DsODENet(spec).quantised):
        with pytest.raises(SpecError, match="float"):
            refused()


def test_a_quantised_model_folds_no_more(make_spec):
    with pytest.raises(SpecError, match="only a float model"):
        DsODENet(make_spec(channels=(4,)), 8).folded()


def test_pixels_are_what_the_hardware_gets():
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(pixels(images, torch.float32), images / 256)
    assert torch.equal(pixels(images / 255, torch.float64), images.double() / 256)


@pytest.mark.parametrize("size", ["xs", "s"])
def test_parameters_are_those_of_the_layer_table(size):
    spec = Spec.named(size)
    model = DsODENet(spec)
    counted = {name: sum(p.numel() for p in section.parameters()) for name, section in model.sections.items()}
    assert counted == parameters(spec)


def test_names_of_the_layer_table_find_their_modules(make_spec):
    model = DsODENet(make_spec(channels=(4, 6)), 8)
    for section in sections(model.spec.network):
        for layer in section.layers:
            assert tuple(model.layer(layer.name).weight.reshape(layer.weight_shape).shape) == layer.weight_shape
            if layer.dest != "logits":
                assert isinstance(model.activation(layer.dest), nn.Module)
    assert model.activation("image") is model.sections["stem"].x


def test_a_new_network_tells_images_apart_better_than_by_the_default_initialisation():
    spec = Spec.named("xs")
    images = images_for(spec, 32)
    for seed in range(3):
        torch.manual_seed(seed)
        model = DsODENet(spec)
        spread = model(images).std(dim=0).mean()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        assert spread > 4 * model(images).std(dim=0).mean()
