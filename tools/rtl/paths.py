"""Longest register-to-register paths of the engine and of its modules: estimates by a delay model (delays.py) on
Yosys' 7-series netlist, against the budget of the fabric's clock.

Each module is mapped once for each set of parameters. What is between modules is composed from their borders; nothing
is optimised across them, which errs to the slow side.

Figures that are meant are kept in paths.json; a path that grows beyond them is complained about.

python -m tools.rtl.paths --lanes 3x16x64 --paths 5
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.contract.fabric import BRAM36, URAM, blocks
from dsodenet.errors import InputError
from dsodenet.files import atomic_file
from dsodenet.outside import read_text
from dsodenet.rtl.engine import Engine
from dsodenet.spec.lanes import with_lanes
from dsodenet.spec.specification import Spec
from dsodenet.text import progress_bar, table
from tools import command_line
from tools.rtl.delays import FAST_EDGES, Arrival, Borders, Path, Timing
from tools.rtl.netlists import Netlists, Unit, engine_unit, unit_name

FAMILY = "xc7"
TOOL = f"yosys synth_xilinx {FAMILY}, delays.py"
FIGURES = FilePath(__file__).with_name("paths.json")
BUDGET_NS = 4.0  # of the fabric's clock, 250 MHz
TOLERANCE = 0.05
MODULES = (
    *("image_loader", "program_loader", "pass_check", "logits_writer", "control", "commander", "scheduler", "core"),
    *(
        "pass_runner",
        "maps",
        "window",
        "depthwise",
        "depthwise_lane",
        "depthwise_pair",
        "pointwise",
        "pointwise_pair",
        "output_stage",
    ),
    *("pumped_activations", "output_lane", "scatter", "average", "divide_lane"),
)
MACRO = ("packed_mac", "ram")  # no fabric: timed by their pins

# Registers that hold for SETTLE_CYCLES before their value is used.
STATIC = {
    "core": tuple(f"{name}_context_q" for name in ("window", "depthwise", "head", "out", "update", "write")),
    "scheduler": ("pass_word", "stage_q", "step_q", "bias_offset_q"),  # pass_word: the read register of u_passes
    "output_stage": ("u_out_shift.decoded_q", "u_update_shift.decoded_q", "u_copy_shift.decoded_q"),
    "depthwise": ("u_decode.decoded_q",),
    "control": ("scalar_q", "coeff_q"),
    "program_loader": ("words_q", "blocks_o", "evaluations_o"),
}

# Registers of a double-pumped array's own clock. wait_q of a pair is none of them: the slice before it counts already.
FAST = {
    "pointwise_pair": ("even_q", "odd_q"),
    "pumped_activations": ("follow_q", "even_q", "second_q", "act_q"),
}

# What Yosys may call the outputs of these registers: it keeps one name of a wire, perhaps that behind a `settled`.
SAME = {"scheduler": {"pass_word": ("pass", "u_settled.value_i")}}

# ns at the pins of hard blocks: from the clock with and without output register, and to their inputs
RAM_CLOCK_TO_OUT = {"block": (0.35, 1.0), "ultra": (0.6, 1.4), "distributed": (0.08, 0.08)}
RAM_SETUP = {"block": 0.40, "ultra": 0.40, "distributed": 0.60}
DSP_PACKED_SETUP, DSP_REGISTER_SETUP, DSP_ENABLE_SETUP, DSP_CASCADE, DSP_CLOCK_TO_SUM = 0.85, 0.20, 0.35, 1.0, 0.35
FAST_NS = BUDGET_NS / FAST_EDGES


class Clocking:
    """Timings of modules, each found once."""

    def __init__(self, tick: Callable[[str], None]) -> None:
        self.netlists = Netlists((*MODULES, *MACRO))
        self.timings: dict[Unit, Timing] = {}
        self.tick = tick

    def borders(self, unit: Unit, widths: dict[str, tuple[str, int]], fast: bool) -> Borders:
        """widths: port -> direction and bits. fast: a slice on the array's own clock."""
        if unit[0] == "ram":
            return ram_borders(dict(unit[1]), widths)
        if unit[0] == "packed_mac":
            return mac_borders(dict(unit[1]), widths, fast)
        return self.timing(unit).borders

    def timing(self, unit: Unit) -> Timing:
        if unit not in self.timings:
            source, units = self.netlists.read(unit)
            self.tick(unit[0])
            netlist = self.netlists.mapped(source, unit[0], FAMILY)
            shapes: dict[str, dict[str, tuple[str, int]]] = {}
            for cell in netlist["cells"].values():
                if cell["type"] in units:
                    shapes[cell["type"]] = {
                        port: (cell["port_directions"][port], len(bits)) for port, bits in cell["connections"].items()
                    }
            fast = unit[0] == "pointwise_pair" and dict(unit[1]).get("DOUBLE_PUMPED") == "1"
            inner = {kind: self.borders(units[kind], widths, fast) for kind, widths in shapes.items()}
            self.timings[unit] = Timing(
                netlist,
                lambda kind, _: inner.get(kind),
                static_names(unit[0]),
                unit[0] == "dsodenet_engine",
                FAST.get(unit[0], ()),
            )
        return self.timings[unit]


def static_names(module: str) -> set[str]:
    """The registers of STATIC by every name that their outputs may have."""
    found = set()
    for name in STATIC.get(module, ()):
        plain = name.removesuffix("_q")
        found |= {name, plain, f"u_{plain}.value_i", *SAME.get(module, {}).get(name, ())}
    return found


