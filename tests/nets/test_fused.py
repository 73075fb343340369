"""Fused training arithmetic gives Brevitas' values, and its gradients; a second forward of torch is the judge."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from dsodenet.nets.fused import Fused
from dsodenet.nets.network import DsODENet, calibrate
from dsodenet.nets.quantisers import CALIBRATION_CALLS, Quantisers
from dsodenet.spec import LowRank, Spec
from dsodenet.spec.synthetic import random_images

SPECS = {
    "euler": {},
    "rk4 in time": {"method": "rk4", "n_steps": 2, "time": "bias"},
    "truncating": {"quantisation": {"rounding": "TRN"}, "method": "heun"},
    "4-bit weights": {"quantisation": {"weight_bit_width": 4}},
    "low rank": {"low_rank": (LowRank("f1.pw1", 2),)},
    "stem of blocks": {"stem": "space_to_depth_2"},
}


def calibrated(spec: Spec) -> DsODENet:
    torch.manual_seed(2)
    model = DsODENet(spec)
    with torch.no_grad():
        for parameter in model.parameters():  # also biases and knots, which start as zeros
            parameter.add_(0.1 * torch.randn_like(parameter))
    model = model.quantised()
    calibrate(model, torch.from_numpy(random_images(spec, 16, seed=1)))
    return model.train()


@pytest.mark.parametrize("case", SPECS)
def test_every_logit_is_that_of_brevitas(make_spec, case: str) -> None:
    spec = make_spec(channels=(4, 6), height=8, width=8, **SPECS[case])
    model = calibrated(spec)
    images = torch.from_numpy(random_images(spec, 32, seed=7))
    fused = copy.deepcopy(model)
    fused.fuse()
    expected, found = model.outputs(images), fused.outputs(images)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.embedding, expected.embedding)
    assert len(set(expected.logits.flatten().tolist())) > 20
    towards = torch.randn(32, 10)
    for network in (model, fused):
        network.zero_grad()
        (network.outputs(images).logits * towards).sum().backward()
    for (name, a), b in zip(model.named_parameters(), fused.parameters()):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            difference = float((a.grad - b.grad).norm() / a.grad.norm().clamp_min(1e-9))
            if name.endswith(("weight", "bias", "knots")):
                # Brevitas also moves the largest weight by the rounding of all others, which weighs more in 4 bits.
                assert difference < (0.03 if spec.quantisation.weight_bit_width == 8 else 0.15), name
    assert torch.equal(fused.eval()(images), model.eval()(images))


@pytest.mark.parametrize("rounding", ["RND_CONV", "TRN"])
@pytest.mark.parametrize("kind", ["activation", "relu", "state"])
def test_a_quantiser_and_both_its_gradients_are_those_of_brevitas(kind: str, rounding: str) -> None:
    torch.manual_seed(0)
    quantisation = replace(Spec.named("xs").quantisation, rounding=rounding)
    module = getattr(Quantisers(quantisation), kind)().train()
    for _ in range(CALIBRATION_CALLS + 1):
        module(torch.randn(500))
    scaling = module.act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl
    x = torch.cat([3 * torch.randn(5000), torch.linspace(-9, 9, 1000)])  # some beyond the range of both sides
    towards = torch.randn(len(x))
    results = []
    for quantise in (module, Fused({"x": module}, {}).calls()[0]["x"]):
        scaling.value.grad, argument = None, x.clone().requires_grad_()
        made = quantise(argument)
        made = made if isinstance(made, torch.Tensor) else made.value
        (made * towards).sum().backward()
        results.append((made.detach(), argument.grad, scaling.value.grad))
    for expected, found in zip(*results):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(results[0][0], results[1][0])
    assert not results[0][1].all()  # some were clamped
