"""A network of which a part is 0 everywhere, as a dead ReLU leaves it, is quantised and exported like any other."""

from __future__ import annotations

import pytest
import torch

from dsodenet.exporting.integers import extract, torch_logits
from dsodenet.nets.network import DsODENet, calibrate
from dsodenet.reference import Reference
from dsodenet.spec.synthetic import random_images


@pytest.mark.parametrize("dead", ["stem.conv", "f1.pw1", "down1.pw", ""])
def test_a_tensor_that_is_zero_has_a_power_of_two_for_its_scale(dead: str, make_spec) -> None:
    torch.manual_seed(0)
    model = DsODENet(make_spec(channels=(3, 2), height=8, width=8))
    for layer in (dead,) if dead else ("stem.conv", "f1.dw1", "f1.pw2", "head.linear"):
        for parameter in model.layer(layer).parameters():
            torch.nn.init.zeros_(parameter)
    quantised = model.quantised()
    images = random_images(model.spec, 16, 0)
    calibrate(quantised, torch.from_numpy(images))
    params = extract(quantised)
    assert (Reference(params).predict(images) == torch_logits(quantised, images, params.logits_scale)).all()
