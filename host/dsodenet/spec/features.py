"""A model whose head passes the features on: what every kernel that takes weights can compute, without new hardware."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dsodenet.spec.params import Params


def with_features(params: Params) -> Params:
    """The same network with a head of features + classes outputs.

    The first outputs have weight 1 for one feature each and no bias: their accumulators are the features, the integers
    of `head.x`. The others are the outputs of the head as they were. So one run gives both, word for word.
    """
    network = params.spec.network
    width = network.channels[-1]
    one = np.eye(width, dtype=np.int8)[:, :, None, None]
    arrays = params.arrays | {
        "head.linear.weight": np.concatenate([one, params.arrays["head.linear.weight"]]),
        "head.linear.bias": np.concatenate([np.zeros(width, np.int32), params.arrays["head.linear.bias"]]),
    }
    wider = replace(network, num_classes=width + network.num_classes)
    return Params(params.spec.with_network(wider), params.formats, arrays)


def split_features(words: NDArray[np.int32], params: Params) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What a model of `with_features(params)` returned, as (features (N, channels), logits (N, num_classes))."""
    width = params.spec.network.channels[-1]
    return words[:, :width], words[:, width:]
