"""Errors that a user can act on: one clear sentence each, naming what was given and what is allowed."""

from __future__ import annotations

from typing import Any

MAX_VALUE, MAX_MESSAGE = 200, 1000  # characters


class DsodenetError(Exception):
    """Base of every error that this package raises on purpose; the command line turns it into exit status 2.

    Text from files may stand in a message. Control characters in it are escaped, so that none reaches a terminal.
    A long message is cut.
    """

    def __init__(self, message: object) -> None:
        super().__init__(cut(printable(str(message)), MAX_MESSAGE))


class SpecError(DsodenetError, ValueError):
    """A specification, format or solver that cannot be built."""


class InputError(DsodenetError, ValueError):
    """Images, files or options that do not fit the specification."""


class RunError(DsodenetError):
    """A run folder that is missing, half-written, edited, or from another version of its model."""


class ToolError(DsodenetError):
    """A program or library that this step needs and that is not installed."""


class DeviceError(DsodenetError, RuntimeError):
    """The accelerator (or its simulation) refused, failed or did not answer in time."""


def printable(text: str) -> str:
    """The text with its control characters escaped; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and how long it is."""
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"


def shown(value: Any) -> str:
    """A value from outside as it stands in a message: its repr, cut; an integer of thousands of digits by its size."""
    if isinstance(value, int) and value.bit_length() > 4 * MAX_VALUE:
        return f"a number of {value.bit_length()} bits"
    try:
        return cut(repr(value), MAX_VALUE)
    except (ValueError, RecursionError) as error:  # such a number or depth within a list
        return f"a {type(value).__name__} that cannot be shown ({error})"
