"""How a measurement reads its arguments and gives its result: as text, as JSON, or both."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from dsodenet.errors import DsodenetError, InputError
from dsodenet.files import write_json
from dsodenet.runs import check_output


class Parser(argparse.ArgumentParser):
    """Wrong words are bad input like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def json_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--json [OUT.json]`."""
    text = "write the result to a file; without OUT.json, print it as JSON, and nothing else"
    parser.add_argument("--json", nargs="?", type=Path, const=True, default=False, metavar="OUT.json", help=text)


def check_json(target: Path | bool) -> None:
    """InputError for a file that cannot be written, before there is work to lose."""
    if isinstance(target, Path):
        check_output(target, ".json")


def give(result: dict[str, Any], text: Callable[[dict[str, Any]], str], target: Path | bool) -> None:
    """Print the result, and write it where --json names a file."""
    if isinstance(target, Path):
        write_json(result, target)
    print(json.dumps(result, indent=2) if target is True else text(result))


def exit_status(name: str, work: Callable[[], int]) -> int:
    """What `work` returns; 2 and one line on standard error for what the user can put right."""
    try:
        return work()
    except DsodenetError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # of a reader that has seen enough, such as head
    return 2
