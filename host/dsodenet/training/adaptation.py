"""Losses that adapt a network to a target domain whose images have no labels, as terms of a recipe."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsodenet.nets import Outputs
from dsodenet.training.losses import classifier_of, discriminator
from dsodenet.training.objective import Seen, Term
from dsodenet.training.reversal import domain_loss, ramp, reverse
from dsodenet.training.task import Training


class DomainAdversary(Term):
    """DANN (arXiv 1505.07818): a discriminator tells the domains apart by the embedding, which learns to mislead it."""

    needs_target = True

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__(training, student)
        self.judge = discriminator(classifier_of(student).in_features)

    def forward(self, seen: Seen) -> Tensor:
        scale = ramp(seen.batch.progress)
        return domain_loss(self.judge, reverse(seen.source.embedding, scale), reverse(seen.adapted.embedding, scale))


class ConditionalAdversary(Term):
    """CDAN (arXiv 1705.10667): a discriminator of the outer product of embedding and class probabilities, so that the
    domains are brought together class by class. The probabilities only condition it: no gradient goes through them.
    """

    needs_target = True

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__(training, student)
        head = classifier_of(student)
        self.judge = discriminator(head.in_features * head.out_features)

    def forward(self, seen: Seen) -> Tensor:
        scale = ramp(seen.batch.progress)
        return domain_loss(self.judge, *(reverse(conditioned(part), scale) for part in (seen.source, seen.adapted)))


def conditioned(outputs: Outputs) -> Tensor:
    """Embedding (batch, width) times class probabilities (batch, classes) -> (batch, width * classes)."""
    probabilities = F.softmax(outputs.logits, 1).detach()
    return (outputs.embedding[:, :, None] * probabilities[:, None, :]).flatten(1)


class InformationMaximisation(Term):
    """Minus the mutual information of target images and their classes (arXiv 2002.08546), under the adversary's ramp:
    each image is to have one class, and all images together every class. It takes the target's classes to be about
    equally frequent.
    """

    needs_target = True

    def forward(self, seen: Seen) -> Tensor:
        each = F.log_softmax(seen.adapted.logits, 1)
        together = torch.logsumexp(each, 0) - math.log(len(each))
        information = entropy(together) - entropy(each).mean()
        return -ramp(seen.batch.progress) * information


def entropy(log_probabilities: Tensor) -> Tensor:
    """In nats, over the last dimension.

    Of logarithms, since a probability may underflow to 0, where the gradient has none.
    """
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


class ClassifierDiscrepancy(Term):
    """MCD (arXiv 1712.02560): a second classifier of the same embedding.

    On target images both seek to differ and the embedding seeks to make them agree; here in one step, through a
    reversed gradient, as the authors' own one-step variant does.
    """

    needs_labels = needs_target = True

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__(training, student)
        self._first = classifier_of(student)
        self.second = nn.Linear(self._first.in_features, self._first.out_features)
        self.label_smoothing = training.options.label_smoothing

    def forward(self, seen: Seen) -> Tensor:
        labelled = F.cross_entropy(
            self.second(seen.source.embedding), seen.batch.labels, label_smoothing=self.label_smoothing
        )
        embedding = reverse(seen.adapted.embedding, ramp(seen.batch.progress))
        first, second = (F.softmax(logits, 1) for logits in (_classify(self._first, embedding), self.second(embedding)))
        return labelled - (first - second).abs().sum(1).mean()


def _classify(head: nn.Linear, embedding: Tensor) -> Tensor:
    """Logits by the weights that the head computes with.

    A quantised head itself would ask for the embedding's scale.
    """
    from brevitas.nn import QuantLinear

    weight = head.quant_weight().value if isinstance(head, QuantLinear) else head.weight
    return F.linear(embedding, weight, head.bias)


class CorrelationAlignment(Term):
    """Deep CORAL (arXiv 1607.01719): |C_source - C_target|**2 / (4 d**2) of the embeddings' covariances, width d."""

    needs_target = True
    least_batch = 2  # one image has no covariance

    def forward(self, seen: Seen) -> Tensor:
        difference = covariance(seen.source.embedding) - covariance(seen.adapted.embedding)
        return difference.square().sum() / (4 * len(difference) ** 2)


def covariance(x: Tensor) -> Tensor:
    """(batch, width) -> (width, width), with batch - 1 in the denominator."""
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)
