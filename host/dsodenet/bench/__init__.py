"""The accelerator against software: each figure measured, simulated or estimated, and said to be so."""

from dsodenet.bench.comparison import BACKENDS, DEFAULT, Comparison, compare
from dsodenet.bench.machine import origin

__all__ = [
    "BACKENDS",
    "DEFAULT",
    "Comparison",
    "compare",
    "origin",
]
