"""The overlay scripts of both kernels under the recorder of the vendor's tools, as tables.

No vendor tool runs. Example: python -m tests.vivado.block_designs
"""

from __future__ import annotations

import json
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from dsodenet.contract import design
from dsodenet.contract.registers import Kind
from dsodenet.overlay.flow import build
from dsodenet.runtime.simulated import hwh
from dsodenet.spec.layers import sections
from dsodenet.text import table
from tests.models import MODELS
from tests.vivado import recorder
from tests.vivado.recorder import Recorder

PARAMS = MODELS["time_bias"]


def record(kernel: str, folder: Path, patch: pytest.MonkeyPatch) -> Recorder:
    """Build the overlay of a small run with the tools' names given to the recorder; what it saw."""
    bit = hwh.write_overlay(design.block_design("any", Kind.HLS, 200), "kernel_0", folder)
    tools = recorder.make(folder / "tools", bit, patch)
    tools.install("vivado", "vitis-run")
    lowered(folder / "run")
    build(folder / "run", kernel)
    return tools


def lowered(run: Path) -> None:
    """A lowered run whose kernel.cpp is the real one; the sections, which hls4ml writes, are empty."""
    from dsodenet.hls import best_plan
    from dsodenet.hls.kernel import kernel_source

    PARAMS.save(run)
    hls = run / "hls"
    for name in (
        "include",
        "include/csim",
        "include/ap_types",
        *(f"{s.name}/firmware" for s in sections(PARAMS.spec.network)),
    ):
        (hls / name).mkdir(parents=True)
    for section in sections(PARAMS.spec.network):
        (hls / section.name / "firmware" / f"{section.name}.cpp").write_text("//\n")
    (hls / "kernel.cpp").write_text(kernel_source(PARAMS))
    (hls / "manifest.json").write_text(
        json.dumps({"fingerprint": PARAMS.kernel_fingerprint} | best_plan(PARAMS.spec).to_dict())
    )


def summary(tools: Recorder) -> str:
    """The recorded block design."""
    settings = Counter(name for name, key, _ in tools.of("property") if key.startswith("CONFIG."))
    counts = Counter(event for event, *_ in tools.events)
    parts = [
        table(("instance", "IP", "settings"), [(name, vlnv, settings[name]) for name, vlnv in tools.of("cell")]),
        table(("bus from", "to"), tools.of("bus")),
        table(
            ("net from", "to"), [(driver, " ".join(pin)) for driver, *loads in tools.of("net") for pin in _rows(loads)]
        ),
        table(
            ("address space", "segment", "base", "bytes"),
            [(*w[:2], f"{int(w[2]):#x}", w[3]) for w in tools.of("address")],
        ),
        textwrap.fill("events: " + ", ".join(f"{count} {name}" for name, count in counts.items()), 100),
    ]
    return "\n".join(parts)


def _rows(pins: list[str]) -> list[list[str]]:
    """As many pins in a row as fit a terminal."""
    rows: list[list[str]] = [[]]
    for pin in pins:
        if rows[-1] and len(" ".join([*rows[-1], pin])) > 70:
            rows.append([])
        rows[-1].append(pin)
    return rows


def main() -> int:
    for kernel in ("hls", "rtl"):
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            found = summary(record(kernel, Path(name), patch))
            print(f"recorded, not built: the overlay of the {kernel} kernel\n{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
