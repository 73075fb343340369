"""Trainings of a study that are not run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dsodenet.runs import Run


def once(run: Path, training: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The metrics of a run folder whose training has ended; else those of `training`, which writes it."""
    if Run(run).metrics.is_file() and not Run(run).unfinished.exists():
        found: dict[str, Any] = json.loads(Run(run).metrics.read_text(encoding="utf-8"))
        return found
    return training()
