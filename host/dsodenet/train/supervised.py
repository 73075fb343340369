"""Recipe `supervised`: cross-entropy to the labels, first in float, then quantisation-aware from the folded float model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsodenet.data import Dataset
from dsodenet.model import DsODENet, calibrate
from dsodenet.spec import Spec
from dsodenet.train.loop import Options, Trained, fit

CALIBRATION_IMAGES = 256


def supervised(spec: Spec, data: Dataset, options: Options) -> Trained:
    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(images), labels, label_smoothing=options.label_smoothing)

    images, labels = data.train_images, data.train_labels
    float_model = DsODENet(spec)
    float_stage = fit(
        "float", float_model, images, labels, loss, options, epochs=options.epochs, learning_rate=options.learning_rate
    )
    if spec.network.norm == "layer":
        return Trained(float_model, float_stage, None, None)
    qat_model = float_model.quantised()
    calibrate(qat_model, torch.from_numpy(images[torch.randperm(len(images))[:CALIBRATION_IMAGES].numpy()]))
    qat_stage = fit(
        "qat", qat_model, images, labels, loss, options, epochs=options.qat_epochs, learning_rate=options.qat_learning_rate
    )
    return Trained(float_model, float_stage, qat_model, qat_stage)
