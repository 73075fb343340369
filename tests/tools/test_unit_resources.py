"""The resources of some units of the rtl kernel stay what they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.rtl import unit_resources as resources

pytestmark = pytest.mark.slow

pytest.importorskip("pyosys", reason="pyosys is not installed")

ROOT = Path(__file__).parents[2]


def test_units_take_what_is_committed() -> None:
    """A change that is meant: `python -m tools.rtl.unit_resources --write` writes the figures anew.

    In a process of its own: what Yosys finds depends a little on what the process asked of it before.
    """
    command = [sys.executable, "-m", "tools.rtl.unit_resources", "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    found = json.loads(ended.stdout)
    assert found["complaints"] == []
    assert resources.complaints(found["units"], resources.committed()) == []
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("name", "factor", "plus", "complains"),
    [
        ("DSP", 1, 1, True), ("BRAM36", 1, 0.5, True), ("URAM", 1, -1, True),
        ("LUT", 1.02, 0, False), ("LUT", 1.05, 0, True), ("FF", 0.5, 0, False),
    ],
)  # fmt: skip
def test_what_is_complained_about(name: str, factor: float, plus: float, complains: bool) -> None:
    committed = resources.committed()
    unit = next(unit for unit, row in committed.items() if row[name] or plus)
    found = {key: dict(row) for key, row in committed.items()}
    found[unit][name] = found[unit][name] * factor + plus
    assert bool(resources.complaints(found, committed)) == complains
