"""How good a trained model is on images that its training never saw, on any backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.data import Dataset
from dsodenet.evaluation.split import held_out
from dsodenet.runtime import Accelerator, CallInfo, Classification
from dsodenet.spec import Params
from dsodenet.text import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHUNK = 64  # images of a call, so that a slow simulation shows signs of life
SHOWN_CLASSES = 12  # up to which the confusion matrix is printed
SHOWN_ERRORS = 12  # in the picture


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a model made of a test split. `print` shows its tables, `figure` its picture."""

    run: str
    params: Params
    backend: str
    kind: str  # of the seconds and cycles: measured or simulated, as in CallInfo; accuracies are always measured
    data: Dataset
    found: Classification
    seconds: float
    cycles: int | None  # of all images, where the kernel counts them

    @property
    def accuracy(self) -> float:
        """The share of images that were taken for their class, in [0, 1]."""
        return float(np.mean(self.found.labels == self.data.test_labels))

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many images of each class (row) were taken for each class (column)."""
        counts = np.zeros((len(self.data.class_names),) * 2, np.int64)
        np.add.at(counts, (self.data.test_labels, self.found.labels), 1)
        return counts

    @property
    def errors(self) -> NDArray[np.int64]:
        """Which test images were taken for another class, the surest first."""
        wrong = np.flatnonzero(self.found.labels != self.data.test_labels)
        return wrong[np.argsort(-self.found.probabilities[wrong].max(axis=1), kind="stable")]

    def classes(self) -> list[dict[str, Any]]:
        """For each class its images, how many were right, recall and precision; None where nothing is to share."""
        counts, names = self.confusion, self.data.class_names
        right = counts.diagonal()

        def share(part: int, whole: int) -> float | None:
            return part / whole if whole else None

        return [
            {
                "name": name,
                "images": int(images),
                "right": int(hits),
                "recall": share(hits, images),
                "precision": share(hits, taken),
            }
            for name, images, hits, taken in zip(names, counts.sum(axis=1), right, counts.sum(axis=0))
        ]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `dsodenet evaluate`."""
        solver, names = self.params.spec.solver, self.data.class_names
        return {
            "run": self.run,
            "model": self.params.spec.name,
            "fingerprint": self.params.model_fingerprint,
            "backend": self.backend,
            "kind": self.kind,
            "solver": solver.method,
            "n_steps": list(solver.n_steps),
            "data": self.data.name,
            "source": self.data.source,
            "split": self.data.split,
            "images": len(self.found),
            "accuracy": self.accuracy,
            "class_names": list(names),
            "classes": self.classes(),
            "confusion": self.confusion.tolist(),
            "errors": [
                {
                    "image": int(number),
                    "name": names[self.data.test_labels[number]],
                    "taken_for": names[self.found.labels[number]],
                    "probability": self.found[number].probability,
                }
                for number in self.errors
            ],
            "seconds": self.seconds,
            "cycles": self.cycles,
        }

    def table(self) -> str:
        """A line for each class."""

        def text(share: float | None) -> str:
            return "-" if share is None else f"{100 * share:.1f}"

        rows = [
            (row["name"], row["images"], row["right"], text(row["recall"]), text(row["precision"]))
            for row in self.classes()
        ]
        return table(("class", "images", "right", "recall %", "precision %"), rows)

    def confusion_table(self) -> str:
        """A row for each class, a column for what it was taken for."""
        names = self.data.class_names
        rows = [(name, *(count or "-" for count in row)) for name, row in zip(names, self.confusion)]
        return table(("class", *names), rows)

    def figure(self) -> Figure:
        """The confusion matrix, and the images on which the model was most surely wrong."""
        from dsodenet.plots import confusion_figure

        return confusion_figure(self.to_dict(), self.data.test_images[self.errors[:SHOWN_ERRORS]])

    def __str__(self) -> str:
        solver, steps = self.params.spec.solver, ",".join(map(str, self.params.spec.solver.n_steps))
        right = int((self.found.labels == self.data.test_labels).sum())
        head = (
            f"{self.params.spec.name} on {self.backend}, {solver.method} n_steps {steps}; test split of "
            f"{self.data.name}: {self.data.split}\n"
            f"accuracy {self.accuracy:.2%} ({right} of {len(self.found)} images), measured"
        )
        parts = [head, self.table()]
        if len(self.data.class_names) <= SHOWN_CLASSES:
            parts.append(f"class (rows) taken for (columns)\n{self.confusion_table()}")
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<Evaluation of {self.run} on {self.data.name}: {self.accuracy:.2%} of {len(self.found)} images>"

    def _repr_html_(self) -> str:
        """A notebook's table."""
        rows = "".join(
            f"<tr><td>{escape(row['name'])}</td><td>{row['right']} of {row['images']}</td></tr>"
            for row in self.classes()
        )
        head = f"accuracy {self.accuracy:.2%} of {len(self.found)} images of {escape(self.data.name)}"
        return f"<p>{head}</p><table><tr><th>class</th><th>right</th></tr>{rows}</table>"


def evaluate(
    run: str | Path,
    data: str | Path | None = None,
    backend: str = "cpu",
    *,
    method: str | None = None,
    n_steps: int | tuple[int, ...] | None = None,
    progress: Callable[[str], None] = lambda part: None,
    **options: Any,
) -> Evaluation:
    """Accuracy, classes and confusions of a run on its test split.

    run: a folder or `zoo:NAME`. data: another data set or folder; by default what the run was trained on, split as it
    was then. method, n_steps: another solver than the run's. progress: called after each part of the images. options:
    of the backend, as Accelerator takes them.
    """
    params = Params.load(run).with_solver(method, n_steps)
    solver, split = params.spec.solver, held_out(run, params, data)
    calls: list[CallInfo] = []
    logits = []
    with Accelerator(run, backend, **options) as accelerator:
        accelerator.set_solver(solver.method, solver.n_steps)
        for start in range(0, len(split.test_images), CHUNK):
            logits.append(accelerator.predict(split.test_images[start : start + CHUNK]))
            call = accelerator.last_call
            assert call is not None
            calls.append(call)
            progress(f"{start + call.images} of {len(split.test_images)} images")
    sources = tuple(f"test image {number}" for number in range(len(split.test_images)))
    found = Classification(params.spec.labels, np.concatenate(logits), params.logits_scale, sources)
    cycles = None if calls[0].cycles is None else sum(call.cycles or 0 for call in calls)
    return Evaluation(
        str(run), params, backend, calls[0].kind, split, found, sum(call.seconds for call in calls), cycles
    )
