"""Losses to labels and to teachers, as terms of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from dsodenet.train.objective import Seen, Term

if TYPE_CHECKING:
    from dsodenet.train.recipe import Training


class CrossEntropy(Term):
    """Cross-entropy to the labels, smoothed by options.label_smoothing."""

    def __init__(self, training: Training, student: nn.Module) -> None:
        super().__init__(training, student)
        self.label_smoothing = training.options.label_smoothing

    def forward(self, seen: Seen) -> Tensor:
        return F.cross_entropy(seen.source.logits, seen.batch.labels, label_smoothing=self.label_smoothing)
