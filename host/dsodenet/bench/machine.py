"""What a measurement ran on: processor, threads, library versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

OLDEST_KERNELS = "Prescott"
# Flag of the processor -> kernels that need no more than it.
OPENBLAS_CORES = {"avx512f": "SkylakeX", "avx2": "Haswell"}
CPU_INFO, BOARD_MODEL = Path("/proc/cpuinfo"), Path("/proc/device-tree/model")


def cpu_name() -> str:
    """The processor by its own name; on ARM Linux, which has none, the board's; else the architecture."""
    try:
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    try:
        return BOARD_MODEL.read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return platform.processor() or platform.machine()


def all_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of those packages that are installed; with NumPy, of its BLAS."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | blas() if "numpy" in packages else found


def blas() -> dict[str, str]:
    """NumPy's BLAS, and the processor whose kernels it took; nothing without threadpoolctl."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return {}
    found = next((library for library in threadpool_info() if library["user_api"] == "blas"), None)
    return (
        {}
        if found is None
        else {found["internal_api"]: f"{found['version']} ({found.get('architecture', 'unknown')} kernels)"}
    )


def blas_advice(found: dict[str, str]) -> str:
    """What to do where OpenBLAS does not know a processor newer than itself and takes its oldest kernels.

    found: versions.
    """
    if OLDEST_KERNELS not in found.get("openblas", ""):
        return ""
    try:
        flags = set(CPU_INFO.read_text(encoding="utf-8").split())
    except OSError:
        return ""
    better = next((core for flag, core in OPENBLAS_CORES.items() if flag in flags), None)
    if better is None:
        return ""
    return (
        f"NumPy's OpenBLAS does not know this processor and took its oldest kernels; "
        f"OPENBLAS_CORETYPE={better} gives it newer ones"
    )


def origin(command: str, kinds: dict[str, str], *packages: str) -> dict[str, Any]:
    """What heads a result.

    kinds: figure -> measured, simulated, counted or estimated; packages: those whose versions matter.
    """
    return {
        "command": command,
        "kinds": kinds,
        "cpu": cpu_name(),
        "threads": all_threads(),
        "versions": versions(*packages),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
