"""Vivado's reports as numbers: utilisation, timing and power of one implementation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dsodenet.errors import ToolError
from dsodenet.outside import guard, read_text

SITES = {"lut": "CLB LUTs", "ff": "CLB Registers", "bram36": "Block RAM Tile", "uram": "URAM", "dsp": "DSPs"}
POWER = {"total_w": "Total On-Chip Power (W)", "dynamic_w": "Dynamic (W)", "static_w": "Device Static (W)"}
TIMING = {
    "setup_slack_ns": "wns",
    "setup_total_ns": "tns",
    "hold_slack_ns": "whs",
    "hold_total_ns": "ths",
    "pulse_width_total_ns": "tpws",
}


def read_reports(folder: Path) -> dict[str, Any]:
    """The reports that implement.tcl and design.tcl left in `folder`, as one dict; units are in the names.

    ToolError when a report has another form, or timing is missed.
    """
    timing = _pairs(folder / "implement_timing.txt")
    missed = [name for name in ("wns", "whs", "tpws") if _number(timing, name, folder / "implement_timing.txt") < 0]
    if missed or _number(timing, "failed_nets", folder / "implement_timing.txt"):
        raise ToolError(
            f"{folder / 'implement_timing.txt'}: timing is not met ({', '.join(missed) or 'nets without a route'})"
        )
    return {
        "clock_mhz": _number(_pairs(folder / "design.txt"), "clock_hz", folder / "design.txt") / 1e6,
        "timing": {key: _number(timing, name, folder / "implement_timing.txt") for key, name in TIMING.items()},
        "utilisation": utilisation(folder / "implement_utilisation.rpt"),
        "power_estimate": power(folder / "implement_power.rpt"),
    }


def utilisation(report: Path) -> dict[str, dict[str, float]]:
    """Resource -> used, available. The columns are found by their titles, since releases differ."""
    titles: list[str] = []
    found: dict[str, dict[str, float]] = {}
    for line in read_text(report).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] == "Site Type":
            titles = cells
        for key, site in SITES.items():
            # A star behind a name refers to a footnote.
            if cells[0].rstrip("*") == site and {"Used", "Available"} <= set(titles) and key not in found:
                row = dict(zip(titles, cells))
                with guard(report, "a utilisation report of Vivado", ToolError):
                    found[key] = {"used": float(row["Used"]), "available": float(row["Available"])}
    if missing := [site for key, site in SITES.items() if key not in found]:
        raise ToolError(f"{report}: no line for {', '.join(missing)}; this form of report is not known")
    return found


def power(report: Path) -> dict[str, float]:
    """Vivado's estimate in watts. It assumes default switching activity, and is no measurement."""
    text = read_text(report)
    result = {}
    for key, title in POWER.items():
        match = re.search(rf"\|\s*{re.escape(title)}\s*\|\s*([\d.]+)\s*\|", text)
        if match is None:
            raise ToolError(f"{report}: no line '{title}'; this form of report is not known")
        with guard(report, "a power report of Vivado", ToolError):
            result[key] = float(match[1])
    return result


def hls_offsets(folder: Path) -> dict[str, int]:
    """Argument -> offset in bytes, from the driver header that Vitis HLS puts into its IP."""
    headers = sorted(folder.rglob("x*_hw.h"))
    if len(headers) != 1:
        raise ToolError(f"{folder}: {len(headers)} driver headers x*_hw.h, but an IP of Vitis HLS has one")
    lines = re.findall(
        r"^#define X\w+?_CONTROL_ADDR_(\w+?)_(?:DATA|BASE)\s+(0x[0-9a-f]+)", read_text(headers[0]), re.MULTILINE
    )
    return {name: int(offset, 16) for name, offset in lines}


def _pairs(path: Path) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in read_text(path).splitlines() if len(line.split()) > 1)


def _number(pairs: dict[str, str], key: str, path: Path) -> float:
    try:
        return float(pairs[key])
    except (KeyError, ValueError):
        raise ToolError(f"{path}: {key} is {pairs.get(key)!r}, but it must be a number") from None
