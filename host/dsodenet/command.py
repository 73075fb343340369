"""A command as data: how it is called, what it does, and an answer that prints itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

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
