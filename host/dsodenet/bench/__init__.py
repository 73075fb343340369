"""The accelerator against software: each figure measured, simulated or estimated, and said to be so."""

from dsodenet.bench.comparison import BACKENDS, DEFAULT, compare
from dsodenet.bench.machine import origin
from dsodenet.bench.output import Parser, exit_status
from dsodenet.bench.report import comparison_text
from dsodenet.lazy import lazy_names

__all__ = [
    "BACKENDS",
    "DEFAULT",
    "Parser",
    "compare",
    "comparison_figure",
    "comparison_text",
    "exit_status",
    "origin",
]

__getattr__, __dir__ = lazy_names(__name__, {"comparison_figure": "dsodenet.bench.picture"})
