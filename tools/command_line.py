"""What the tools share: one line for bad input, and --json with one meaning."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dsodenet.cli import Parser
from dsodenet.command import COMMON, Answer, give
from dsodenet.errors import DsodenetError
from dsodenet.runs import check_output


def parser(module: str, about: str | None) -> Parser:
    """A parser for `python -m MODULE`, with --json [FILE] and --quiet as every command has them."""
    result = Parser(prog=f"python -m {module}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for names, options in COMMON:
        result.add_argument(*names, **options)
    return result


def run(parser: Parser, work: Callable[[argparse.Namespace], Answer], arguments: list[str] | None = None) -> int:
    """Exit status: 0, 1 where the answer says so, 2 with one line on standard error for bad input."""
    try:
        args = parser.parse_args(arguments)
        if isinstance(args.json, Path):
            check_output(args.json, ".json")
        return give(work(args), args.json)
    except DsodenetError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # a reader such as head has seen enough
    return 2
