"""Resources of some units of the engine against committed figures (unit_resources.json), by Yosys: estimates, no
placement.

The units stand for the whole engine, whose synthesis takes minutes. Hard blocks must not change at all, LUTs and FFs
not grow by more than TOLERANCE. A change that is meant is committed with the figures of

python -m tools.rtl.unit_resources --write
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dsodenet.command import Values
from dsodenet.files import atomic_file
from dsodenet.outside import read_text
from dsodenet.text import table
from tools import command_line
from tools.rtl.synth import FAMILY, LOGIC_FAMILY, Synthesis, resources

FIGURES = Path(__file__).with_name("unit_resources.json")
TOLERANCE = 0.03
EXACT = ("DSP", "BRAM36", "URAM")
UNITS = {
    "pointwise_pair": {"PIXEL_LANES": 1, "CHAINS": 1, "LENGTH": 4, "SUM_BITS": 26},
    "depthwise_lane": {},
    "ram": {"LANES": 4, "LANE_BITS": 8, "DEPTH": 8192, "READ_LATENCY": 2, "STYLE": '"ultra"'},
}


def measure() -> dict[str, dict[str, float]]:
    """unit -> LUT, FF, DSP, BRAM36, URAM. About half a minute."""
    synthesis = Synthesis()
    return {
        module: resources(
            synthesis.cells((module, tuple(sorted((name, str(value)) for name, value in parameters.items()))))
        )
        for module, parameters in UNITS.items()
    }


def complaints(found: dict[str, dict[str, float]], committed: dict[str, dict[str, float]]) -> list[str]:
    """What changed more than it may, in words."""
    if found.keys() != committed.keys():
        return [f"the figures are of {', '.join(committed)}, but the units are {', '.join(found)}"]
    return [
        f"{unit} takes {used:g} {name}, but {committed[unit][name]:g} are committed"
        for unit, row in found.items()
        for name, used in row.items()
        if (used != committed[unit][name] if name in EXACT else used > committed[unit][name] * (1 + TOLERANCE))
    ]


def committed() -> dict[str, dict[str, float]]:
    units: dict[str, dict[str, float]] = json.loads(read_text(FIGURES))["units"]
    return units


def work(args: argparse.Namespace) -> Values:
    found = measure()
    facts = {"kind": "estimated", "tool": f"yosys synth_xilinx, {FAMILY}, LUT and FF {LOGIC_FAMILY}", "units": found}
    if args.write:
        with atomic_file(FIGURES) as path:
            path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    wrong = complaints(found, committed())
    return Values(facts | {"complaints": wrong, "ok": not wrong}, text)


def text(result: dict[str, Any]) -> str:
    units = result["units"]
    rows = table(("unit", *next(iter(units.values()))), [(unit, *row.values()) for unit, row in units.items()])
    return "\n".join([rows, *result["complaints"]])


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.unit_resources", __doc__)
    parser.add_argument("--write", action="store_true", help="commit to what is found")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
