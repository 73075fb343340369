"""Run folder -> <name>.bit, .hwh and .json, step by step.

A step whose inputs have not changed is not run again.

BUILD/inputs     what the tools read (see project.py)          BUILD/logs     one log per attempt of a step
BUILD/kernel     the kernel as an IP                           BUILD/reports  Vivado's reports
BUILD/vivado     the project                                   BUILD/steps    the steps that are done, and their inputs
BUILD/artefacts  bitstream and hand-off file, only where the design meets timing
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsodenet.contract import ARGUMENTS, ZCU104, Board, Kind
from dsodenet.errors import InputError, ToolError
from dsodenet.files import atomic_file, only_one
from dsodenet.hls import check_plan_fits, lowered_plan
from dsodenet.outside import read_text
from dsodenet.overlay.handoff import check_build, with_clock
from dsodenet.overlay.project import KERNEL_SCRIPTS, RELEASES, Order, digest, kernel_kind, write_inputs
from dsodenet.overlay.reports import hls_offsets, pairs, read_reports
from dsodenet.overlay.tools import Tools, find_tools, run_tool
from dsodenet.runs import Run
from dsodenet.runtime import publish
from dsodenet.spec import Params, with_lanes

JOBS, MAX_JOBS = 4, 99
STEP_TIMEOUT_S = 12 * 3600.0


@dataclass(frozen=True)
class Step:
    """One call of a tool."""

    name: str
    script: str  # its file name
    command: list[str]
    outputs: tuple[str, ...]  # files that show that it is done
    check: Callable[[], None] = lambda: None  # raises where what it wrote is wrong


def build(
    run: str | Path,
    kernel: str,
    out: str | Path | None = None,
    *,
    board: Board = ZCU104,
    clock: float | str | None = None,
    strategy: str = "standard",
    debug: bool = False,
    lanes: str | None = None,
    jobs: int = JOBS,
    timeout_s: float = STEP_TIMEOUT_S,
    inputs_only: bool = False,
    force: bool = False,
    cosim: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Build the overlay of a run; returns OUT/<name>.bit, beside which .hwh and .json lie.

    kernel: hls or rtl; hls needs `dsodenet lower` first. out: by default the run folder. timeout_s bounds each step.
    clock: the fastest clock in MHz that is wanted, by default what the spec says; or "auto": the spec's, and where it
    is missed the fastest clock of the board that this build meets. strategy: one of STRATEGIES. lanes: of the rtl
    kernel instead of the spec's, such as "3x16x64"; what is published has them too.
    inputs_only: write a folder that stands alone, for a machine with the tools, and return it.
    cosim: simulate the Verilog that Vitis HLS makes with one image and two solver steps before it is packaged.

    The build takes place in RUN/overlay. A model of the zoo is read only, so its build takes place in OUT/overlay, and
    so do inputs where OUT is given. ToolError before any work when a tool is missing, and when a step fails; the files
    of an earlier build stay. RunError when the run is not lowered, or another build is running in the folder. SpecError
    for an hls kernel that is estimated not to fit the device, unless forced.
    """
    run, order = Path(run), _order(kernel, board, clock, strategy, debug, cosim)
    if not 1 <= jobs <= MAX_JOBS:
        raise InputError(f"jobs is {jobs}, but it must be 1 to {MAX_JOBS}")
    if order.kind is Kind.HLS and not force:
        check_plan_fits(lowered_plan(run))
    params = _loaded(run, order.kind, lanes)
    tools = None if inputs_only else find_tools(order.kind)
    place = out if out is not None and (inputs_only or Run(run).zoo_name is not None) else run
    folder = build_folder(Path(place), kernel)
    with only_one(folder, "build"):
        progress("inputs")
        write_inputs(run, params, order, folder)
        if tools is None:
            return folder
        if tools.vivado_release not in RELEASES:
            progress(f"warning: Vivado is {tools.vivado_release}; the scripts are made for {' and '.join(RELEASES)}")
        seconds = _run_steps(_steps(order.kind, tools, folder, jobs), tools, folder, timeout_s, progress)
        return _publish(folder, params, kernel, Path(out or run), None, order.auto, seconds)


