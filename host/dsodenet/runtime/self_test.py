"""A self-test for a board in hand: registers, memory, transfers, errors, and images whose logits are known."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.errors import DsodenetError, InputError
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.board_checks import CHECKS, NotPossible
from dsodenet.spec import Spec, random_params

BOARDS = {"sim": "zcu104-sim", "zcu104": "zcu104"}  # board -> backend


@dataclass(frozen=True)
class Item:
    name: str
    ok: bool
    detail: str  # what was checked, what is wrong, or why it was left out
    seconds: float
    left_out: bool = False  # this kernel cannot do it


@dataclass(frozen=True)
class Report:
    """What the self-test found. With kind "simulated" no hardware was tested."""

    backend: str
    kind: str  # measured or simulated
    items: tuple[Item, ...]

    @property
    def ok(self) -> bool:
        return all(item.ok for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"ok": self.ok}

    def __str__(self) -> str:
        lines = [
            f"{'-   ' if item.left_out else 'ok  ' if item.ok else 'FAIL'} {item.name}: {item.detail}"
            for item in self.items
        ]
        return "\n".join([f"self-test of {self.backend} ({self.kind})", *lines])


def selftest(
    board: str = "sim",
    overlay: str | Path | None = None,
    progress: Callable[[str], None] = lambda name: None,
    **options: Any,
) -> Report:
    """Open a board and test it.

    board: sim or zcu104.
    overlay: the .bit of a built overlay. zcu104 needs one; without one, sim runs a small random model.
    progress: called with the name of each check before it.
    options: as Accelerator takes them.

    A check that fails is in the report. InputError or DeviceError when the board cannot be opened.
    """
    if board not in BOARDS:
        raise InputError(f"board is {board!r}, but it must be one of {', '.join(BOARDS)}")
    if board == "zcu104" and overlay is None:
        raise InputError("board zcu104 needs the .bit of an overlay, with its .hwh and .json beside it")
    run = random_params(dataclasses.replace(Spec.named("xs"), name="selftest"), 1) if overlay is None else overlay
    if board == "sim":
        options = {"simulate_with": "reference"} | options
    with Accelerator(run, BOARDS[board], **options) as accelerator:
        return check(accelerator, progress)


def check(accelerator: Accelerator, progress: Callable[[str], None] = lambda name: None) -> Report:
    """Test the board behind an open accelerator; InputError when its backend has none."""
    if accelerator.backend not in BOARDS.values():
        raise InputError(f"backend is {accelerator.backend}, but a self-test needs {' or '.join(BOARDS.values())}")
    items = []
    for name, work in CHECKS.items():
        progress(name)
        start = time.perf_counter()
        ok, left_out = True, False
        try:
            detail = work(accelerator)
        except NotPossible as reason:
            left_out, detail = True, str(reason)
        except DsodenetError as error:
            ok, detail = False, str(error)
        items.append(Item(name, ok, detail, time.perf_counter() - start, left_out))
    return Report(accelerator.backend, accelerator.kind, tuple(items))
