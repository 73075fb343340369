"""What the tools share: one line for bad input, and --json with one meaning."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dsodenet.cli import Parser
from dsodenet.command import Answer, json_text
from dsodenet.errors import DsodenetError
from dsodenet.files import write_json
from dsodenet.runs import check_output


def parser(module: str, about: str | None) -> Parser:
    """A parser for `python -m MODULE`, with --json [FILE] as every command has it."""
    result = Parser(prog=f"python -m {module}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = "write the result to a file; without FILE, print it as JSON, and nothing else"
    result.add_argument("--json", nargs="?", type=Path, const=True, default=False, metavar="FILE", help=text)
    return result


def run(parser: Parser, work: Callable[[argparse.Namespace], Answer], arguments: list[str] | None = None) -> int:
    """Exit status: 0, 1 where the answer's `ok` is false, 2 with one line on standard error for bad input."""
    try:
        args = parser.parse_args(arguments)
        if isinstance(args.json, Path):
            check_output(args.json, ".json")
        answer = work(args)
        if isinstance(args.json, Path):
            write_json(answer.to_dict(), args.json)
        print(json_text(answer.to_dict()) if args.json is True else answer)
        return 1 if answer.to_dict().get("ok") is False else 0
    except DsodenetError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # a reader such as head has seen enough
    return 2
