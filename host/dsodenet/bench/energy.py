"""Joules of a stretch of calls, where there are sensors: RAPL counters of an x86 processor, or a board's power rails.

Both see more than the work: RAPL the whole socket with everything else that runs on it, a rail whatever it feeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dsodenet.runtime import PowerMeter

POWERCAP = Path("/sys/class/powercap")
STRETCH_S = 0.5  # calls fill it: counters and regulators renew their readings every few milliseconds


def rapl_domains(folder: Path = POWERCAP) -> dict[str, Path]:
    """The socket counters that this process may read, by name.

    Core and memory counters, which lie below, would count twice.
    """
    found = {}
    for domain in sorted(folder.glob("intel-rapl:[0-9]")):  # AMD's processors have them under the same name
        try:
            _read(domain / "energy_uj")
            found[f"RAPL {(domain / 'name').read_text().strip()}"] = domain
        except (OSError, ValueError):
            continue  # for root only, or not there
    return found


def joules_per_call(
    call: Callable[[], object], domains: Mapping[str, Path], stretch_s: float = STRETCH_S
) -> dict[str, float]:
    """Joules of one call by RAPL, mean over a stretch of them; empty without counters. They cover the whole socket."""
    if not domains:
        return {}
    before = {name: _read(path / "energy_uj") for name, path in domains.items()}
    count = _repeat(call, stretch_s)[0]
    result = {}
    for name, path in domains.items():
        used = _read(path / "energy_uj") - before[name]
        if used < 0:  # the counter began again
            used += _read(path / "max_energy_range_uj")
        result[name] = 1e-6 * used / count
    return result


def rail_joules_per_call(
    call: Callable[[], object], rails: Mapping[str, Any], stretch_s: float = STRETCH_S
) -> dict[str, float]:
    """Joules of one call by each power rail of a board: its mean power times the seconds of a call.

    Rails feed each other: no sum.
    """
    with PowerMeter(rails) as meter:
        count, seconds = _repeat(call, stretch_s)
    return {name: figures["mean_w"] * seconds / count for name, figures in meter.watts().items()}


def _repeat(call: Callable[[], object], stretch_s: float) -> tuple[int, float]:
    """(calls, seconds) of as many calls as fill the stretch."""
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < stretch_s or not count:
        call()
        count += 1
    return count, seconds


def _read(path: Path) -> int:
    return int(path.read_text())
