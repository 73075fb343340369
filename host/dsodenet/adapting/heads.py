"""Linear heads fitted to features, in floats, and put back as the integers of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.runtime import probabilities
from dsodenet.spec import Params

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
ROWS = 512  # images whose neighbours are looked for at once
RIDGE = 0.02  # of the features' variance, per image
MARGIN = 4.0  # logit of the right class, and minus that of the others, that a fitted head aims at


def entropy(p: Floats) -> Floats:
    """Of distributions along the last axis, in nats."""
    result: Floats = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=-1)
    return result


def head_logits(params: Params, features: Ints) -> Ints:
    """The logits (N, classes) of a model whose features (N, channels) are known: only the head is computed."""
    weight = params.arrays["head.linear.weight"][:, :, 0, 0].astype(np.int32)
    result: Ints = features @ weight.T + params.arrays["head.linear.bias"]
    return result


def with_head(params: Params, weight: Floats, bias: Floats) -> Params:
    """The model with another head: weight (classes, channels), bias (classes,), both in one unit, whichever.

    The unit is chosen so that the largest weight fills its format. Predictions keep; one LSB of the logits is worth
    what the format says, so a method that wants honest probabilities gives weights whose largest is that of the model.
    """
    q = params.spec.quantisation
    scale = ((1 << (q.weight_bit_width - 1)) - 1) / np.abs(weight).max()
    limit = 1 << (q.bias_bit_width - 1)
    arrays = params.arrays | {
        "head.linear.weight": np.rint(weight * scale).astype(np.int8)[:, :, None, None],
        "head.linear.bias": np.clip(np.rint(bias * scale), -limit, limit - 1).astype(np.int32),
    }
    return replace(params, arrays=arrays)


def prototypes(params: Params, features: Ints, logits: Ints, keep: int) -> Params:
    """Test-time classifier adjustment (T3A, NeurIPS 2021), over all images at once.

    The row of a class becomes the mean direction of the model's own row and of the `keep` features that it gives to
    this class with the least entropy.
    """
    surprise = entropy(probabilities(logits, params.logits_scale))
    labels, directions = logits.argmax(axis=1), _unit(features.astype(np.float64))
    rows = []
    for label, row in enumerate(_unit(params.arrays["head.linear.weight"][:, :, 0, 0].astype(np.float64))):
        mine = np.flatnonzero(labels == label)
        sure = mine[np.argsort(surprise[mine], kind="stable")[:keep]]
        rows.append(np.vstack([row[None], directions[sure]]).mean(axis=0))
    weight = _unit(np.array(rows))
    return with_head(params, weight, np.zeros(len(weight)))


def voted(params: Params, features: Ints, logits: Ints, neighbours: int) -> Floats:
    """Probabilities (N, classes), each the mean of an image's own and those of its nearest images in feature space.

    Near means a small angle between standardised features, as in the votes of AdaContrast (2204.10377).
    """
    own = probabilities(logits, params.logits_scale)
    directions = _unit((features - features.mean(axis=0)) / _spread(features))
    result = np.empty_like(own)
    for start in range(0, len(own), ROWS):
        rows = slice(start, start + ROWS)
        likeness = directions[rows] @ directions.T
        nearest = np.argpartition(-likeness, min(neighbours, len(own) - 1), axis=1)[:, : neighbours + 1]
        result[rows] = own[nearest].mean(axis=1)  # an image is the nearest to itself
    return result


def confident(p: Floats, share: float) -> NDArray[np.intp]:
    """Images of least entropy: this share of those that probabilities p give to each class, and one at least."""
    surprise, labels = entropy(p), p.argmax(axis=1)
    chosen = []
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        chosen.append(mine[np.argsort(surprise[mine], kind="stable")[: max(1, int(share * len(mine)))]])
    return np.sort(np.concatenate(chosen))


def fitted(params: Params, features: Ints, labels: NDArray[np.int64]) -> Params:
    """Ridge regression of a head on labelled features (N, channels), drawn towards the model's own head.

    min |X W - Y|^2 + N RIDGE |W - W0|^2 over standardised features X, with Y = +-MARGIN, and W0 the model's head
    scaled to fit Y best. Classes without an image so keep about what they had.
    """
    classes = params.spec.network.num_classes
    x = features.astype(np.float64)
    centre, spread = x.mean(axis=0), _spread(x)
    x = np.column_stack([(x - centre) / spread, np.ones(len(x))])
    y = np.where(np.arange(classes) == labels[:, None], MARGIN, -MARGIN)
    own = params.arrays["head.linear.weight"][:, :, 0, 0].astype(np.float64)
    own_bias = params.arrays["head.linear.bias"].astype(np.float64)
    prior = np.vstack([(own * spread).T, (own_bias + own @ centre)[None]]) * params.logits_scale
    logits = x @ prior
    prior *= (logits * y).sum() / max((logits**2).sum(), 1e-9)
    penalty = RIDGE * len(x) * np.eye(x.shape[1])
    w = np.linalg.solve(x.T @ x + penalty, x.T @ y + penalty @ prior)
    weight = (w[:-1] / spread[:, None]).T
    return with_head(params, weight, w[-1] - weight @ centre)


def _spread(features: NDArray[Any]) -> Floats:
    """Standard deviation of each feature, (channels,); one that hardly varies counts as varying a little."""
    result: Floats = features.std(axis=0) + 0.01 * features.std() + 1e-9
    return result


def _unit(rows: Floats) -> Floats:
    result: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return result
