"""The command line as tests call it."""

from __future__ import annotations

from typing import Any

import pytest

from dsodenet.cli.entry import main


def call(*words: Any) -> int:
    """Exit status of a command."""
    return main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """The one line on standard error of a command that must end with status 2."""
    capsys.readouterr()
    assert call(*words) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    return output.err
