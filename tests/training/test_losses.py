"""Terms of a recipe against torch, finite differences and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsodenet.data.dataset import Dataset
from dsodenet.nets.network import DsODENet, calibrate
from dsodenet.nets.parts import Outputs
from dsodenet.spec.synthetic import random_images
from dsodenet.training.adaptation import (
    ClassifierDiscrepancy,
    ConditionalAdversary,
    CorrelationAlignment,
    DomainAdversary,
    InformationMaximisation,
    conditioned,
    covariance,
)
from dsodenet.training.augment import mixed
from dsodenet.training.losses import (
    CrossEntropy,
    Discriminator,
    Divergence,
    SoftCrossEntropy,
    TargetDivergence,
    TeacherHead,
    divergence,
)
from dsodenet.training.objective import Batch, Loss, Seen, Step
from dsodenet.training.options import Options
from dsodenet.training.reversal import domain_loss, ramp, reverse
from dsodenet.training.task import Teacher, Training
from dsodenet.training.teaching import TEACHERS

CLASSES, WIDTH, COUNT = 5, 4, 12


@pytest.fixture
def training(make_spec) -> Training:
    torch.manual_seed(0)
    spec = make_spec(channels=(WIDTH,), height=8, width=8, num_classes=CLASSES)
    images, labels = random_images(spec, COUNT, seed=1), torch.arange(COUNT).numpy() % CLASSES
    data = Dataset("random", images, labels, images, labels, tuple("abcde"))
    teachers = [Teacher("wide", TEACHERS["wide"](spec), True), Teacher("same", DsODENet(spec), True)]
    return Training(spec, data, Options(progress=False), target=data, teachers=teachers)


def outputs(seed: int, width: int = WIDTH) -> Outputs:
    random = torch.Generator().manual_seed(seed)
    return Outputs(torch.randn(COUNT, width, generator=random), 3 * torch.randn(COUNT, CLASSES, generator=random))


@pytest.fixture
def seen() -> Seen:
    labels = torch.arange(COUNT) % CLASSES
    teachers, on_target = (outputs(1, 3 * WIDTH), outputs(2)), (outputs(3, 3 * WIDTH), outputs(4))
    batch = Batch(torch.zeros(COUNT, 1, 8, 8, dtype=torch.uint8), labels, None, teachers, on_target, progress=0.5)
    return Seen(batch, outputs(5), outputs(6))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_that_of_torch_distributions(temperature):
    student, teacher = outputs(1).logits, outputs(2).logits
    p, q = (torch.distributions.Categorical(logits=x / temperature) for x in (teacher, student))
    expected = temperature**2 * torch.distributions.kl_divergence(p, q).mean()
    assert divergence(student, teacher, temperature) == pytest.approx(expected.item(), rel=1e-5)
    assert divergence(teacher, teacher, temperature) == pytest.approx(0, abs=1e-6)


def test_temperature_keeps_the_size_of_the_gradient():
    """At a high temperature T**2 KL is half the squared distance of centred logits (arXiv 1503.02531), over classes."""
    student, teacher = outputs(1).logits, outputs(2).logits
    distance = student - teacher
    centred = distance - distance.mean(1, keepdim=True)
    expected = centred.square().sum(1).mean() / (2 * CLASSES)
    assert divergence(student.double(), teacher.double(), 1e3) == pytest.approx(expected.item(), rel=1e-2)


def test_distillation_terms(training, seen):
    student = DsODENet(training.spec)
    first, second = (teacher.logits for teacher in seen.batch.teachers)
    both = [divergence(seen.source.logits, x, 4.0) for x in (first, second)]
    assert Divergence(training, student, 4.0)(seen) == pytest.approx((sum(both) / 2).item())
    average = (first.softmax(1) + second.softmax(1)) / 2
    soft = -(average * seen.source.logits.log_softmax(1)).sum(1).mean()
    assert SoftCrossEntropy(training, student)(seen) == pytest.approx(soft.item(), rel=1e-5)
    on_target = sum(divergence(seen.adapted.logits, x.logits, 2.0) for x in seen.batch.target_teachers) / 2
    rising = TargetDivergence(training, student, temperature=2.0, low=0.1, high=0.9)
    assert rising(seen) == pytest.approx(0.3 * on_target.item(), rel=1e-5)  # half way from 0.1 to 0.9


def test_the_teachers_head_is_frozen_and_joined_where_widths_differ(training, seen):
    student = DsODENet(training.spec)
    term = TeacherHead(training, student, temperature=4.0)
    wide, same = term.joins
    assert isinstance(wide, nn.Linear)
    assert isinstance(same, nn.Identity)
    assert not any(p.requires_grad for p in term.parameters())  # the student cannot leave its work to the map
    assert torch.allclose(wide.weight.T @ wide.weight, torch.eye(WIDTH), atol=1e-5)
    heads = [teacher.network.classifier for teacher in training.teachers]
    logits = heads[0](F.linear(seen.source.embedding, wide.weight, wide.bias)), heads[1](seen.source.embedding)
    expected = sum(divergence(x, teacher.logits, 4.0) for x, teacher in zip(logits, seen.batch.teachers)) / 2
    assert term(seen).item() == pytest.approx(expected.item(), rel=1e-5)


def test_cross_entropy_takes_mixed_labels():
    images, labels = torch.randint(0, 256, (64, 1, 4, 4), dtype=torch.uint8), torch.arange(64) % CLASSES
    torch.manual_seed(3)
    blended, shares = mixed(images, labels, CLASSES, 1.0)
    assert blended.dtype == torch.uint8
    assert shares.sum(1) == pytest.approx(torch.ones(64))
    torch.manual_seed(3)
    share, other = torch.distributions.Beta(1.0, 1.0).sample((64,)), torch.randperm(64)
    exact = share[:, None, None, None] * images + (1 - share)[:, None, None, None] * images[other]
    assert (blended - exact).abs().max() <= 0.5 + 1e-4
    logits = torch.randn(64, CLASSES)
    each = F.cross_entropy(logits, labels, reduction="none"), F.cross_entropy(logits, labels[other], reduction="none")
    assert F.cross_entropy(logits, shares) == pytest.approx(
        (share * each[0] + (1 - share) * each[1]).mean().item(), rel=1e-5
    )


# adversaries
# ------------------------------------------------------------------------------------------------------------------


def numerical_gradient(function, x: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    result = torch.zeros_like(x)
    for i in range(x.numel()):
        shift = torch.zeros_like(x).view(-1)
        shift[i] = step
        result.view(-1)[i] = (function(x + shift.view_as(x)) - function(x - shift.view_as(x))) / (2 * step)
    return result


def test_reversal_turns_the_gradient_of_what_is_before_it_by_finite_differences():
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Linear(WIDTH, 7), nn.Tanh(), nn.Linear(7, 1)).double()
    weight = torch.randn(WIDTH, 3, dtype=torch.float64)
    ones, zeros = torch.randn(2, COUNT, 3, dtype=torch.float64)

    def loss(w: torch.Tensor, scale: float) -> torch.Tensor:
        return domain_loss(judge, reverse(F.linear(ones, w), scale), reverse(F.linear(zeros, w), scale))

    true = numerical_gradient(lambda w: loss(w, 0.7).detach(), weight)  # forwards, reversal does nothing
    tracked = weight.clone().requires_grad_()
    loss(tracked, 0.7).backward()
    assert torch.allclose(tracked.grad, -0.7 * true, atol=1e-8)
    behind = judge[2].weight
    true_behind = numerical_gradient(lambda w: _with_last(judge, w, lambda: loss(weight, 0.7)), behind.detach().clone())
    assert torch.allclose(behind.grad, true_behind, atol=1e-8)


def _with_last(judge: nn.Sequential, weight: torch.Tensor, function) -> torch.Tensor:
    before = judge[2].weight.detach().clone()
    with torch.no_grad():
        judge[2].weight.copy_(weight)
        value = function()
        judge[2].weight.copy_(before)
    return value


def test_the_domain_loss_is_binary_cross_entropy():
    logits = torch.tensor([[0.3], [-1.2], [2.0]])
    expected = torch.stack([*(-F.logsigmoid(logits[:2])), *(-F.logsigmoid(-logits[2:]))]).mean()
    assert domain_loss(nn.Identity(), logits[:2], logits[2:]) == pytest.approx(expected.item())


def test_the_ramp_is_that_of_the_paper():
    assert ramp(0) == 0
    assert ramp(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert ramp(1) == pytest.approx(1, abs=1e-4)


def test_covariance_and_coral(training, seen):
    x, y = seen.source.embedding, seen.adapted.embedding
    assert torch.allclose(covariance(x), torch.cov(x.T), atol=1e-6)
    expected = torch.linalg.matrix_norm(torch.cov(x.T) - torch.cov(y.T)) ** 2 / (4 * WIDTH**2)
    assert CorrelationAlignment(training, DsODENet(training.spec))(seen) == pytest.approx(expected.item(), rel=1e-5)


def test_information_is_that_of_the_joint_distribution(training, seen):
    """I(image; class) as the divergence of the joint distribution from the product of its marginals."""
    p = F.softmax(seen.adapted.logits, 1)
    joint, product = p / COUNT, torch.full((COUNT, 1), 1 / COUNT) * p.mean(0)
    information = (joint * (joint / product).log()).sum()
    term = InformationMaximisation(training, DsODENet(training.spec))
    assert term(seen).item() == pytest.approx(-ramp(0.5) * information.item(), rel=1e-5)
    certain = (1000 * seen.adapted.logits).requires_grad_()  # probabilities that underflow to 0
    term(Seen(seen.batch, seen.source, Outputs(seen.adapted.embedding, certain))).backward()
    assert certain.grad.isfinite().all()


def test_a_conditional_adversary_sees_outer_products_and_sends_no_gradient_to_the_classes(training, seen):
    embedding, logits = seen.source.embedding.clone().requires_grad_(), seen.source.logits.clone().requires_grad_()
    joined = conditioned(Outputs(embedding, logits))
    for row, e, logit in zip(joined, embedding, logits):
        assert torch.allclose(row, torch.outer(e, logit.softmax(0)).flatten())
    joined.square().sum().backward()
    assert embedding.grad.abs().sum() > 0
    assert logits.grad is None
    judge = ConditionalAdversary(training, DsODENet(training.spec)).judge
    assert judge[0].in_features == WIDTH * CLASSES


@pytest.mark.parametrize("bits", [None, 8])
def test_classifiers_seek_to_differ_and_the_embedding_to_agree(training, seen, bits):
    student = DsODENet(training.spec, bits)
    if bits is not None:
        calibrate(student, torch.from_numpy(training.data.train_images))
    term = ClassifierDiscrepancy(training, student)
    source, target = (Outputs(o.embedding.clone().requires_grad_(), o.logits) for o in (seen.source, seen.adapted))

    def discrepancy() -> torch.Tensor:
        head = student.classifier
        weight = head.weight if bits is None else head.quant_weight().value
        first = F.softmax(F.linear(target.embedding, weight, head.bias), 1)
        return (first - F.softmax(term.second(target.embedding), 1)).abs().sum(1).mean()

    (expected,) = torch.autograd.grad(discrepancy(), target.embedding)
    (of_head,) = torch.autograd.grad(discrepancy(), student.classifier.weight)
    term(Seen(seen.batch, source, target)).backward()
    assert torch.allclose(target.embedding.grad, ramp(0.5) * expected, atol=1e-7)  # descends the discrepancy
    assert torch.allclose(student.classifier.weight.grad, -of_head, atol=1e-7)  # climbs it
    assert source.embedding.grad.abs().sum() > 0  # both classify the source


@pytest.mark.parametrize(
    "term",
    [
        CrossEntropy,
        SoftCrossEntropy,
        Discriminator,
        DomainAdversary,
        ConditionalAdversary,
        InformationMaximisation,
        ClassifierDiscrepancy,
        CorrelationAlignment,
    ],
)
@pytest.mark.parametrize("bits", [None, 8])
def test_a_term_reaches_every_weight_of_the_student_and_its_own(training, term, bits):
    student = DsODENet(training.spec, bits)
    images = torch.from_numpy(training.data.train_images)
    if bits is not None:
        calibrate(student, images)
    own = term(training, student)
    step = Step(student, nn.ModuleList([CrossEntropy(training, student), own]), (1.0, 0.5)).train()
    target = images.flip(0) if term.needs_target else None
    teachers = tuple(t.network.outputs(images) for t in training.teachers)
    values = step(Batch(images, torch.from_numpy(training.data.train_labels), target, teachers, (), 0.5))
    assert values.shape == (2,)
    values[1].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own.parameters())
    body = [p for name, p in student.named_parameters() if name.endswith("weight") and "head" not in name]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in body)


def test_two_domains_in_one_call_are_the_same_as_two(training):
    student, images = DsODENet(training.spec), torch.from_numpy(training.data.train_images)
    found = []

    class Look(CrossEntropy):
        def forward(self, seen: Seen) -> torch.Tensor:
            found.append(seen)
            return super().forward(seen)

    loss = Loss(Look)
    step = Step(student, nn.ModuleList([loss.term(training, student)]), (loss.weight,))
    step(Batch(images[:6], torch.zeros(6, dtype=torch.int64), images[6:]))
    for part, outputs_ in ((images[:6], found[0].source), (images[6:], found[0].target)):
        assert torch.allclose(outputs_.logits, student(part), atol=1e-6)
