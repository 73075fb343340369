"""Kill commands at random moments: what they leave is whole or refused, and running them again ends as if nothing was.

Each trial starts a command in a copy of a prepared folder, sends SIGKILL or SIGTERM after a random share of the time
that it takes, reads what is there, and runs the command again. A fault is a traceback, a wrong exit status, a file that
differs from an undisturbed run's, or one that is left over.

python -m tools.kills --kills 100    (half an hour; the default takes minutes)
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.command import Values
from dsodenet.errors import InputError, ToolError
from dsodenet.spec import Spec
from dsodenet.text import progress_bar, table
from tools import command_line

LIMIT_S = 300.0  # of one command
VARYING = ("tensorboard", "/logs/", "/specs/")  # names that depend on the time, or on which trial of a search was cut
CHANGING = ("metrics.json", "adapted.json")  # hold times
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}


@dataclass(frozen=True)
class Case:
    """A command that writes, those that it stands on, and one that reads what it wrote."""

    before: tuple[str, ...]
    command: str
    again: str = ""  # added to the command when it is run once more
    reads: str | None = None
    compared: bool = True  # its files are the same in every undisturbed run


TRAIN = "train --spec tiny.json --out work --epochs 1 --qat-epochs 1"
CASES = {
    "train": Case((), TRAIN, " --resume", "evaluate work"),
    "export": Case((TRAIN,), "export work", "", "run work --input x.npy"),
    "lower": Case((TRAIN, "export work"), "lower work", "", "verify work --images 2 --backends csim"),
    "explore": Case(
        (), "explore xs --trials 3 --epochs 1 --qat-epochs 1 --out work --seed 1 --workers 1", "", None, False
    ),
    "overlay": Case((TRAIN, "export work"), "overlay work --kernel rtl --inputs-only --out build", ""),
    "adapt": Case(
        (), "adapt zoo:digits-xs --images digits-rotated --method t3a --out work", "", "run work --input x.npy"
    ),
}


def dsodenet(words: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dsodenet", *words.split(), "--quiet"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(words: str, folder: Path) -> tuple[int, str]:
    """Exit status and standard error of a command that nobody disturbs."""
    process = dsodenet(words, folder)
    try:
        return process.wait(LIMIT_S), process.stderr.read() if process.stderr else ""
    except subprocess.TimeoutExpired:
        process.kill()
        return -1, f"no end in {LIMIT_S:g} s"


def prepared(case: Case, folder: Path) -> None:
    """The folder in which the command starts. InputError of the command itself is a fault of this tool."""
    import numpy as np

    folder.mkdir()
    xs = Spec.named("xs")
    network = dataclasses.replace(xs.network, channels=(4,), height=8, width=8)
    spec = dataclasses.replace(xs, name="tiny", network=network, solver=dataclasses.replace(xs.solver, n_steps=(2,)))
    (folder / "tiny.json").write_text(spec.to_json(), encoding="utf-8")
    side = 16 if "digits-xs" in case.command else 8
    np.save(folder / "x.npy", np.zeros((1, 1, side, side), np.uint8))
    for words in case.before:
        status, told = ended(words, folder)
        if status:
            raise ToolError(f"{words} ends with {status}: {told}")


def files(folder: Path, content: bool) -> dict[str, str]:
    """Every file below a folder, with a hash of what does not change from run to run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not any(part in name for part in VARYING):
            hashed = content and not name.endswith(CHANGING) and path.suffix in (".npz", ".json", ".h", ".cpp", ".tcl")
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if hashed else ""
    return found


def faults(case: Case, start: Path, whole: dict[str, str], at_s: float, how: int, folder: Path) -> list[str]:
    """What is wrong after a kill of one command."""
    shutil.copytree(start, folder)
    process = dsodenet(case.command, folder)
    time.sleep(at_s)
    process.send_signal(how)
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return [f"does not end within {LIMIT_S:g} s of the signal"]
    found = []
    told = process.stderr.read() if process.stderr else ""
    if "Traceback" in told:
        found.append(f"traceback after the signal: {told.strip().splitlines()[-1]}")
    if case.reads is not None:
        status, told = ended(case.reads, folder)
        if status not in (0, 2) or told.count("\n") > 1:
            found.append(f"`{case.reads}` ends with {status}: {told.strip()[-300:]}")
    status, told = ended(case.command + case.again, folder)
    if status:  # a training that had ended, or an output that was whole, is refused in words
        refused = status == 2 and told.count("\n") == 1
        if not refused or not set(whole) <= set(files(folder, False)):
            found.append(f"once more, it ends with {status}: {told.strip()[-300:]}")
    now = files(folder, case.compared)
    found += [f"left over: {name}" for name in sorted(set(now) - set(whole))]
    found += [f"missing: {name}" for name in sorted(set(whole) - set(now))]
    found += [f"differs: {name}" for name in sorted(set(whole) & set(now)) if now[name] != whole[name]]
    return found


def work(args: argparse.Namespace) -> Values:
    chosen = args.commands or list(CASES)
    if unknown := [name for name in chosen if name not in CASES]:
        raise InputError(f"command is {unknown[0]!r}, but it must be some of {', '.join(CASES)}")
    if args.kills < 1:
        raise InputError(f"kills is {args.kills}, but it must be 1 or more")
    rng, rows = random.Random(args.seed), []
    with (
        tempfile.TemporaryDirectory(prefix="dsodenet-kills-") as name,
        progress_bar("kills", args.kills * len(chosen), args.quiet) as step,
    ):
        for command in chosen:
            case, start, end = CASES[command], Path(name) / f"{command}-start", Path(name) / f"{command}-whole"
            prepared(case, start)
            shutil.copytree(start, end)
            began = time.monotonic()
            status, told = ended(case.command, end)
            took, whole = time.monotonic() - began, files(end, case.compared)
            if status:
                raise ToolError(f"{case.command} ends with {status}: {told}")
            found: list[str] = []
            for number in range(args.kills):
                how = rng.choice(list(SIGNALS))
                at_s = rng.uniform(0, 1.05) * took
                folder = Path(name) / f"{command}-{number}"
                wrong = faults(case, start, whole, at_s, SIGNALS[how], folder)
                found += [f"{how} after {at_s:.2f} s of {took:.2f} s: {text}" for text in wrong]
                shutil.rmtree(folder)
                step(command)
            rows.append({"command": command, "kills": args.kills, "takes_s": took, "faults": found})
    return Values({"seed": args.seed, "rows": rows, "ok": not any(row["faults"] for row in rows)}, text)


def text(result: dict[str, Any]) -> str:
    rows = [(row["command"], row["kills"], f"{row['takes_s']:.1f}", len(row["faults"])) for row in result["rows"]]
    told = [f"{row['command']}: {fault}" for row in result["rows"] for fault in row["faults"]]
    return "\n".join([table(("command", "kills", "s undisturbed", "faults"), rows), *told])


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.kills", __doc__)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"some of {', '.join(CASES)} (default: all)")
    parser.add_argument("--kills", type=int, default=5, metavar="N", help="of each command (default 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default 0)")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
