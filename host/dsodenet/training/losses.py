"""Losses to labels and to teachers, as terms of a recipe. With several teachers a loss is the mean over them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsodenet.training.objective import Seen, Term
from dsodenet.training.reversal import domain_loss, reverse
from dsodenet.training.task import Training

DISCRIMINATOR_WIDTH = 64


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T**2 KL(teacher || student) of logits (batch, classes), temperature T, mean over the batch (arXiv 1503.02531)."""
    log_p, log_q = F.log_softmax(teacher / temperature, 1), F.log_softmax(student / temperature, 1)
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


class CrossEntropy(Term):
    """Cross-entropy to the labels, smoothed by options.label_smoothing."""

    needs_labels = True

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__(training, student)
        self.label_smoothing = training.options.label_smoothing

    def forward(self, seen: Seen) -> Tensor:
        return F.cross_entropy(seen.source.logits, seen.batch.labels, label_smoothing=self.label_smoothing)


class Divergence(Term):
    """The divergence from each teacher on the same augmented images: all of function matching (arXiv 2106.05237)."""

    needs_teacher = True

    def __init__(self, training: Training, student: nn.Module, temperature: float) -> None:
        super().__init__(training, student)
        self.temperature = training.options.temperature or temperature

    def forward(self, seen: Seen) -> Tensor:
        losses = [divergence(seen.source.logits, teacher.logits, self.temperature) for teacher in seen.batch.teachers]
        return torch.stack(losses).mean()


class TargetDivergence(Term):
    """The same on the unlabelled target images, rising with progress from low to high exponentially."""

    needs_teacher = needs_target = True

    def __init__(self, training: Training, student: nn.Module, temperature: float, low: float, high: float) -> None:
        super().__init__(training, student)
        self.temperature, self.low, self.high = temperature, low, high

    def forward(self, seen: Seen) -> Tensor:
        losses = [
            divergence(seen.adapted.logits, teacher.logits, self.temperature) for teacher in seen.batch.target_teachers
        ]
        return self.low * (self.high / self.low) ** seen.batch.progress * torch.stack(losses).mean()


class SoftCrossEntropy(Term):
    """Cross-entropy to the averaged probabilities of the teachers (MEAL V2, arXiv 2009.08453).

    There is no label and no temperature.
    """

    needs_teacher = True

    def forward(self, seen: Seen) -> Tensor:
        return F.cross_entropy(seen.source.logits, _averaged(seen))


class Discriminator(Term):
    """MEAL V2's: a small network tells the student's logits from the teachers'; the student learns to mislead it."""

    rate = 0.1  # the judge is to learn no faster than the student whom it judges
    needs_teacher = True

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__(training, student)
        classes = training.spec.network.num_classes
        self.judge = discriminator(classes)

    def forward(self, seen: Seen) -> Tensor:
        teachers = _averaged(seen).clamp_min(1e-6).log()  # both as log-probabilities, whatever their scale of logits
        student = F.log_softmax(seen.source.logits, 1)
        return domain_loss(self.judge, teachers, reverse(student, 1.0))


class TeacherHead(Term):
    """TH-KD (arXiv 2201.06945): the teacher's frozen last layer as a second one of the student, which must reproduce
    the teacher through it. Where the embeddings differ in width, a fixed map projects one to the other: a learned one
    would reproduce the teacher in the student's place. The exported network has its own head only.
    """

    needs_teacher = True

    def __init__(self, training: Training, student: nn.Module, temperature: float) -> None:
        super().__init__(training, student)
        self.temperature = temperature
        width = classifier_of(student).in_features
        self._heads = [
            classifier_of(teacher.network) for teacher in training.teachers
        ]  # a list hides them: they are no parameters of this term
        self.joins = nn.ModuleList(join(width, head.in_features) for head in self._heads)

    def forward(self, seen: Seen) -> Tensor:
        losses = []
        for head, joined, teacher in zip(self._heads, self.joins, seen.batch.teachers):
            losses.append(divergence(head(joined(seen.source.embedding)), teacher.logits, self.temperature))
        return torch.stack(losses).mean()


def classifier_of(network: nn.Module) -> nn.Linear:
    """The last linear layer of a network, embedding -> logits."""
    source: Any = network
    head: nn.Linear = source.classifier
    return head


def join(width: int, other: int) -> nn.Module:
    """A fixed orthogonal map between embeddings; the identity where they are equally wide."""
    if width == other:
        return nn.Identity()
    fixed = nn.Linear(width, other, bias=False).requires_grad_(False)
    nn.init.orthogonal_(fixed.weight)
    return fixed


def discriminator(width: int) -> nn.Module:
    """(batch, width) -> (batch, 1), a logit."""
    hidden = DISCRIMINATOR_WIDTH
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
    )


def _averaged(seen: Seen) -> Tensor:
    return torch.stack([F.softmax(teacher.logits, 1) for teacher in seen.batch.teachers]).mean(0)
