"""Figures in the documentation: measured once, kept as records, rendered into marked blocks, and held against the code by a test.

A block of a Markdown file lies between `<!-- figures: NAME -->` and `<!-- end -->`. `python -m dsodenet.bench.docs` renders all blocks
from the records; `--measure demo cycles` runs those commands first and replaces their records (minutes; on a quiet machine).
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsodenet.commands import show_rungs
from dsodenet.errors import DsodenetError, InputError, ToolError
from dsodenet.files import atomic_file, write_json

ROOT = Path(__file__).resolve().parents[3]  # of the checkout: an installed package has no documentation
RECORDS = Path(__file__).resolve().parent / "records"
TIMEOUT_S = 3 * 3600.0
MARK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

COMMANDS = {  # record -> the command that prints it as JSON, in the checkout
    "demo": "python -m dsodenet.demo --out build/demo --json -",
    "reference": "python -m dsodenet.bench.reference --spec l --json",
    "cycles": "python overlays/rtl/measure.py s m l --json",
    "resources": "python overlays/rtl/synth.py --json -",
    "bench": "dsodenet bench zoo:digits-xs --json",
}


def record(name: str) -> Any:
    """The record of a command; ToolError when it was never measured."""
    path = RECORDS / f"{name}.json"
    if not path.is_file():
        raise ToolError(f"{path.name} was not measured yet; run: python -m dsodenet.bench.docs --measure {name}")
    return json.loads(path.read_text(encoding="utf-8"))


def measure(name: str) -> None:
    """Run the command of a record and keep what it prints."""
    words = shlex.split(COMMANDS[name])
    words = [sys.executable, *words[1:]] if words[0] == "python" else [sys.executable, "-m", "dsodenet.cli", *words[1:]]
    result = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
    if result.returncode:
        raise ToolError(f"{COMMANDS[name]} ended with status {result.returncode}")
    write_json(json.loads(result.stdout), RECORDS / f"{name}.json")


def ladder() -> str:
    return f"```\n{show_rungs(record('demo'))}\n```"


def headline() -> str:
    """The table that opens the README."""
    demo, reference = record("demo"), record("reference")
    cycles = {(row["size"], row["solver"], row["lanes"]): row for row in record("cycles")["rows"]}
    one, three = cycles["l", "euler", "1x32x64"], cycles["l", "euler", "3x16x64"]
    compared, accuracy = demo["parameters_compared"], demo["accuracy"]
    best = min(reference["reference"], key=lambda row: row["ms_per_image"])
    rows = [
        (
            f"accuracy on the {demo['test_images']} test digits: {', '.join(accuracy)} (measured)",
            ", ".join(f"{100 * value:.2f} %" for value in accuracy.values()),
            "make demo",
        ),
        (
            "parameters of ODE blocks and downs against full convolutions, against an unshared residual network (counted)",
            ", ".join(f"−{100 * (1 - compared['dsodenet'] / compared[name]):.1f} %" for name in ("full", "residual")),
            "make demo",
        ),
        (
            "size `l` (64/128/256 channels, 32×32, Euler N=10, 278 MMAC) on the rtl engine of 1 × 32 × 64 lanes (simulated cycles)",
            f"{one['cycles']:,}",
            "make cycles",
        ),
        (
            f"the same on 3 × 16 × 64 lanes (simulated cycles; {three['cycles'] / three['assumed_clock_mhz']:,.0f} µs at an assumed "
            f"{three['assumed_clock_mhz']:g} MHz)",
            f"{three['cycles']:,}",
            "make cycles",
        ),
        ("of the 3,456 MAC/cycle that 1,728 DSPs allow, at 3 × 16 × 64 lanes", f"{three['share_of_device']:.0%}", "make cycles"),
        (
            f"the integer reference on `l`, {best['threads']} threads, batch {reference['batch']} (measured on {reference['cpu']})",
            f"{best['ms_per_image']:.1f} ms/image, {best['gmac_per_s']:.0f} GMAC/s, {best['of_sgemm']:.2f} of sgemm",
            "make bench",
        ),
    ]
    return markdown(("figure", "value", "command"), [(what, value, f"`{command}`") for what, value, command in rows])


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("| --- |", "|---|").replace(" --- |", "---|") for cells in lines)


BLOCKS: dict[str, Callable[[], str]] = {"ladder": ladder, "headline": headline}
FILES = ("README.md", "overlays/rtl/README.md")


def rendered(text: str) -> str:
    """A document with every block as the records say."""

    def block(match: re.Match[str]) -> str:
        if match[2] not in BLOCKS:
            raise InputError(f"a block is named {match[2]!r}, but it must be one of {', '.join(BLOCKS)}")
        return f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}"

    return MARK.sub(block, text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dsodenet.bench.docs", description=__doc__)
    parser.add_argument(
        "--measure", nargs="+", default=[], choices=list(COMMANDS), metavar="NAME", help=f"of {', '.join(COMMANDS)}"
    )
    args = parser.parse_args(arguments)
    try:
        for name in args.measure:
            measure(name)
        for file in FILES:
            path = ROOT / file
            text = rendered(path.read_text(encoding="utf-8"))
            with atomic_file(path) as beside:
                beside.write_text(text, encoding="utf-8")
    except DsodenetError as error:
        print(f"docs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
