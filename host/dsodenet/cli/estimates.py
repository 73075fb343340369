"""What a model costs on both kernels, estimated before any tool has run: `dsodenet estimate`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsodenet.command import Answer
from dsodenet.contract import ZCU104, Board, Resources, board_named
from dsodenet.errors import SpecError
from dsodenet.hls import Plan, best_plan
from dsodenet.rtl import Engine, Estimate, estimate, memory_map, of_spec, rtl_resources
from dsodenet.runs import Run
from dsodenet.spec import USUAL_LANES, Params, Spec, macs, parameter_comparison, parameters, with_lanes
from dsodenet.text import paragraph, table

ENGINES = (*USUAL_LANES, "4x16x64@2")


@dataclass(frozen=True)
class EngineCosts:
    """A build of the rtl kernel."""

    cycles: Estimate
    resources: Resources

    def to_dict(self) -> dict[str, Any]:
        found = self.cycles.to_dict()
        return {key: found[key] for key in ("lanes", "cycles", "latency_us")} | self.resources.to_dict()

    def row(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """Of a table: lanes, cycles, microseconds, and what it takes of these kinds."""
        data = self.to_dict()
        used = (f"{data[kind]:,.0f}" for kind in kinds)
        return data["lanes"], f"{data['cycles']:,}", f"{data['latency_us']:,.1f}", *used


def exceeded(resources: Resources, board: Board) -> list[str]:
    """What the device has less of."""
    return [kind for kind, used in resources.to_dict().items() if used > board.device[kind]]


def engines(spec: Spec, board: Board) -> tuple[EngineCosts, ...]:
    """The builds of ENGINES that hold the model and fit the device, the fastest first."""
    found = []
    for lanes in ENGINES:
        try:
            cycles = of_spec(with_lanes(spec, lanes), board)
        except SpecError:  # the model is too large for its memories
            continue
        resources = rtl_resources(cycles.engine, board)
        if not exceeded(resources, board):
            found.append(EngineCosts(cycles, resources))
    return tuple(sorted(found, key=lambda engine: engine.cycles.cycles))


@dataclass(frozen=True)
class Costs:
    """What a model costs on both kernels, estimated before any tool has run."""

    cycles: Estimate
    resources: dict[str, Resources]  # kernel -> what it takes of the device
    hls: Plan | None  # its search is for the ZCU104
    engines: tuple[EngineCosts, ...]  # builds that hold the model and fit the device, the fastest first

    def to_dict(self) -> dict[str, Any]:
        spec = self.cycles.spec
        return self.cycles.to_dict() | {
            "parameters": parameters(spec),
            "macs_per_section": macs(spec),
            "parameters_compared": parameter_comparison(spec),
            "resources": {name: found.to_dict() for name, found in self.resources.items()},
            "memory": memory_map(self.cycles.engine),
            "hls": None if self.hls is None else self.hls.to_dict(),
            "engines": [engine.to_dict() for engine in self.engines],
        }

    def __str__(self) -> str:
        data, device = self.to_dict(), self.cycles.board.device
        part = self.cycles.board.part.split("-")[0].upper()
        total, compared = sum(data["parameters"].values()), data["parameters_compared"]
        rows = [
            (name, *(_share_text(found[kind], device[kind]) for kind in device))
            for name, found in data["resources"].items()
        ]
        over = [
            f"{kind} of {name}" for name, found in self.resources.items() for kind in exceeded(found, self.cycles.board)
        ]
        memories = ", ".join(f"{name} {size / 1024:,.0f} KiB" for name, size in data["memory"].items())
        told = [
            f"{data['model']}, {data['lanes']} lanes of the rtl kernel; estimated by a closed form that equals its "
            "simulation",
            self.cycles.table(),
            f"{data['macs']:,} multiply-accumulates; {total:,} parameters; without stem and head "
            f"{compared['dsodenet']:,}, against {compared['full']:,} with full convolutions and "
            f"{compared['residual']:,} unshared",
            f"\n{part}, estimated",
            table(("kernel", *device), rows),
            f"rtl: from Yosys' figures of its parts; on chip: {memories}",
            *([f"does not fit: {', '.join(over)}"] if over else []),
            *("hls: estimated for the ZCU104 only" if self.hls is None else str(self.hls)).splitlines(),
        ]
        if self.engines:
            rows = [engine.row(device) for engine in self.engines]
            told += ["\nthe rtl kernel by lanes (--lanes)", table(("lanes", "cycles", "µs", *device), rows)]
        return "\n".join(line if "\n" in line else paragraph(line) for line in told)


def estimate_costs(args: argparse.Namespace) -> Answer:
    board = board_named(args.board)
    lanes = args.lanes or (None if board is ZCU104 else board.lanes)
    folder = Run.of(args.model).folder
    if folder.is_dir():
        params = Params.load(folder).with_solver(args.solver, args.n_steps)
        spec = with_lanes(params.spec, lanes)
        found = estimate(dataclasses.replace(params, spec=spec), Engine.of(spec.kernel, board))
        found = dataclasses.replace(found, board=board)
    else:
        found = of_spec(with_lanes(Spec.load(args.model).with_solver(args.solver, args.n_steps), lanes), board)
    rtl, others = rtl_resources(found.engine, board), engines(found.spec, board)
    if board is not ZCU104:
        return Costs(found, {"rtl": rtl}, None, others)
    plan = best_plan(found.spec)
    return Costs(found, {"rtl": rtl, "hls": plan.resources}, plan, others)


def _share_text(used: float, there: int) -> str:
    return f"{used:,.0f} ({used / there:.0%})" if there else f"{used:,.0f} of none"