def publish_from(
    folder: str | Path,
    run: str | Path,
    kernel: str,
    out: str | Path | None = None,
    *,
    clock: float | str | None = None,
    lanes: str | None = None,
) -> Path:
    """Publish what Vivado left in a folder that `build(..., inputs_only=True)` wrote; returns OUT/<name>.bit.

    clock: publish with the board's next clock below it; or "auto": the fastest that the build meets. lanes: those of
    the build, where the run has others. RunError or ToolError names what does not fit: timing, part, kernel, model,
    bitstream, edited files. Needs no vendor tool.
    """
    kind, folder, run = kernel_kind(kernel), Path(folder), Path(run)
    at_most, auto = _clock(clock)
    return _publish(folder, _loaded(run, kind, lanes), kernel, Path(out or run), at_most, auto, {})


def first_clock(
    run: str | Path,
    out: str | Path | None = None,
    *,
    board: Board = ZCU104,
    clock: float | str | None = None,
    lanes: str | None = None,
    timeout_s: float = STEP_TIMEOUT_S,
    progress: Callable[[str], None] = lambda step: None,
) -> dict[str, float]:
    """The engine alone through Vivado, out of context: setup slack and the clock that it would allow, in minutes."""
    run, order = Path(run), _order("rtl", board, clock, "standard", False, False)
    params = _loaded(run, order.kind, lanes)
    tools = find_tools(order.kind)
    folder = build_folder(Path(out or run), "rtl")
    with only_one(folder, "build"):
        write_inputs(run, params, order, folder)
        log = _new_log(folder / "logs", "ooc")
        progress(f"ooc: log {log}")
        run_tool(tools.vivado_command(folder / "inputs" / "scripts" / "ooc.tcl"), folder, log, timeout_s)
        found = {name: float(value) for name, value in pairs(folder / "ooc" / "timing.txt").items()}
    return found | {"fastest_mhz": 1e3 / (found["period_ns"] - found["wns"])}


def _loaded(run: Path, kind: Kind, lanes: str | None) -> Params:
    params = Params.load(run)
    if lanes is None:
        return params
    if kind is not Kind.RTL:
        raise InputError(f"lanes are {lanes!r}, but only the rtl kernel has lanes; the hls kernel is as it was lowered")
    return replace(params, spec=with_lanes(params.spec, lanes))


def build_folder(place: Path, kernel: str) -> Path:
    """Where the tools work; InputError for a path that they do not take."""
    folder = (Run(place).overlay / kernel).resolve()
    if odd := sorted(set(re.findall(r"[^\w./+-]", str(folder), re.ASCII))):
        raise InputError(
            f"{folder}: has {' '.join(map(repr, odd))} in its path, but the tools take letters, digits, and ._+-"
        )
    return folder


def _clock(clock: float | str | None) -> tuple[float | None, bool]:
    """(at most so many MHz, whether a slower one may be taken)."""
    if clock is None or clock == "auto":
        return None, clock == "auto"
    if isinstance(clock, str) or not 10 <= clock <= 600:
        raise InputError(f"clock is {clock!r}, but it must be 10 to 600 MHz, or auto")
    return float(clock), False


def _order(kernel: str, board: Board, clock: float | str | None, strategy: str, debug: bool, cosim: bool) -> Order:
    at_most, auto = _clock(clock)
    return Order(kernel_kind(kernel), board, at_most, auto, strategy, debug, cosim)


def _run_steps(
    steps: tuple[Step, ...], tools: Tools, folder: Path, timeout_s: float, progress: Callable[[str], None]
) -> dict[str, float]:
    seconds, previous = {}, tools.vivado_release
    for step in steps:
        previous = _step_digest(previous, step, folder)
        seconds[step.name] = _do(step, previous, folder, timeout_s, progress)
    return seconds


