"""The accelerator against software: each figure measured, simulated or estimated, and said to be so."""

from dsodenet.bench.comparison import BACKENDS, DEFAULT, Comparison, compare
from dsodenet.bench.machine import origin
from dsodenet.lazy import lazy_names

__all__ = [
    "BACKENDS",
    "DEFAULT",
    "Comparison",
    "compare",
    "comparison_figure",
    "origin",
]

__getattr__, __dir__ = lazy_names(__name__, {"comparison_figure": "dsodenet.bench.picture"})
