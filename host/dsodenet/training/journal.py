"""What training leaves as it goes: RUN/unfinished/, from which it can be resumed bit for bit, and its log.

RUN/unfinished/state.pt     finished stages, and the current one after a whole epoch: networks, optimiser, random state;
                            replaced as a whole, so that it can be read whenever training is killed
RUN/unfinished/metrics.csv  a row per epoch; RUN/metrics.csv is written when training ends, and the folder goes
RUN/tensorboard/            the same for TensorBoard, where that is installed
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dsodenet.errors import InputError, RunError
from dsodenet.files import atomic_file
from dsodenet.runs import Run
from dsodenet.training.checkpoint import load_tensors, save_tensors

STATE_FILE, LOG_FILE = "state.pt", "metrics.csv"  # the files of RUN/unfinished
COLUMNS = ("stage", "epoch", "loss", "terms", "validation", "learning_rate", "seconds")
SAVE_SECONDS = 5.0  # least time between two saves: where epochs are shorter, the last few are run again
STATE_KEYS = {"task", "finished", "current", "rows"}


class Journal:
    """Saves each epoch of a run; of several processes only the leading one writes."""

    def __init__(self, run: Path, task: dict[str, Any], resume: bool, writes: bool) -> None:
        """task: what decides the result; a state of another task is refused."""
        self.run, self.folder, self.writes = Run(run), Run(run).unfinished, writes
        self.state: dict[str, Any] = {
            "task": json.dumps(task, sort_keys=True),
            "finished": {},
            "current": None,
            "rows": [],
        }
        if resume and (self.folder / STATE_FILE).exists():
            self.state = self._load(task)
        self._saved = -math.inf
        self._board = _tensorboard(self.run.tensorboard, len(self.state["rows"])) if writes else None

    def _load(self, task: dict[str, Any]) -> dict[str, Any]:
        path = self.folder / STATE_FILE
        state = load_tensors(path, STATE_KEYS)
        try:
            was = json.loads(state["task"])
            kinds = {"finished": (dict,), "current": (dict, type(None)), "rows": (list,)}
            for key, allowed in kinds.items():
                if not isinstance(state[key], allowed):
                    raise TypeError(f"its {key} is {type(state[key]).__name__}")
            if any(not isinstance(row, dict) or row.keys() != set(COLUMNS) for row in state["rows"]):
                raise TypeError("its rows are no log")
            changed = sorted(key for key in was.keys() | task.keys() if was.get(key) != task.get(key))
        except (TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{path}: {error}") from None
        if changed:
            key = changed[0]
            raise InputError(
                f"{path} is of a training with {key} {was.get(key)}, but this one has {task.get(key)}; "
                f"resume with the same, or start over without --resume"
            )
        return state

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Around the use of what was saved: RunError where a state that was edited does not fit."""
        try:
            yield
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            why = " ".join(str(error).split())[:200]
            raise RunError(
                f"{self.folder / STATE_FILE}: it does not fit this training ({type(error).__name__}: {why})"
            ) from None

    def finished(self, stage: str) -> dict[str, Any] | None:
        """{"student": state, "history": ...} of a stage that is done."""
        found: dict[str, Any] | None = self.state["finished"].get(stage)
        return found

    def current(self, stage: str) -> dict[str, Any] | None:
        """What `epoch` was given for this stage."""
        current = self.state["current"]
        with self.trusted():
            return current["content"] if current is not None and current["stage"] == stage else None

    def epoch(self, stage: str, row: dict[str, Any], content: dict[str, Any]) -> None:
        """Take a whole epoch: its row of the log, and all that the loop needs to go on after it."""
        self.state["current"] = {"stage": stage, "content": content}
        self.state["rows"].append(row)
        if not self.writes:
            return
        if self._board is not None:
            for name in ("loss", "validation", "learning_rate"):
                if row[name] != "":  # no images were held back
                    self._board.add_scalar(f"{stage}/{name}", row[name], row["epoch"])
        if time.monotonic() < self._saved + SAVE_SECONDS:
            return
        self._saved = time.monotonic()
        save_tensors(self.state, self.folder / STATE_FILE)
        with atomic_file(self.folder / LOG_FILE) as path:
            self._write_log(path)

    def end_stage(self, stage: str, student: dict[str, Any], history: dict[str, Any]) -> None:
        """The stage is done; saved with the first epoch of the next one."""
        kept = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in student.items()}
        self.state["finished"][stage] = {"student": kept, "history": history}
        self.state["current"] = None

    def close(self) -> None:
        """Training has ended: keep the log, drop the rest."""
        if not self.writes:
            return
        if self._board is not None:
            self._board.close()
        with atomic_file(self.run.log) as path:  # not the one in the folder: a kill may have come before its last row
            self._write_log(path)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_log(self, path: Path) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.state["rows"])


def _tensorboard(folder: Path, rows: int) -> Any:
    """A writer, where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    if not rows:
        shutil.rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder))
