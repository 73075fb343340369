"""What a training measured, as an object that prints itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dsodenet.text import table

ACCURACIES = {
    "float_accuracy": "float",
    "qat_accuracy": "quantised",
    "target_float_accuracy": "float, target",
    "target_qat_accuracy": "quantised, target",
}


class TrainingResult(Mapping[str, Any]):
    """The metrics of a finished training, the content of RUN/metrics.json: `result["float_accuracy"]`.

    Accuracies are shares of test images in [0, 1], or None where the recipe leaves no such network.
    """

    def __init__(self, run: Path, metrics: dict[str, Any]) -> None:
        self.run = run
        self._metrics = metrics

    def __getitem__(self, key: str) -> Any:
        return self._metrics[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def to_dict(self) -> dict[str, Any]:
        return self._metrics

    def __str__(self) -> str:
        """The accuracies of the networks that the run holds, and of its teachers, on test images."""
        rows = [(name, self[key]) for key, name in ACCURACIES.items() if self[key] is not None]
        rows += [(f"teacher {teacher['name']}", teacher["accuracy"]) for teacher in self["teachers"]]
        return f"{self.run}\n{table(('network', 'test accuracy'), [(name, f'{value:.2%}') for name, value in rows])}"

    def __repr__(self) -> str:
        known = ", ".join(f"{key}={self[key]:.4f}" for key in ACCURACIES if self[key] is not None)
        return f"TrainingResult({str(self.run)!r}, {known})"
