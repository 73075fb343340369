"""A command as data: how it is called, what it does, and an answer that prints itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dsodenet.files import write_json

SCHEMA = 1  # of every JSON that a command writes; it changes where a key changes its meaning or goes
Argument = tuple[tuple[str, ...], dict[str, Any]]  # names and options of argparse's add_argument


class Answer(Protocol):
    """What a command found. It prints itself for a terminal and gives its data for JSON.

    A true `differing` or a false `ok` in the data makes the exit status 1.
    """

    def to_dict(self) -> dict[str, Any]: ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Command:
    """run: parsed arguments -> answer. help: one line. example: a whole command line."""

    run: Callable[[argparse.Namespace], Answer]
    help: str
    example: str
    arguments: tuple[Argument, ...] = ()


def argument(*names: str, **options: Any) -> Argument:
    """One argument of a command, in argparse's words."""
    return names, options


# The arguments that every command has.
COMMON = (
    argument(
        "--json",
        nargs="?",
        type=Path,
        const=True,
        default=False,
        metavar="FILE",
        help="write the result to a file; without FILE, print it as JSON, and nothing else",
    ),
    argument("--quiet", action="store_true", help="no progress bar"),
)


def give(answer: Answer, target: Path | bool, *, silent: bool = False) -> int:
    """Write an answer to the file that --json names, print it as text or JSON, and return the exit status.

    target: the value of --json. silent: write and print nothing.
    """
    data = {"schema": SCHEMA} | answer.to_dict()
    if not silent:
        if isinstance(target, Path):
            write_json(data, target)
        print(json_text(data) if target is True else answer)
    return 1 if data.get("differing") or data.get("ok") is False else 0


def values_text(data: dict[str, Any]) -> str:
    """A line for each value; long lists are cut."""

    def text(value: Any) -> str:
        return f"{value[:8]} ..." if isinstance(value, list) and len(value) > 8 else str(value)

    return "\n".join(f"{key:<16} {text(value)}" for key, value in data.items())


def json_text(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2)


@dataclass(frozen=True)
class Values:
    """An answer made of data and of a function that makes text of them."""

    data: dict[str, Any]
    show: Callable[[dict[str, Any]], str] = values_text

    def to_dict(self) -> dict[str, Any]:
        return self.data

    def __str__(self) -> str:
        return self.show(self.data)
