"""What a training measured, as an object that prints itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dsodenet.text import html_table, table

HEADER = ("network", "test accuracy")
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

    def _rows(self) -> list[tuple[str, str]]:
        rows = [(name, self[key]) for key, name in ACCURACIES.items() if self[key] is not None]
        rows += [(f"teacher {teacher['name']}", teacher["accuracy"]) for teacher in self["teachers"]]
        return [(name, f"{value:.2%}") for name, value in rows]

    def table(self) -> str:
        """The accuracies of the networks that the run holds, and of its teachers, on test images."""
        return table(HEADER, self._rows())

    def __str__(self) -> str:
        return f"{self.run}\n{self.table()}"

    def _repr_html_(self) -> str:
        return html_table(HEADER, self._rows(), str(self.run))

    def __repr__(self) -> str:
        known = ", ".join(f"{key}={self[key]:.4f}" for key in ACCURACIES if self[key] is not None)
        return f"TrainingResult({str(self.run)!r}, {known})"
