"""Teachers have the sizes that their papers and other implementations report, and the interface of a student."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from torch import nn

from dsodenet.errors import InputError
from dsodenet.nets import teachers
from dsodenet.nets.network import DsODENet
from dsodenet.nets.teachers import Blur, SqueezeExcite, full_odenet, teacher
from dsodenet.spec.layers import parameter_comparison, parameters
from dsodenet.spec.synthetic import random_images
from dsodenet.training.teaching import TEACHERS, make_teachers


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "millions", "digits"),
    [
        ("tresnet_m", 1000, 31.39, 2),  # the model cards of timm, whose weights are the authors' with plain BatchNorm
        ("tresnet_l", 1000, 55.99, 2),
        ("tresnet_xl", 1000, 78.44, 2),
        ("resnet20", 10, 0.27, 2),  # table 6 of arXiv 1512.03385
        ("resnet56", 10, 0.85, 2),
    ],
)
def test_sizes_are_the_published_ones(name, classes, millions, digits):
    with torch.device("meta"):
        network = teacher(name, classes, 3)
    assert round(count(network) / 1e6, digits) == millions


def test_tresnet_m_without_its_classifier_is_the_papers():
    with torch.device("meta"):
        assert count(teacher("tresnet_m", 1000, 3).body) / 1e6 == pytest.approx(29.4, abs=0.1)


@pytest.mark.parametrize("name", ["tresnet_m", "tresnet_small", "resnet20", "odenet_full", "wide"])
def test_a_teacher_sees_what_a_student_sees(make_spec, name):
    spec = make_spec(channels=(4, 6), in_channels=2, num_classes=3)
    (found,) = make_teachers(name, spec)
    network, images = found.network.train(), torch.from_numpy(random_images(spec, 4, 1))
    outputs = network.outputs(images)
    assert outputs.logits.shape == (4, 3)
    assert torch.allclose(network.classifier(outputs.embedding), outputs.logits, atol=1e-5)
    outputs.logits.square().sum().backward()
    assert {key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()} == set()
    network.eval()
    assert torch.equal(network(images), network(images / 255))


def test_unknown_teachers_and_sizes_are_refused(make_spec):
    with pytest.raises(InputError, match=r"teacher is 'magic', but it must be one of .*resnet20"):
        make_teachers("magic", make_spec())
    with pytest.raises(InputError, match="teacher is 'magic', but it must be one of tresnet_m"):
        teacher("magic", 10, 1)
    with pytest.raises(InputError, match="tresnet_m cannot take images of 18 x 16 pixels"):
        make_teachers("tresnet_m", make_spec(height=18))
    assert set(teachers.TEACHERS) < set(TEACHERS)


def test_blur_is_a_convolution_with_the_binomial_filter():
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    blurred = Blur().double()(x)
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    expected = np.array([[scipy.signal.convolve2d(m, taps, "valid")[::2, ::2] for m in image] for image in padded])
    assert np.allclose(blurred.numpy(), expected)
    assert torch.equal(Blur()(torch.ones(1, 2, 1, 1)), torch.ones(1, 2, 1, 1))


def test_squeeze_and_excitation_scales_channels_by_a_gate():
    x, part = torch.randn(2, 8, 4, 4), SqueezeExcite(8, 4)
    ratio = part(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-5)
    assert 0 < ratio.min() < ratio.max() < 1


def test_the_full_odenet_has_the_skeleton_of_the_student(make_spec):
    spec = make_spec(channels=(4, 6), height=8, width=10)
    network = full_odenet(spec)
    outer = sum(parameters(spec)[name] for name in ("stem", "head"))
    assert count(network) == parameter_comparison(spec)["full"] + outer


def test_the_full_odenet_computes_what_its_separated_twin_does(make_spec):
    """A depthwise layer and the pointwise one behind it are one full convolution; its weight is their product."""
    spec = make_spec(method="rk4", n_steps=3, channels=(4, 6), height=8, width=10)
    torch.manual_seed(0)
    student, full = DsODENet(spec).double().eval(), full_odenet(spec).double().eval()

    @torch.no_grad()
    def join(target: nn.Conv2d, dw: nn.Conv2d, pw: nn.Conv2d) -> None:
        nn.init.normal_(pw.bias)
        target.weight.copy_(pw.weight * dw.weight[None, :, 0])
        target.bias.copy_(pw.bias)

    sections, body = student.sections, full.body
    body.stem.load_state_dict(sections["stem"].conv.state_dict())
    for name in ("f1", "f2"):
        f = sections[name].f
        join(getattr(body, name).conv1, f.dw1, f.pw1)
        join(getattr(body, name).conv2, f.dw2, f.pw2)
    join(body.down1, sections["down1"].dw, sections["down1"].pw)
    full.classifier.load_state_dict(student.classifier.state_dict())
    images = torch.from_numpy(random_images(spec, 3, 1))
    assert torch.allclose(full(images), student(images), atol=1e-12)
    assert full(images).std(dim=0).min() > 1e-3
