"""Several small images as one: a model that is so many times as wide, in which they never meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.spec.layers import all_layers
from dsodenet.spec.params import Params, bias_name


def side_by_side(params: Params, count: int) -> Params:
    """The model that computes `count` images at once, word for word as `params` computes each.

    Its image has the channels of the first image, then those of the second, and so on; so have its logits their
    classes. Every dense layer is block-diagonal, so that zeros keep the images apart; formats and solver stay.
    SpecError when the model would be wider than a spec may be.
    """
    if count == 1:
        return params
    network = params.spec.network
    wide = replace(
        network,
        in_channels=count * network.in_channels,
        channels=tuple(count * channels for channels in network.channels),
        num_classes=count * network.num_classes,
        low_rank=tuple(replace(item, rank=count * item.rank) for item in network.low_rank),
    )
    arrays: dict[str, NDArray[Any]] = {}
    for layer in all_layers(network):
        weight, bias = params.arrays[f"{layer.name}.weight"], params.arrays[bias_name(layer)]
        if layer.depthwise:
            arrays[f"{layer.name}.weight"] = np.concatenate([weight] * count)
        else:
            outputs, inputs = weight.shape[:2]
            block = np.zeros((count * outputs, count * inputs, *weight.shape[2:]), weight.dtype)
            for i in range(count):
                block[i * outputs : (i + 1) * outputs, i * inputs : (i + 1) * inputs] = weight
            arrays[f"{layer.name}.weight"] = block
        arrays[bias_name(layer)] = np.concatenate([bias] * count, axis=-1)
    return Params(params.spec.with_network(wide), params.formats, arrays)