def _publish(
    folder: Path, params: Params, kernel: str, out: Path, at_most: float | None, auto: bool, seconds: dict[str, float]
) -> Path:
    """The checked build of `folder` as the files of an overlay in `out`."""
    built = check_build(folder, params, kernel, at_most, auto)
    if kernel == "hls":
        _check_offsets(folder / "reports")
    made = pairs(folder / "reports" / "implement_built.txt")
    facts: dict[str, Any] = {
        "vivado": made["vivado"],
        "part": built.board.part,
        "board": built.board.name,
        "board_part": pairs(folder / "reports" / "design.txt").get("board"),
        "clock_asked_mhz": built.about["clock_mhz"],
        "clock_built_mhz": built.timing.clock_mhz,
        "clock_mhz": built.clock_mhz,
        "timing": built.timing.to_dict(),
        "strategy": built.about["strategy"],
        "build_id": built.about["build_id"],
        "seconds": seconds,
    } | read_reports(folder / "reports")
    artefacts = folder / "artefacts"
    if built.clock is None:
        return publish(params, kernel, artefacts / "overlay.bit", artefacts / "overlay.hwh", facts, out)
    with tempfile.TemporaryDirectory(prefix="dsodenet-") as name:
        slower = Path(name) / "overlay.hwh"
        with_clock(artefacts / "overlay.hwh", built.clock, slower)
        return publish(params, kernel, artefacts / "overlay.bit", slower, facts, out)


def _steps(kind: Kind, tools: Tools, folder: Path, jobs: int) -> tuple[Step, ...]:
    scripts = folder / "inputs" / "scripts"
    script = KERNEL_SCRIPTS[kind]
    kernel = tools.hls_command(scripts / script) if kind is Kind.HLS else tools.vivado_command(scripts / script)

    def check() -> None:
        _check_offsets(folder / "reports")

    return (
        Step("kernel", script, kernel, ("kernel/ip/component.xml",), check if kind is Kind.HLS else lambda: None),
        Step(
            "design",
            "design.tcl",
            tools.vivado_command(scripts / "design.tcl"),
            ("vivado/project.xpr", "reports/design.txt"),
        ),
        Step(
            "implement",
            "implement.tcl",
            tools.vivado_command(scripts / "implement.tcl", str(jobs)),
            ("artefacts/overlay.bit", "artefacts/overlay.hwh", "reports/implement_built.txt"),
        ),
    )


def _step_digest(previous: str, step: Step, folder: Path) -> str:
    """What a step depends on: the step before it, its scripts, and the configuration.

    The first step depends on the sources too.
    """
    inputs = folder / "inputs"
    parts = [inputs / "config.tcl", inputs / "scripts" / "common.tcl", inputs / "scripts" / step.script]
    return digest(previous, *parts, *([inputs / "src"] if step.name == "kernel" else []))


def _do(step: Step, inputs: str, folder: Path, timeout_s: float, progress: Callable[[str], None]) -> float:
    """Run one step unless it is done; returns the seconds that it took, then or now."""
    stamp = folder / "steps" / f"{step.name}.json"
    done = json.loads(read_text(stamp)) if stamp.is_file() else {}
    if done.get("inputs") == inputs and all((folder / output).exists() for output in step.outputs):
        progress(f"{step.name}: done before")
        return float(done["seconds"])
    stamp.unlink(missing_ok=True)
    log = _new_log(folder / "logs", step.name)
    progress(f"{step.name}: {Path(step.command[0]).name}, log {log}")
    start = time.monotonic()
    run_tool(step.command, folder, log, timeout_s)
    seconds = round(time.monotonic() - start, 1)
    if missing := [output for output in step.outputs if not (folder / output).exists()]:
        raise ToolError(f"step {step.name} ended well, but did not write {', '.join(missing)}; its log is {log}")
    step.check()
    with atomic_file(stamp) as path:
        path.write_text(json.dumps({"inputs": inputs, "seconds": seconds}) + "\n", encoding="utf-8")
    return seconds


def _new_log(folder: Path, name: str) -> Path:
    """The path of a new log: every attempt has its own."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(log.stem.rpartition("_")[2]) for log in folder.glob(f"{name}_*.log")]
    return folder / f"{name}_{max(numbers, default=0) + 1}.log"


def _check_offsets(ip: Path) -> None:
    """The host writes arguments where contract/registers.py says; ToolError if Vitis HLS put one elsewhere."""
    found = hls_offsets(ip)
    for register in ARGUMENTS:
        if found.get(register.name) != register.offset:
            place = f"at {found[register.name]:#x}" if register.name in found else "nowhere"
            raise ToolError(f"Vitis HLS put {register.name} {place}, but the contract has it at {register.offset:#x}")
