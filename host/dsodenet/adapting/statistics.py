"""What a model sees inside over its own images: numbers that travel with it, from which no image can be read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import RunError
from dsodenet.files import atomic_file
from dsodenet.outside import guard
from dsodenet.reference import Map, OdeBlock, Reference
from dsodenet.spec import Params, sections, split_features, with_features

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Means over a set of images.

    activations: by layer in front of a ReLU, such as `f1.pw1`, the mean accumulator of each channel at each evaluation
        of f, (evaluations, channels), in LSBs of the accumulator.
    mean, deviation: of each feature, the integers of `head.x`, (channels,).
    """

    activations: dict[str, Floats]
    mean: Floats
    deviation: Floats

    def save(self, path: Path) -> None:
        with atomic_file(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, mean=self.mean, deviation=self.deviation, **self.activations)

    @classmethod
    def load(cls, path: Path, params: Params) -> Statistics:
        """RunError for a file that does not fit the model."""
        shapes = _shapes(params)
        with guard(path, "statistics of a model", RunError), np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in shapes}
        for name, shape in shapes.items():
            array = found[name]
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise RunError(
                    f"{path}: {name} is {array.dtype}{array.shape}, but the model needs finite float64{shape}"
                )
        mean, deviation = found.pop("mean"), found.pop("deviation")
        return cls(found, mean, deviation)


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    network = params.spec.network
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("mean", "deviation"), (network.channels[-1],))
    for section in sections(network):
        if section.kind == "f":
            shapes[section.biased.name] = (len(params.spec.solver.times(section.block)), section.biased.out_channels)
    return shapes


def observe(params: Params, images: NDArray[np.uint8]) -> Statistics:
    """Statistics of a model over images (N, channels, height, width), as the reference computes them."""
    reference = Reference(with_features(params), threads=1)  # one thread: the sums have no lock
    sums = {name: np.zeros(shape) for name, shape in _shapes(params).items() if name not in ("mean", "deviation")}
    for section, part in reference.parts:
        if isinstance(part, OdeBlock):
            part.watch = _adder(sums[section.biased.name], 1.0 / part.biased.lsb)
    features, _ = split_features(reference.predict(images), params)
    means = {name: total / len(images) for name, total in sums.items()}
    return Statistics(means, features.mean(axis=0), features.std(axis=0))


def _adder(total: Floats, scale: float) -> Callable[[int, Map], None]:
    """Adds the mean over each image's map to row `evaluation` of total."""

    def add(evaluation: int, accumulators: Map) -> None:
        total[evaluation] += scale * accumulators.mean(axis=(1, 2), dtype=np.float64).sum(axis=0)

    return add
