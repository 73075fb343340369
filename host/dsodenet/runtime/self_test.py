"""A self-test for a board in hand: registers, memory, transfers, errors, and images whose logits are known."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.contract import BOARDS
from dsodenet.errors import DsodenetError, InputError
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.backends import import_pynq
from dsodenet.runtime.board_checks import CHECKS, NotPossible
from dsodenet.spec import Spec, random_params
from dsodenet.text import html_table, table

HEADER = ("result", "check", "what was seen")
TESTED = {"sim": "zcu104-sim"} | dict.fromkeys(BOARDS, "zcu104")  # board -> backend


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

    def _rows(self) -> list[tuple[str, str, str]]:
        """The mark of each check, its name and its words."""
        return [("-" if item.left_out else "ok" if item.ok else "FAIL", item.name, item.detail) for item in self.items]

    def table(self) -> str:
        return table(HEADER, self._rows())

    def __str__(self) -> str:
        lines = [f"{mark:4} {name}: {detail}" for mark, name, detail in self._rows()]
        return "\n".join([f"self-test of {self.backend} ({self.kind})", *lines])

    def __repr__(self) -> str:
        failed = [item.name for item in self.items if not item.ok]
        return f"<Report of {self.backend}, {self.kind}: {', '.join(failed) + ' failed' if failed else 'ok'}>"

    def _repr_html_(self) -> str:
        return html_table(HEADER, self._rows(), f"self-test of {self.backend} ({self.kind})")


def selftest(
    board: str = "sim",
    overlay: str | Path | None = None,
    progress: Callable[[str], None] = lambda name: None,
    **options: Any,
) -> Report:
    """Open a board and test it.

    board: sim, or the name of a real one: a key of contract.BOARDS.
    overlay: the .bit of a built overlay. A real board needs one; without one, sim runs a small random model.
    progress: called with the name of each check before it.
    options: as Accelerator takes them.

    A check that fails is in the report. InputError or DeviceError when the board cannot be opened.
    """
    if board not in TESTED:
        raise InputError(f"board is {board!r}, but it must be one of {', '.join(TESTED)}")
    if board != "sim" and overlay is None:
        raise InputError(f"board {board} needs the .bit of an overlay, with its .hwh and .json beside it")
    run = random_params(dataclasses.replace(Spec.named("xs"), name="selftest"), 1) if overlay is None else overlay
    if board == "sim":
        options = {"simulate_with": "reference"} | options
    elif overlay is not None:
        import_pynq()
        from dsodenet.runtime.zcu104 import check_files

        check_files(Path(overlay), (BOARDS[board],))
    with Accelerator(run, TESTED[board], **options) as accelerator:
        return check(accelerator, progress)


def check(accelerator: Accelerator, progress: Callable[[str], None] = lambda name: None) -> Report:
    """Test the board behind an open accelerator; InputError when its backend has none."""
    if accelerator.backend not in TESTED.values():
        needed = " or ".join(dict.fromkeys(TESTED.values()))
        raise InputError(f"backend is {accelerator.backend}, but a self-test needs {needed}")
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
