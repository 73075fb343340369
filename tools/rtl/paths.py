"""Longest register-to-register paths of the engine and of its modules: estimates by a delay model (delays.py) on
Yosys' 7-series netlist, against the budget of the fabric's clock.

Each module is mapped once for each set of parameters. What is between modules is composed from their borders; nothing
is optimised across them, which errs to the slow side.

python -m tools.rtl.paths --lanes 3x16x64
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.contract.fabric import BRAM36, URAM, blocks
from dsodenet.rtl.engine import Engine
from dsodenet.spec.lanes import with_lanes
from dsodenet.spec.specification import Spec
from dsodenet.text import progress_bar, table
from tools import command_line
from tools.rtl.delays import Arrival, Borders, Timing
from tools.rtl.netlists import Netlists, Unit, engine_unit, unit_name

FAMILY = "xc7"
BUDGET_NS = 4.0
SHOWN = 12
MODULES = (
    *("image_loader", "program_loader", "pass_check", "logits_writer", "control", "commander", "scheduler", "core"),
    *("pass_runner", "maps", "window", "depthwise", "depthwise_lane", "pointwise", "pointwise_pair", "output_stage"),
    *("output_lane", "scatter", "average", "divide_lane"),
)
MACRO = ("packed_mac", "ram")  # no fabric: timed by their pins

# Registers that hold for SETTLE_CYCLES before their value is used.
STATIC = {
    "scheduler": (r"pass_word", r"pass\b", r"(step|stage|bias_offset)_q"),
    "core": (r"\w+_context",),
    "output_stage": (r"coeff_q", r"(out|update|copy)_shift"),
    "depthwise": (r"shift",),
    "control": (r"coeff_o", r"n_steps_o", r"num_stages_o", r"frames_o"),
    "program_loader": (r"words_q", r"words_o", r"blocks_o", r"evaluations_o"),
}

# ns at the pins of hard blocks: from the clock with and without output register, and to their inputs
RAM_CLOCK_TO_OUT = {"block": (0.35, 1.0), "ultra": (0.6, 1.4), "distributed": (0.08, 0.08)}
RAM_SETUP = {"block": 0.40, "ultra": 0.40, "distributed": 0.60}
DSP_WEIGHT_SETUP, DSP_ACTIVATION_SETUP, DSP_CASCADE, DSP_CLOCK_TO_SUM = 0.85, 0.20, 1.0, 0.35


class Clocking:
    """Timings of modules, each found once."""

    def __init__(self, tick: Any = lambda name: None) -> None:
        self.netlists = Netlists((*MODULES, *MACRO))
        self.timings: dict[Unit, Timing] = {}
        self.tick = tick

    def borders(self, unit: Unit, widths: dict[str, tuple[str, int]]) -> Borders:
        """widths: port -> direction and bits."""
        if unit[0] == "ram":
            return ram_borders(dict(unit[1]), widths)
        if unit[0] == "packed_mac":
            return mac_borders(widths)
        return self.timing(unit).borders

    def timing(self, unit: Unit) -> Timing:
        if unit not in self.timings:
            import time; t=time.time(); c=time.process_time()
            source, units = self.netlists.read(unit)
            self.tick(unit[0])
            netlist = self.netlists.mapped(source, unit[0], FAMILY)
            print("TIME", unit[0], f"{time.time()-t:.1f} cpu {time.process_time()-c:.1f}", len(netlist["cells"]), flush=True)
            shapes: dict[str, dict[str, tuple[str, int]]] = {}
            for cell in netlist["cells"].values():
                if cell["type"] in units:
                    shapes[cell["type"]] = {
                        port: (cell["port_directions"][port], len(bits)) for port, bits in cell["connections"].items()
                    }
            inner = {kind: self.borders(units[kind], widths) for kind, widths in shapes.items()}
            self.timings[unit] = Timing(
                netlist, lambda kind, _: inner.get(kind), STATIC.get(unit[0], ()), border=unit[0] == "dsodenet_engine"
            )
        return self.timings[unit]


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


def mac_borders(widths: dict[str, tuple[str, int]]) -> Borders:
    """packed_mac as a DSP48E2: weights into the pre-adder, the activation into B, the cascade into the adder of P."""
    setup = {"high_i": DSP_WEIGHT_SETUP, "low_i": DSP_WEIGHT_SETUP, "act_i": DSP_ACTIVATION_SETUP, "addend_i": DSP_CASCADE}
    found = Borders()
    for port, (direction, width) in widths.items():
        for i in range(width):
            if direction == "output":
                found.arrival[port, i] = Arrival(DSP_CLOCK_TO_SUM)
            elif port != "clk_i":
                found.setup[port, i], found.loads[port, i] = setup[port], 1
    return found


def module_paths(timings: dict[Unit, Timing]) -> dict[str, float]:
    """Module -> its longest path in ns, of all sets of parameters."""
    found: dict[str, float] = {}
    for unit, timing in timings.items():
        worst = timing.paths[0].ns if timing.paths else 0.0
        found[unit[0]] = max(found.get(unit[0], 0.0), round(worst, 2))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def work(args: argparse.Namespace) -> Values:
    rows = []
    with progress_bar("paths", len(args.lanes) * (len(MODULES) + 1), args.quiet) as step:
        for lanes in args.lanes:
            clocking = Clocking(step)
            engine = Engine.of(with_lanes(Spec.named("l"), lanes, "rtl").kernel)
            if args.module:
                clocking.timing(engine_unit(engine))
            whole = clocking.timing(engine_unit(engine))
            for unit, timing in clocking.timings.items():
                for path in timing.paths[: args.paths if unit[0] in (args.module or [unit[0]]) else 0]:
                    rows.append({"lanes": lanes, "module": unit_name(unit) , **vars(path)})
            del whole
    rows.sort(key=lambda row: -row["ns"])
    return Values({"kind": "estimated", "budget_ns": BUDGET_NS, "paths": rows}, text)


def text(result: dict[str, Any]) -> str:
    rows = [(r["lanes"], r["module"].split()[0], f"{r['ns']:.2f}", "static" if r["static"] else "", r["begin"][-50:], r["end"][-50:]) for r in result["paths"]]
    return table(("lanes", "module", "ns", "", "from", "to"), rows)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.paths", __doc__)
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=["3x16x64"])
    parser.add_argument("--paths", type=int, default=SHOWN)
    parser.add_argument("--module", nargs="*")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
