"""What a training step minimises: a weighted sum of terms.

Each term is a module that sees what the networks made of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dsodenet.nets import Outputs
from dsodenet.training.task import Training


@dataclass
class Batch:
    """Images as augmented, and what the teachers say of exactly these."""

    images: Tensor  # uint8 (batch, channels, height, width)
    labels: Tensor  # int64 (batch,); after mixup float32 (batch, num_classes): both are what cross_entropy takes
    target_images: Tensor | None = None  # uint8, of the target domain, as many as images; never with labels
    teachers: tuple[Outputs, ...] = ()  # each teacher's outputs on `images`
    target_teachers: tuple[Outputs, ...] = ()  # on `target_images`
    progress: float = 0.0  # how much of the stage is done, from 0 to 1


@dataclass(frozen=True)
class Seen:
    """A batch and the student's outputs on it."""

    batch: Batch
    source: Outputs
    target: Outputs | None

    @property
    def adapted(self) -> Outputs:
        """The outputs on the target images, for terms that need a target."""
        assert self.target is not None
        return self.target


class Term(nn.Module):
    """One loss.

    Its own parameters (a discriminator, a second classifier, a projector) are trained with the student's and then
    dropped: the student alone is exported. Built as term(training, student, **settings)."""

    needs_labels: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = False
    needs_target: ClassVar[bool] = False
    rate: ClassVar[float] = 1.0  # of its own parameters, in shares of the student's
    least_batch: ClassVar[int] = 1  # images

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__()

    def forward(self, seen: Seen) -> Tensor:
        """Mean loss of the batch, a scalar."""
        raise NotImplementedError


@dataclass(frozen=True)
class Loss:
    """A term of a recipe, as data."""

    term: type[Term]
    weight: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)


class Step(nn.Module):
    """Student and terms as one module: one optimiser, one checkpoint and one DistributedDataParallel serve both."""

    def __init__(self, student: nn.Module, terms: nn.ModuleList, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.student, self.terms, self.weights = student, terms, weights
        self.outputs: Callable[[Tensor], Outputs] = student.outputs  # type: ignore[assignment]

    def own_parameters(self, term: nn.Module) -> list[nn.Parameter]:
        """Those that a term trains beside the student: some look at a layer of the student, too."""
        of_student = set(map(id, self.student.parameters()))
        return [p for p in term.parameters() if p.requires_grad and id(p) not in of_student]

    def forward(self, batch: Batch) -> Tensor:
        """The weighted terms, one each."""
        if batch.target_images is None:
            seen = Seen(batch, self.outputs(batch.images), None)
        else:  # one call for both domains
            both = self.outputs(torch.cat([batch.images, batch.target_images]))
            count = len(batch.images)
            seen = Seen(batch, Outputs(*(part[:count] for part in both)), Outputs(*(part[count:] for part in both)))
        return torch.stack([weight * term(seen) for weight, term in zip(self.weights, self.terms)])
