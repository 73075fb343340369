"""Fuzz every reader of files from outside: damaged files must end in the package's own errors, quickly, or be read.

Each format starts from good files that are made here and from the kept corpus, tests/corpus/FORMAT, which holds what
was once read wrongly. What is unexpected goes there too, so that the tests see it from then on.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from dsodenet.command import Values
from dsodenet.errors import DsodenetError, InputError
from dsodenet.text import progress_bar, table
from tools import command_line
from tools.damage import Files, damaged
from tools.fuzz_formats import FORMATS

CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
SLOW_S = 5.0  # of processor time for one small file: more is a finding
MAX_MESSAGE = 3000  # characters of an error


def kept(name: str) -> list[Files]:
    """The corpus of a format: a folder for each input."""
    inputs = sorted((CORPUS / name).iterdir()) if (CORPUS / name).is_dir() else []
    return [{path.name: path.read_bytes() for path in sorted(folder.iterdir())} for folder in inputs]


def attempt(read: Callable[[Path], object], files: Files, folder: Path) -> str:
    """Empty when the reader does what it should with an input, else what it did."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(folder)
    except DsodenetError as error:
        text = str(error)
        if any(ord(character) < 32 and character not in "\n\t" for character in text):
            return f"an unprintable message: {text[:100]!r}"
        if len(text) > MAX_MESSAGE:
            return f"a message of {len(text)} characters"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
    if (seconds := time.process_time() - start) > SLOW_S:
        return f"{seconds:.1f} s of processor time"
    return ""


def fuzz(name: str, seconds: float, seed: int, folder: Path, most: int = 1 << 60) -> tuple[int, dict[str, Files]]:
    """(inputs tried, at most `most`; what was unexpected -> an input that does it) of a format."""
    rng, known = random.Random(f"{seed} {name}"), [*FORMATS[name].good(), *kept(name)]
    tried, found = 0, {}
    for files in known:
        if wrong := attempt(FORMATS[name].read, files, folder):
            found[wrong] = files
    end = time.monotonic() + seconds
    while tried < most and time.monotonic() < end:
        files = damaged(rng.choice(known), rng)
        if rng.random() < 0.2:
            files = damaged(files, rng)
        tried += 1
        if wrong := attempt(FORMATS[name].read, files, folder):
            found.setdefault(wrong, files)
    return tried, found


def work(args: argparse.Namespace) -> Values:
    if unknown := [name for name in args.formats if name not in FORMATS]:
        raise InputError(f"format is {unknown[0]!r}, but it must be some of {', '.join(FORMATS)}")
    if args.minutes <= 0:
        raise InputError(f"minutes is {args.minutes}, but it must be more than 0")
    formats, rows = args.formats or list(FORMATS), []
    with (
        tempfile.TemporaryDirectory(prefix="dsodenet-fuzz-") as place,
        progress_bar("fuzz", len(formats), args.quiet) as step,
    ):
        for name in formats:
            step(name)
            tried, found = fuzz(name, 60 * args.minutes / len(formats), args.seed, Path(place) / "x")
            for files in found.values():
                digest = sha256(b"".join(files[key] for key in sorted(files))).hexdigest()[:8]
                target = CORPUS / name / digest
                target.mkdir(parents=True, exist_ok=True)
                for key, data in files.items():
                    (target / key).write_bytes(data)
            rows.append({"format": name, "inputs": tried, "unexpected": len(found), "findings": sorted(found)})
    return Values({"seed": args.seed, "rows": rows, "ok": not any(row["unexpected"] for row in rows)}, text)


def text(result: dict[str, Any]) -> str:
    rows = [(row["format"], row["inputs"], row["unexpected"]) for row in result["rows"]]
    rows.append(("all", *(sum(row[key] for row in result["rows"]) for key in ("inputs", "unexpected"))))
    findings = [f"{row['format']}: {finding}" for row in result["rows"] for finding in row["findings"]]
    return "\n".join([table(("format", "inputs", "unexpected"), rows), *findings])


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.fuzz", __doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"some of {', '.join(FORMATS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=5.0, metavar="N", help="all together (default 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the damage (default 0)")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
