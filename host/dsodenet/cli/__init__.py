"""The command line."""

from dsodenet.cli.entry import main

__all__ = ["main"]
