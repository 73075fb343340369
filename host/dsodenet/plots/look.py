"""The look of every picture: type, colours, how labels keep apart, and how a picture is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dsodenet.files import atomic_file

DPI = 110
INK, MUTED, FAINT = "0.15", "0.55", "0.9"
ACCENT = "#d55e00"  # what a picture is about; with BLUE told apart by every eye (Okabe and Ito)
BLUE = "#0072b2"
SERIES = (BLUE, ACCENT, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # with the colours, so that curves that coincide show as two
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.titlesize": 11,
}


# Decorates a function that draws: the caller's own settings stay as they are.
housed = matplotlib.rc_context(STYLE)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of DPI dots an inch, whole or not at all."""
    with atomic_file(path) as beside:
        figure.savefig(beside, dpi=DPI, format="png", bbox_inches="tight", pad_inches=0.1)
    return path


def spread(centres: NDArray[np.float64], sizes: NDArray[np.float64], rounds: int = 200) -> NDArray[np.float64]:
    """Places for labels near their centres where no two overlap: boxes that touch push each other apart.

    centres, sizes: (labels, 2), width and height of each label in the units of the centres. The way is the shorter one
    out of the overlap, so the result depends on nothing but the arguments.
    """
    places = centres.astype(np.float64)
    for _ in range(rounds):
        clear = True
        for first in range(len(places)):
            for second in range(first):
                apart = places[first] - places[second]
                overlap = (sizes[first] + sizes[second]) / 2 - np.abs(apart)
                if (overlap <= 0).any():
                    continue
                clear = False
                axis = int(overlap.argmin())
                push = (overlap[axis] / 2 + 1e-9) * (1 if apart[axis] >= 0 else -1)
                places[first, axis] += push
                places[second, axis] -= push
        if clear:
            break
    return places
