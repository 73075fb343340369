"""Fake vendor tools for tests.

Programs named vivado, vitis-run and vitis_hls run the overlay scripts under tclsh.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAMS = {
    "vivado": '[ "$1" = -version ] && { echo "vivado v$RECORD_VIVADO (64-bit)"; exit 0; }\n'
    'while [ "$1" != -source ]; do shift; done; shift; script=$1; shift; [ "$1" = -tclargs ] && shift\n'
    'RECORD_TOOL=vivado exec tclsh "$RECORD_HOME/launch.tcl" "$script" "$@"\n',
    "vitis-run": '[ "$1 $2 $3" = "--mode hls --tcl" ] || exit 9\n'
    'RECORD_TOOL=hls exec tclsh "$RECORD_HOME/launch.tcl" "$4"\n',
    "vitis_hls": '[ "$1" = -f ] || exit 9\nRECORD_TOOL=hls exec tclsh "$RECORD_HOME/launch.tcl" "$2"\n',
}
# Vivado gives a script its own arguments as argv; the recorder takes the script's path from the front first.
LAUNCH = "set script [lindex $argv 0]\nset argv [lrange $argv 1 end]\nsource {%s}\n"


@dataclass
class Recorder:
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def install(self, *names: str) -> None:
        """Put only these tools on the PATH."""
        for name in names:
            program = self.folder / "bin" / name
            program.write_text(f"#!/bin/sh\n{PROGRAMS[name]}")
            program.chmod(0o755)

    def faults(self, *names: str) -> None:
        self.monkeypatch.setenv("RECORD_FAULTS", " ".join(names))

    @property
    def events(self) -> list[list[str]]:
        path = self.folder / "record"
        return [line.split("\t") for line in path.read_text().splitlines()] if path.exists() else []

    def of(self, kind: str) -> list[list[str]]:
        return [words for name, *words in self.events if name == kind]

    def forget(self) -> None:
        (self.folder / "record").unlink(missing_ok=True)


def make(folder: Path, bit: Path, monkeypatch: pytest.MonkeyPatch, release: str = "2024.1") -> Recorder:
    """A recorder whose write_bitstream yields `bit`; the test is skipped without tclsh."""
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("no tclsh")
    (folder / "bin").mkdir(parents=True)
    for name in ("tclsh", "sh", "sleep"):
        os.symlink(shutil.which(name) or "", folder / "bin" / name)
    (folder / "launch.tcl").write_text(LAUNCH % (HERE / "vivado_recorder.tcl"))
    for key, value in {
        "PATH": str(folder / "bin"),
        "RECORD": str(folder / "record"),
        "RECORD_HOME": str(folder),
        "RECORD_BIT": str(bit),
        "RECORD_VIVADO": release,
        "RECORD_FAULTS": "",
    }.items():
        monkeypatch.setenv(key, value)
    return Recorder(folder, monkeypatch)
