"""Resources of the engine by Yosys for UltraScale+, as JSON and as a table against the ZCU104's XCZU7EV. Estimates, not placement.

Modules that occur many times (UNITS) are synthesised once per set of parameters and counted; the rest is flattened around them.

python overlays/rtl/synth.py --lanes 1x4x8 1x32x64 3x16x64 --json build/rtl/resources.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsodenet import rtl
from dsodenet.engine import Engine
from dsodenet.errors import ToolError
from dsodenet.spec import Spec

FAMILY = "xcup"
LOGIC_FAMILY = "xc7"  # LUTs and FFs: Yosys maps carry chains and DSP registers of xcup badly
UNITS = ("packed_mac", "pointwise_pair", "depthwise_lane", "output_lane", "divide_lane", "requantise", "lut_product", "ram")
NO_DSP = ("lut_product",)  # Yosys does not read use_dsp
DEVICE = {"LUT": 230_400, "FF": 460_800, "DSP": 1_728, "BRAM36": 312, "URAM": 96}
BUDGET = {"LUT": 0.70, "FF": 0.70, "DSP": 0.95, "BRAM36": 0.80, "URAM": 0.80}
HARD_BLOCKS = ("DSP48E2", "RAMB36E2", "RAMB18E2", "URAM288")
# LUTs that a distributed RAM cell takes.
LUT_RAM = {"RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM32X1D": 2}
LUT_RAM |= {"RAM64X1S": 1, "RAM128X1S": 2, "RAM512X1S": 8, "SRL16E": 1, "SRLC32E": 1, "SRLC16E": 1, "RAM256X1D": 8}

Unit = tuple[str, tuple[tuple[str, str], ...]]  # module and its parameters


class Synthesis:
    """Runs Yosys on one module at a time and remembers the result."""

    def __init__(self) -> None:
        try:
            from pyosys import libyosys
        except ImportError as error:
            raise ToolError(f"pyosys is not installed ({error}); `pip install 'dsodenet[rtl]'` brings it") from None
        self.yosys = libyosys
        self.folder = Path(tempfile.mkdtemp(prefix="dsodenet-synth-"))
        self.files = [*rtl.generate(self.folder), *rtl.sources()]
        self.results: dict[Unit, Counter[str]] = {}
        self.seconds: dict[str, float] = {}

    def cells(self, unit: Unit) -> Counter[str]:
        """Primitive cells of a module, those of the units inside it included."""
        if unit not in self.results:
            own, units = _columns(unit) or self._synthesise(*unit)
            total = Counter(own)
            for inner, count in units.items():
                for cell, number in self.cells(inner).items():
                    total[cell] += count * number
            self.results[unit] = total
        return self.results[unit]

    def _synthesise(self, module: str, parameters: tuple[tuple[str, str], ...]) -> tuple[Counter[str], Counter[Unit]]:
        start = time.monotonic()
        boxes = " ".join(f"--blackboxed-module {name}" for name in UNITS if name != module)
        values = " ".join(f"-G {name}={value}" for name, value in parameters)
        files = " ".join(map(str, self.files))
        netlist = self._run(f"read_slang --top {module} {values} {boxes} {files}")
        units = _name_units(netlist)
        source = self.folder / "units.json"
        source.write_text(json.dumps(netlist), encoding="utf-8")
        dsp = "-nodsp" if module in NO_DSP else ""
        own: Counter[str] = Counter()
        found: Counter[Unit] = Counter()
        families = (FAMILY,) if module == "ram" else (FAMILY, LOGIC_FAMILY)  # xc7 has no UltraRAM
        for family in families:
            synth = f"synth_xilinx -family {family} -top {module} -flatten -noiopad -noclkbuf {dsp}"
            for cell in self._run(f"read_json {source}", synth)["modules"][module]["cells"].values():
                kind = cell["type"]
                if kind in units:
                    found[units[kind]] += family == FAMILY
                elif (kind in HARD_BLOCKS) == (family == FAMILY) or len(families) == 1:
                    own[kind] += 1
        self.seconds[f"{module} {' '.join(f'{n}={v}' for n, v in parameters)}"] = time.monotonic() - start
        return own, found

    def _run(self, *commands: str) -> dict[str, Any]:
        """The netlist after some commands on an empty design."""
        design, output = self.yosys.Design(), self.folder / "netlist.json"
        for command in (*commands, f"write_json {output}"):
            self.yosys.run_pass(command, design)
        netlist: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return netlist


def _columns(unit: Unit) -> tuple[Counter[str], Counter[Unit]] | None:
    """A memory whose lanes are whole beats is one memory per lane, each with its own write enable; Yosys is slow on all at once."""
    module, values = unit[0], dict(unit[1])
    if module != "ram" or int(values["LANES"]) == 1 or int(values["LANE_BITS"]) < 128:
        return None
    lane = tuple(sorted((values | {"LANES": "1"}).items()))
    return Counter(), Counter({(module, lane): int(values["LANES"])})


def _name_units(netlist: dict[str, Any]) -> dict[str, Unit]:
    """Give the black boxes of each set of parameters a module of their own, with their widths; returns what the names mean."""
    modules = netlist["modules"]
    boxes = {name: modules.pop(name) for name in list(modules) if name in UNITS and "blackbox" in modules[name]["attributes"]}
    names: dict[Unit, str] = {}
    for module in list(modules.values()):
        for cell in module["cells"].values():
            if cell["type"] not in boxes:
                continue
            # Parameters are in capitals; what else is here are local ones.
            values = ((name, _value(bits)) for name, bits in cell["parameters"].items() if name.isupper())
            unit = cell["type"], tuple(sorted(values))
            if unit not in names:
                names[unit] = f"unit_{len(names)}"
                directions = {name: port["direction"] for name, port in boxes[cell["type"]]["ports"].items()}
                ports, first = {}, 2
                for name, bits in cell["connections"].items():
                    ports[name] = {"direction": directions[name], "bits": list(range(first, first + len(bits)))}
                    first += len(bits)
                modules[names[unit]] = {"attributes": {"blackbox": "1"}, "ports": ports, "cells": {}, "netnames": {}}
            cell["type"], cell["parameters"] = names[unit], {}
    return {name: unit for unit, name in names.items()}


def _value(text: str) -> str:
    """A parameter of a netlist as a command-line value: a number in binary, or a string."""
    return str(int(text, 2)) if set(text) <= {"0", "1"} else f'"{text.strip()}"'


def resources(cells: Counter[str]) -> dict[str, float]:
    """Cells in the units of the data sheet."""
    return {
        "LUT": sum(n for cell, n in cells.items() if cell.startswith("LUT")) + sum(cells[c] * n for c, n in LUT_RAM.items()),
        "FF": sum(n for cell, n in cells.items() if cell in ("FDRE", "FDSE", "FDCE", "FDPE")),
        "DSP": cells["DSP48E2"],
        "BRAM36": cells["RAMB36E2"] + cells["RAMB18E2"] / 2,
        "URAM": cells["URAM288"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", nargs="+", default=["1x4x8", "1x32x64", "3x16x64"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    synthesis = Synthesis()
    report = {}
    for lanes in options.lanes:
        pixel, inputs, outputs = map(int, lanes.split("x"))
        kernel = replace(Spec.named("l").kernel, name="rtl", pixel_lanes=pixel, input_lanes=inputs, output_lanes=outputs)
        engine = Engine.of(kernel)
        unit = (rtl.TOP, tuple((name, str(value)) for name, value in rtl.parameters(engine).items()))
        report[lanes] = resources(synthesis.cells(unit))
        print(
            f"\n{lanes} lanes, estimated by Yosys (LUT and FF for {LOGIC_FAMILY}, the rest for {FAMILY}; no placement)",
            file=sys.stderr,
        )
        for name, used in report[lanes].items():
            limit = BUDGET[name] * DEVICE[name]
            verdict = "" if used <= limit else f"  OVER the budget of {limit:,.0f}"
            print(f"{name:8}{used:12,.0f} of {DEVICE[name]:,} {used / DEVICE[name]:7.1%}{verdict}", file=sys.stderr)
    for name, seconds in sorted(synthesis.seconds.items(), key=lambda item: -item[1])[:8]:
        print(f"{seconds:6.1f} s  {name[:100]}", file=sys.stderr)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps(
                {"kind": "estimated", "tool": f"yosys synth_xilinx, {FAMILY}, LUT and FF {LOGIC_FAMILY}", "lanes": report}, indent=2
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
