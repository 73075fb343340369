"""Resources of the engine by Yosys for UltraScale+, as JSON and as a table against the ZCU104's XCZU7EV.

Estimates, not placement.

Modules that occur many times (UNITS) are synthesised once per set of parameters and counted; the rest is flattened
around them. DSPs: Yosys maps a multiplier of its own to a DSP48E2, but neither pre-adder nor cascade. `packed_mac`,
written as those are inferred, is therefore counted by construction as one DSP48E2; its operators are checked against
what one slice holds. All else is what Yosys maps. How long paths are, tools.rtl.paths estimates.

python -m tools.rtl.synth --lanes 1x4x8 4x16x64@2 --json docs/results/resources.json
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.contract.fabric import BUDGET, DEVICE_FF
from dsodenet.contract.fabric import DEVICE as resources_of_device
from dsodenet.errors import ToolError
from dsodenet.rtl.engine import Engine
from dsodenet.spec.lanes import with_lanes
from dsodenet.spec.specification import Spec
from dsodenet.text import progress_bar, table
from tools import command_line
from tools.rtl.netlists import Netlists, Unit, engine_unit, unit_name

FAMILY = "xcup"
LOGIC_FAMILY = "xc7"  # LUTs and FFs: Yosys maps carry chains and DSP registers of xcup badly
UNITS = (
    "packed_mac",
    "pointwise_pair",
    "depthwise_lane",
    "depthwise_pair",
    "output_lane",
    "divide_lane",
    "requantise",
    "lut_product",
    "ram",
)
CONSTRUCTED = {"packed_mac": Counter({"DSP48E2": 1, "packed_mac": 1})}
SLICE_BITS = {
    "$mul": ((27, 18), 45),
    "$add": ((48, 48), 48),
}  # of a DSP48E2: operands (either order), result; the pre-adder has 27
DEVICE = resources_of_device | {"FF": DEVICE_FF}
HARD_BLOCKS = ("DSP48E2", "RAMB36E2", "RAMB18E2", "URAM288")
# LUTs that a distributed RAM cell takes.
LUT_RAM = {
    "RAM32M": 4,
    "RAM32M16": 8,
    "RAM64M": 4,
    "RAM64M8": 8,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM32X1D": 2,
}
LUT_RAM |= {"RAM64X1S": 1, "RAM128X1S": 2, "RAM512X1S": 8, "SRL16E": 1, "SRLC32E": 1, "SRLC16E": 1, "RAM256X1D": 8}


class Synthesis:
    """Cells of modules, each found once."""

    def __init__(self) -> None:
        self.netlists = Netlists(UNITS)
        self.results: dict[Unit, Counter[str]] = {}

    def cells(self, unit: Unit) -> Counter[str]:
        """Primitive cells of a module, those of the units inside it included."""
        if unit[0] in CONSTRUCTED and unit not in self.results:
            self._check_slice(unit[0])
            self.results[unit] = CONSTRUCTED[unit[0]]
        if unit not in self.results:
            own, units = _columns(unit) or self._synthesise(unit)
            total = Counter(own)
            for inner, count in units.items():
                for cell, number in self.cells(inner).items():
                    total[cell] += count * number
            self.results[unit] = total
        return self.results[unit]

    def _synthesise(self, unit: Unit) -> tuple[Counter[str], Counter[Unit]]:
        module = unit[0]
        source, units = self.netlists.read(unit)
        own: Counter[str] = Counter()
        found: Counter[Unit] = Counter()
        families = (FAMILY,) if module == "ram" else (FAMILY, LOGIC_FAMILY)  # xc7 has no UltraRAM
        for family in families:
            for cell in self.netlists.mapped(source, module, family)["cells"].values():
                kind = cell["type"]
                if kind in units:
                    found[units[kind]] += family == FAMILY
                elif (kind in HARD_BLOCKS) == (family == FAMILY) or len(families) == 1:
                    own[kind] += 1
        return own, found

    def _check_slice(self, module: str) -> None:
        """ToolError unless the module is one multiplier and two adders of the widths of a DSP48E2, and registers."""
        netlist = self.netlists.run(f"read_slang --top {module} {self.netlists.files}", "proc", "wreduce", "opt_clean")
        cells = [cell for cell in netlist["modules"][module]["cells"].values() if cell["type"] != "$dff"]
        if sorted(cell["type"] for cell in cells) != ["$add", "$add", "$mul"]:
            raise ToolError(
                f"{module} is no multiply-add of one DSP48E2: it has {', '.join(cell['type'] for cell in cells)}"
            )
        for cell in cells:
            a, b, y = (int(cell["parameters"][f"{port}_WIDTH"], 2) for port in "ABY")
            operands, result = SLICE_BITS[cell["type"]]
            if sorted((a, b)) > sorted(operands) or y > result:
                raise ToolError(f"{module}: {cell['type']} of {a} and {b} to {y} bits is more than a DSP48E2 holds")


def _columns(unit: Unit) -> tuple[Counter[str], Counter[Unit]] | None:
    """A memory whose lanes are beats is one memory per lane, each with its own write enable.

    Yosys is slow on all at once.
    """
    module, values = unit[0], dict(unit[1])
    if module != "ram" or int(values["LANES"]) == 1 or int(values["LANE_BITS"]) < 72:
        return None
    lane = tuple(sorted((values | {"LANES": "1"}).items()))
    return Counter(), Counter({(module, lane): int(values["LANES"])})


def resources(cells: Counter[str]) -> dict[str, float]:
    """Cells in the units of the data sheet."""
    return {
        "LUT": sum(n for cell, n in cells.items() if cell.startswith("LUT"))
        + sum(cells[c] * n for c, n in LUT_RAM.items()),
        "FF": sum(n for cell, n in cells.items() if cell in ("FDRE", "FDSE", "FDCE", "FDPE")),
        "DSP": cells["DSP48E2"],
        "BRAM36": cells["RAMB36E2"] + cells["RAMB18E2"] / 2,
        "URAM": cells["URAM288"],
    }


def work(args: argparse.Namespace) -> Values:
    synthesis = Synthesis()
    report = {}
    with progress_bar("synth", len(args.lanes), args.quiet) as step:
        for lanes in args.lanes:
            step(lanes)
            engine = Engine.of(with_lanes(Spec.named("l"), lanes, "rtl").kernel)
            cells = synthesis.cells(engine_unit(engine))
            report[lanes] = resources(cells) | {"DSP_by_construction": cells["packed_mac"]}
    units = {unit_name(unit): resources(cells) for unit, cells in synthesis.results.items()}
    tool = f"yosys synth_xilinx, {FAMILY}, LUT and FF {LOGIC_FAMILY}"
    return Values({"kind": "estimated", "tool": tool, "lanes": report, "units": units}, text)


def text(result: dict[str, Any]) -> str:
    """Each engine against the budget of the ZCU104's device."""
    rows = []
    for lanes, used in result["lanes"].items():
        for name, most in DEVICE.items():
            limit = BUDGET[name] * most
            verdict = "" if used[name] <= limit else f"OVER the budget of {limit:,.0f}"
            rows.append((lanes, name, f"{used[name]:,.0f}", f"{most:,}", f"{used[name] / most:.1%}", verdict))
    about = f"estimated by Yosys: LUT and FF for {LOGIC_FAMILY}, the rest for {FAMILY}; no placement"
    return f"{table(('lanes', 'resource', 'used', 'of', 'share', ''), rows)}\n{about}"


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.synth", __doc__)
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=["1x4x8", "1x32x64", "3x16x64", "4x16x64@2"])
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
