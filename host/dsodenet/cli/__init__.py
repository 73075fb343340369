"""The command line, and what the tools of a checkout share with it."""

from dsodenet.cli.arguments import Parser, checked_lanes
from dsodenet.cli.entry import main

__all__ = ["Parser", "checked_lanes", "main"]
