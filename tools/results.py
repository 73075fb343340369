"""Measure what the documents quote: each measurement's own text and JSON go to docs/results/NAME.txt and NAME.json.

The pages of the documents include these files. python -m tools.results host reference     (default: all, hours)
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from dsodenet.command import Values
from dsodenet.errors import InputError, ToolError
from dsodenet.files import atomic_files
from dsodenet.runs import PREFIX, zoo_names
from tools import command_line

FOLDER = Path(__file__).parents[1] / "docs" / "results"
TIMEOUT_S = 12 * 3600
DSODENET = ("-m", "dsodenet")
# --json comes last; a search that was left in its folder goes on, and one that has ended is only read
SEARCH = (
    "explore xs --limit DSP=0.6 --limit macs=700000 --trials 48 --epochs 25 --qat-epochs 7 --final --final-seeds 5 "
    "--out build/front"
)
MEASUREMENTS: dict[str, tuple[str, ...]] = {
    "demo": (*DSODENET, "demo"),
    "host": (*DSODENET, "study", "host"),
    "reference": (*DSODENET, "study", "reference"),
    "gradients": (*DSODENET, "study", "gradients"),
    "models": (*DSODENET, "study", "models"),
    "training": (*DSODENET, "study", "training"),
    "recipes": (*DSODENET, "study", "recipes"),
    "adapting": (*DSODENET, "study", "adapting", "zoo:digits-xs", "--target", "digits-rotated"),
    "cycles": ("-m", "tools.rtl.measure", "s", "m", "l"),
    "resources": ("-m", "tools.rtl.synth"),
    "front": (*DSODENET, *shlex.split(SEARCH)),
    "notebooks": ("-m", "tools.notebooks", "--keep"),
    "bench-l": (*DSODENET, "bench", "l"),
    **{f"bench-{name}": (*DSODENET, "bench", PREFIX + name) for name in zoo_names()},
}


def measure(name: str) -> str:
    """Run a measurement and keep what it printed and its JSON, both or none; ToolError where it fails."""
    with atomic_files(FOLDER / f"{name}.txt", FOLDER / f"{name}.json") as (text, data):
        command = [sys.executable, *MEASUREMENTS[name], "--json", str(data)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False)
        if ended.returncode:
            raise ToolError(f"{name}: {' '.join(command[1:])} ended with status {ended.returncode}")
        text.write_text(ended.stdout.strip() + "\n", encoding="utf-8")
    return " ".join(MEASUREMENTS[name])


def work(args: argparse.Namespace) -> Values:
    if unknown := [name for name in args.names if name not in MEASUREMENTS]:
        raise InputError(f"result is {unknown[0]!r}, but it must be some of {', '.join(MEASUREMENTS)}")
    done = {}
    for name in args.names or MEASUREMENTS:
        print(f"{name}: {' '.join(MEASUREMENTS[name])}", file=sys.stderr, flush=True)
        done[name] = measure(name)
    return Values(done)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.results", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(MEASUREMENTS)}")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
