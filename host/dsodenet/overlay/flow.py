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
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.contract import ARGUMENTS, ZCU104, Kind
from dsodenet.errors import InputError, ToolError
from dsodenet.files import atomic_file, only_one
from dsodenet.hls import check_plan_fits, lowered_plan
from dsodenet.outside import read_text
from dsodenet.overlay.project import KERNEL_SCRIPTS, digest, kernel_kind, write_inputs
from dsodenet.overlay.reports import hls_offsets, read_reports
from dsodenet.overlay.tools import Tools, find_tools, run_tool
from dsodenet.runs import Run
from dsodenet.runtime import publish
from dsodenet.spec import Params

JOBS = 4
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
    jobs: int = JOBS,
    timeout_s: float = STEP_TIMEOUT_S,
    inputs_only: bool = False,
    force: bool = False,
    cosim: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Build the overlay of a run; returns OUT/<name>.bit, beside which .hwh and .json lie.

    kernel: hls or rtl; hls needs `dsodenet lower` first. out: by default the run folder. timeout_s bounds each step.
    inputs_only: write what the tools read, for a machine without the tools, and return its folder.
    cosim: simulate the Verilog that Vitis HLS makes with one image and two solver steps before it is packaged.

    The build takes place in RUN/overlay. A model of the zoo is read only, so its build takes place in OUT/overlay, and
    so do inputs where OUT is given. ToolError before any work when a tool is missing, and when a step fails; the files
    of an earlier build stay. RunError when the run is not lowered, or another build is running in the folder. SpecError
    for an hls kernel that is estimated not to fit the device, unless forced.
    """
    run, kind = Path(run), kernel_kind(kernel)
    if cosim and kind is not Kind.HLS:
        raise InputError(f"kernel is {kernel!r}, but only the hls kernel has a co-simulation")
    if kind is Kind.HLS and not force:
        check_plan_fits(lowered_plan(run))
    tools = None if inputs_only else find_tools(kind)
    params = Params.load(run)
    place = out if out is not None and (inputs_only or Run(run).zoo_name is not None) else run
    folder = (Run(Path(place)).overlay / kernel).resolve()
    if odd := sorted(set(re.findall(r"[^\w./+-]", str(folder), re.ASCII))):
        raise InputError(
            f"{folder}: has {' '.join(map(repr, odd))} in its path, but the tools take letters, digits, and ._+-"
        )
    with only_one(folder, "build"):
        progress("inputs")
        write_inputs(run, params, kind, folder / "inputs", cosim)
        if tools is None:
            return folder / "inputs"
        seconds = {}
        previous = tools.vivado_release
        for step in _steps(kind, tools, folder, jobs):
            previous = _step_digest(previous, step, folder)
            seconds[step.name] = _do(step, previous, folder, timeout_s, progress)
        facts: dict[str, Any] = {
            "vivado": tools.vivado_release,
            "part": ZCU104.part,
            "board": ZCU104.board_part,
            "clock_asked_mhz": params.spec.kernel.clock_mhz,
            "seconds": seconds,
        } | read_reports(folder / "reports")
        artefacts = folder / "artefacts"
        return publish(params, kernel, artefacts / "overlay.bit", artefacts / "overlay.hwh", facts, Path(out or run))


def _steps(kind: Kind, tools: Tools, folder: Path, jobs: int) -> tuple[Step, ...]:
    scripts = folder / "inputs" / "scripts"
    script = KERNEL_SCRIPTS[kind]
    kernel = tools.hls_command(scripts / script) if kind is Kind.HLS else tools.vivado_command(scripts / script)

    def check() -> None:
        _check_offsets(folder / "kernel" / "ip")

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
            ("artefacts/overlay.bit", "artefacts/overlay.hwh", "reports/implement_timing.txt"),
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
