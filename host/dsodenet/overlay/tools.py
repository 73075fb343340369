"""Finding and running the vendor's tools: versions checked, times bounded, logs kept."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dsodenet.contract import Kind
from dsodenet.errors import ToolError
from dsodenet.overlay.project import FIRST_RELEASE, RELEASES

VERSION_TIMEOUT_S = 120
KILL_AFTER_S = 10
ERROR_LINES = 3


@dataclass(frozen=True)
class Tools:
    """The commands that start the vendor's tools."""

    vivado: str
    vivado_release: str
    hls: tuple[str, ...]  # the command that takes an HLS script; empty when the kernel needs none

    def vivado_command(self, script: Path, *arguments: str) -> list[str]:
        """Run a Tcl script in Vivado without journal and log files."""
        command = [self.vivado, "-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", str(script)]
        return [*command, "-tclargs", *arguments] if arguments else command

    def hls_command(self, script: Path) -> list[str]:
        """Run a Tcl script in Vitis HLS."""
        return [*self.hls, str(script)]


def find_tools(kind: Kind) -> Tools:
    """The tools that this kernel needs, on the PATH; ToolError names every one that is missing."""
    vivado = shutil.which("vivado")
    missing = [] if vivado else ["vivado"]
    hls: tuple[str, ...] = ()
    if kind is Kind.HLS:
        if runner := shutil.which("vitis-run"):
            hls = (runner, "--mode", "hls", "--tcl")
        elif older := shutil.which("vitis_hls"):
            hls = (older, "-f")
        else:
            missing.append("vitis-run (or the older vitis_hls)")
    if vivado is None or missing:
        raise ToolError(
            f"an overlay with the {kind.name.lower()} kernel needs {' and '.join(missing)} on the PATH; "
            f"source settings64.sh of Vivado and Vitis {' or '.join(RELEASES)}"
        )
    return Tools(vivado, _vivado_release(vivado), hls)


def _vivado_release(vivado: str) -> str:
    try:
        output = subprocess.run([vivado, "-version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{vivado} -version does not answer ({error})") from None
    match = re.search(r"vivado v(\d+\.\d+)", output, re.IGNORECASE)
    if match is None or _release(match[1]) < _release(FIRST_RELEASE):
        found = match[1] if match else repr(output[:80])
        raise ToolError(f"{vivado} is version {found}, but the scripts need {FIRST_RELEASE} or later")
    return match[1]


def _release(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def run_tool(command: list[str], folder: Path, log: Path, timeout_s: float) -> None:
    """Run one tool in `folder` with its output in `log`; ToolError, with its own error lines, when it fails.

    The tool, and what it started, is ended when the time is over or the user interrupts.
    """
    with open(log, "wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"{command[0]} cannot be started ({error})") from None
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            raise ToolError(f"{Path(command[0]).name} did not finish in {timeout_s:g} s; its log is {log}") from None
        except BaseException:
            _end(process)
            raise
    if status:
        raise ToolError(f"{Path(command[0]).name} failed with status {status}: {_errors(log)}; its log is {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _errors(log: Path) -> str:
    """What the tool says is wrong: its first error lines, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return " / ".join(errors[:ERROR_LINES] or lines[-1:]) or "it says nothing"