def ram_borders(values: dict[str, str], widths: dict[str, tuple[str, int]]) -> Borders:
    """A memory by its blocks: how many of them an address drives."""
    style, depth, lanes, bits = values["STYLE"].strip('"'), *(int(values[k]) for k in ("DEPTH", "LANES", "LANE_BITS"))
    if style == "distributed":
        per_lane = bits * -(-depth // 64)
    else:
        per_lane = blocks(depth, bits, URAM if style == "ultra" else BRAM36)
    registered, plain = RAM_CLOCK_TO_OUT[style]
    out = Arrival(registered if values["READ_LATENCY"] == "2" else plain)
    found = Borders()
    for port, (direction, width) in widths.items():
        for i in range(width):
            if direction == "output":
                found.arrival[port, i] = out
            elif port != "clk_i":
                found.setup[port, i] = RAM_SETUP[style]
                found.loads[port, i] = {"wdata_i": 1, "we_i": per_lane}.get(port, per_lane * lanes)
    return found


def mac_borders(values: dict[str, str], widths: dict[str, tuple[str, int]], fast: bool) -> Borders:
    """packed_mac as a DSP48E2: two operands into the pre-adder, with HOLD into registers before it, the factor into B,
    the cascade into the adder of P.

    On the array's own clock (fast), what comes from the fabric, or goes there, has the time of a fast cycle.
    """
    late = FAST_NS if fast else 0.0  # so much of the fabric's cycle cannot be used
    packed = DSP_REGISTER_SETUP if values.get("HOLD") == "1" else DSP_PACKED_SETUP
    setup = {
        "high_i": late + packed,
        "low_i": late + packed,
        "factor_i": late + DSP_REGISTER_SETUP,
        "addend_i": DSP_CASCADE,
        "take_i": DSP_ENABLE_SETUP,
        "load_i": DSP_ENABLE_SETUP,
    }
    found = Borders()
    for port, (direction, width) in widths.items():
        for i in range(width):
            if direction == "output":
                found.arrival[port, i] = Arrival(late + DSP_CLOCK_TO_SUM)
            elif port != "clk_i":
                found.setup[port, i], found.loads[port, i] = setup[port], 1
    return found


def complaints(found: dict[str, float], committed: dict[str, float]) -> list[str]:
    """Modules whose longest path grew, or is over the budget, in words."""
    return [
        f"the longest path of {unit} takes {ns:.2f} ns, but {what}"
        for unit, ns in found.items()
        for most, what in [
            (committed[unit] * (1 + TOLERANCE), f"{committed[unit]:.2f} ns are committed")
            if unit in committed
            else (BUDGET_NS, f"the budget is {BUDGET_NS} ns")
        ]
        if ns > most
    ]


def committed() -> dict[str, float]:
    """Module with its parameters -> ns."""
    modules: dict[str, float] = json.loads(read_text(FIGURES))["modules"] if FIGURES.is_file() else {}
    return modules


def timed(units: list[Unit], tick: Callable[[str], None] = lambda name: None) -> dict[Unit, list[Path]]:
    """The longest paths of modules and of all that is in them, the longest first."""
    clocking = Clocking(tick)
    for unit in units:
        clocking.timing(unit)
    return {unit: timing.paths for unit, timing in clocking.timings.items()}


def work(args: argparse.Namespace) -> Values:
    engines = {lanes: engine_unit(Engine.of(with_lanes(Spec.named("l"), lanes, "rtl").kernel)) for lanes in args.lanes}
    units = [parse_unit(name) for name in args.units] or list(engines.values())
    with progress_bar("paths", len(MODULES) * len(units) if not args.units else len(units), args.quiet) as step:
        paths = timed(units, step)
    found = {unit_name(unit): round(rows[0].ns, 2) for unit, rows in paths.items() if rows}
    if args.write:
        facts = {"kind": "estimated", "tool": TOOL, "budget_ns": BUDGET_NS, "modules": committed() | found}
        with atomic_file(FIGURES) as path:
            path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    wrong = complaints(found, committed())
    rows = [vars(path) | {"module": unit_name(unit)} for unit, some in paths.items() for path in some[: args.paths]]
    rows.sort(key=lambda row: -row["ns"])
    about = {"kind": "estimated", "tool": TOOL, "budget_ns": BUDGET_NS}
    return Values(about | {"paths": rows, "complaints": wrong, "ok": not wrong}, text)


def parse_unit(name: str) -> Unit:
    """A module as the figures name it: `pass_runner DRAIN_CYCLES=45 PIXEL_LANES=3`."""
    module, *values = name.split()
    if module not in (*MODULES, "dsodenet_engine") or not all("=" in value for value in values):
        raise InputError(f"unit is {name!r}, but it must be one of {', '.join(MODULES)} and its PARAMETER=VALUE")
    return module, tuple(sorted((key, value) for key, _, value in (value.partition("=") for value in values)))


def text(result: dict[str, Any]) -> str:
    rows = [
        (row["module"].split()[0], f"{row['ns']:.2f}", "static" if row["static"] else "", row["begin"], row["end"])
        for row in result["paths"]
    ]
    about = (
        f"estimated by a delay model, no placement; budget {BUDGET_NS} ns; static: over two cycles; paths of the "
        "array's own clock count twice"
    )
    return "\n".join([table(("module", "ns", "", "from", "to"), rows), about, *result["complaints"]])


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.paths", __doc__)
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=["3x16x64"])
    parser.add_argument("--units", nargs="+", default=[], metavar="UNIT", help="modules instead of whole engines")
    parser.add_argument("--paths", type=int, default=1, metavar="N", help="longest paths shown of each module")
    parser.add_argument("--write", action="store_true", help="commit to what is found")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
