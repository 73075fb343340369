"""Lint the engine with Verilator (-Wall) and with slang (all warnings but HABITS), as a small and as the full builds.

python -m tools.rtl.lint --lanes 1x4x8 4x16x64@2
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dsodenet.cli import checked_lanes
from dsodenet.command import Values
from dsodenet.errors import ToolError
from dsodenet.files import how_to_install
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from dsodenet.spec.lanes import with_lanes
from dsodenet.spec.specification import Spec
from dsodenet.text import table
from tools import command_line

# What the sources do on purpose: signed and packed values meet plain ones at their own width, `unused` collects what
# Verilator would call unused, packages hold the whole contract, and casts give the width for every set of parameters.
HABITS = (
    *("sign-conversion", "packed-array-conv", "arith-op-mismatch", "bitwise-op-mismatch", "useless-cast"),
    *("case-enum-explicit", "unused-but-set-variable", "unused-package-parameter"),
)
TIMEOUT_S = 300


def by_verilator(sources: list[Path], parameters: dict[str, int]) -> bool:
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    command = [
        rtl.verilator(),
        "--lint-only",
        "--quiet",
        "-Wall",
        "--top-module",
        rtl.ENGINE_TOP,
        *values,
        str(rtl.engine_folder() / "sim" / "lint.vlt"),
    ]
    return (
        subprocess.run([*command, *map(str, sources)], env=rtl.environment(), timeout=TIMEOUT_S, check=False).returncode
        == 0
    )


def by_slang(sources: list[Path], parameters: dict[str, int]) -> bool:
    try:
        from pyslang import driver as slang
    except ImportError as error:
        raise ToolError(f"pyslang is not installed ({error}); {how_to_install('rtl')} brings it") from None
    driver = slang.Driver()
    driver.addStandardArgs()
    values = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    warnings = " ".join(["-Weverything", "-Werror", *(f"-Wno-{name}" for name in HABITS)])
    files = " ".join(map(str, sources))
    options = slang.CommandLineOptions()
    ready = (
        driver.parseCommandLine(f"slang --top {rtl.ENGINE_TOP} {values} {warnings} {files}", options)
        and driver.processOptions()
    )
    return bool(ready and driver.parseAllSources() and driver.runFullCompilation(True))


def work(args: argparse.Namespace) -> Values:
    rows = []
    with tempfile.TemporaryDirectory(prefix="dsodenet-lint-") as folder:
        sources = [*rtl.generated_sources(Path(folder)), *rtl.engine_sources()]
        for lanes in args.lanes:
            parameters = rtl.engine_parameters(Engine.of(with_lanes(Spec.named("l"), lanes, "rtl").kernel))
            rows += [
                {"lanes": lanes, "tool": name, "clean": lint(sources, parameters)}
                for name, lint in (("verilator", by_verilator), ("slang", by_slang))
            ]
    return Values({"rows": rows, "ok": all(row["clean"] for row in rows)}, text)


def text(result: dict[str, Any]) -> str:
    rows = [(row["lanes"], row["tool"], "clean" if row["clean"] else "WARNINGS") for row in result["rows"]]
    return table(("lanes", "tool", "result"), rows)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.lint", __doc__)
    parser.add_argument("--lanes", nargs="+", type=checked_lanes, default=["1x4x8", "1x32x64", "3x16x64", "4x16x64@2"])
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
