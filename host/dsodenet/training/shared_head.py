"""SH-KD's teacher (arXiv 2201.06945): a network that must classify through the frozen head of a student."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dsodenet.nets import Outputs
from dsodenet.training.losses import classifier_of, join
from dsodenet.training.task import Teacher, Training


class SharedHead(nn.Module):
    """A network whose embedding, joined by a linear map to a student's width, goes through the student's head."""

    def __init__(self, network: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.network = network
        self.joined = join(classifier_of(network).in_features, head.in_features)
        self.classifier = nn.Linear(head.in_features, head.out_features)
        with torch.no_grad():
            self.classifier.weight.copy_(head.weight)
            self.classifier.bias.copy_(head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.outputs(images).logits

    def outputs(self, images: Tensor) -> Outputs:
        network: Any = self.network
        embedding = self.joined(network.outputs(images).embedding)
        return Outputs(embedding, self.classifier(embedding))


def teacher_under_student_head(training: Training, teacher: Teacher) -> nn.Module:
    """The teacher, from where it stands, under the frozen head of the latest float student."""
    assert training.float_model is not None
    teacher.network.requires_grad_(True)
    classifier_of(teacher.network).requires_grad_(False)  # not used any more
    teacher.network = SharedHead(teacher.network, classifier_of(training.float_model))
    teacher.network.classifier.requires_grad_(False)
    return teacher.network
