"""What a model takes images for: class names and probabilities, from integer logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.text import table


@dataclass(frozen=True)
class Prediction:
    """What one image was taken for."""

    name: str  # of the class
    probability: float
    source: str  # the file, or which image of the batch

    def __str__(self) -> str:
        return f"{self.name} {self.probability:.2f} ({self.source})"


def probabilities(logits: NDArray[np.int32], scale: float) -> NDArray[np.float64]:
    """softmax of integer logits (N, classes) of which one LSB is worth `scale`: (N, classes)."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) * scale)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True, repr=False)
class Classification(Sequence[Prediction]):
    """The classes of a batch of images, in its order: a sequence of Predictions."""

    class_names: tuple[str, ...]
    logits: NDArray[np.int32]  # (N, classes)
    logits_scale: float  # the value of one LSB of the logits
    sources: tuple[str, ...]  # what each image is: a file, or its number

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Of every class: (N, classes)."""
        return probabilities(self.logits, self.logits_scale)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The number of the likeliest class of each image; the first of equals: (N,)."""
        return self.logits.argmax(axis=1)

    @property
    def names(self) -> list[str]:
        """The likeliest class of each image."""
        return [self.class_names[label] for label in self.labels]

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, item: Any) -> Any:
        """A Prediction, or for a slice a list of them."""
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(len(self)))]
        label = self.labels[item]
        return Prediction(self.class_names[label], float(self.probabilities[item, label]), self.sources[item])

    def __iter__(self) -> Iterator[Prediction]:
        return (self[number] for number in range(len(self)))

    def to_dict(self) -> dict[str, Any]:
        """`predictions`: for each image its source, label, name, probability and the probabilities of all classes."""
        return {
            "class_names": list(self.class_names),
            "logits_scale": self.logits_scale,
            "predictions": [
                {
                    "source": found.source,
                    "label": int(label),
                    "name": found.name,
                    "probability": found.probability,
                    "probabilities": probabilities.tolist(),
                    "logits": logits.tolist(),
                }
                for found, label, probabilities, logits in zip(self, self.labels, self.probabilities, self.logits)
            ],
        }

    def table(self) -> str:
        """A line for each image: what it was taken for, how surely, and what came second."""
        order = np.argsort(-self.logits, axis=1, kind="stable")
        rows = []
        for found, row, best in zip(self, self.probabilities, order):
            second = f"{self.class_names[best[1]]} {row[best[1]]:.2f}"
            rows.append((found.source, found.name, f"{found.probability:.2f}", second))
        return table(("image", "class", "probability", "second"), rows)

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self[:3]))
        return f"<Classification of {len(self)}: {shown}{', ...' if len(self) > 3 else ''}>"

    def _repr_html_(self) -> str:
        """A notebook's table, each probability as a bar."""
        rows = "".join(
            f"<tr><td>{escape(found.source)}</td><td><b>{escape(found.name)}</b></td>"
            f'<td><meter value="{found.probability:.4f}"></meter> {found.probability:.2f}</td></tr>'
            for found in self
        )
        return f"<table><tr><th>image</th><th>class</th><th>probability</th></tr>{rows}</table>"
