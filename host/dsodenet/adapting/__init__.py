"""A model adapted to a new domain where it runs: NumPy, images and forward passes, no source data."""

from dsodenet.adapting.adapted import FEWEST, Adapted, adapt, chosen_methods
from dsodenet.adapting.adapted_run import adapt_run
from dsodenet.adapting.forward import Evaluate
from dsodenet.adapting.methods import METHODS, Method
from dsodenet.adapting.statistics import Statistics, observe

__all__ = [
    "FEWEST",
    "METHODS",
    "Adapted",
    "Evaluate",
    "Method",
    "Statistics",
    "adapt",
    "adapt_run",
    "chosen_methods",
    "observe",
]
