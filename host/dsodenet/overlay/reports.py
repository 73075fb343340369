"""Vivado's reports as numbers: utilisation, timing and power of one implementation."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsodenet.errors import ToolError
from dsodenet.outside import guard, read_text

SITES = {"lut": "CLB LUTs", "ff": "CLB Registers", "bram36": "Block RAM Tile", "uram": "URAM", "dsp": "DSPs"}
POWER = {"total_w": "Total On-Chip Power (W)", "dynamic_w": "Dynamic (W)", "static_w": "Device Static (W)"}


@dataclass(frozen=True)
class Timing:
    """Timing of a routed design."""

    clock_mhz: float  # what it was built for, as Vivado computes it
    setup_slack_ns: float
    setup_total_ns: float
    hold_slack_ns: float
    hold_total_ns: float
    pulse_width_total_ns: float
    failed_nets: float

    @classmethod
    def read(cls, folder: Path) -> Timing:
        """From the reports of design.tcl and implement.tcl; ToolError when one is missing or has another form."""
        path, design = folder / "implement_timing.txt", folder / "design.txt"
        found = pairs(path)
        numbers = [_number(found, name, path) for name in ("wns", "tns", "whs", "ths", "tpws", "failed_nets")]
        return cls(_number(pairs(design), "clock_hz", design) / 1e6, *numbers)

    @property
    def lost(self) -> str:
        """What a slower clock does not mend, or nothing."""
        texts = {
            f"hold by {-self.hold_slack_ns:g} ns": self.hold_slack_ns < 0,
            f"pulse width by {-self.pulse_width_total_ns:g} ns": self.pulse_width_total_ns < 0,
            f"{self.failed_nets:g} nets without a route": self.failed_nets > 0,
        }
        return ", ".join(text for text, lost in texts.items() if lost)

    @property
    def fastest_mhz(self) -> float:
        """1 / (T - WNS): the clock at which the slowest path would just meet setup; the built one where it is met."""
        return min(self.clock_mhz, 1e3 / (1e3 / self.clock_mhz - self.setup_slack_ns))

    def to_dict(self) -> dict[str, float]:
        found = asdict(self)
        return {key: found[key] for key in found if key.endswith("_ns")}


def read_reports(folder: Path) -> dict[str, Any]:
    """What implement.tcl reports of a build beside its timing, as one dict; units are in the names.

    ToolError when a report is missing or has another form.
    """
    return {
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


def pairs(path: Path, why: str = "the build did not come to its end") -> dict[str, str]:
    """A file of lines "name value"; ToolError, with why, where there is none."""
    if not path.is_file():
        raise ToolError(f"{path}: no such file; {why}")
    return dict(line.split(maxsplit=1) for line in read_text(path).splitlines() if len(line.split()) > 1)


def _number(found: dict[str, str], key: str, path: Path) -> float:
    try:
        return float(found[key])
    except (KeyError, ValueError):
        raise ToolError(f"{path}: {key} is {found.get(key)!r}, but it must be a number") from None
