"""The state of an ODE block as it moves."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dsodenet.plots.gallery import show
from dsodenet.plots.look import ACCENT, INK, housed, spread
from dsodenet.reference import Reference
from dsodenet.spec import Params

CLASSES = 10  # of which an example is shown
TIMES = 5  # states of an example: the first, the last, and some between
LEAST_MAP = 8  # pixels on a side of a map in which a person sees something
WIDTH, HEIGHT = 11.0, 4.2  # inches
SHARE = 0.36  # of the width, for the paths
CHARACTER, LINE = 0.1, 0.2  # inches that a label's character and line take


@housed
def trajectory_figure(
    params: Params,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    class_names: tuple[str, ...] | None = None,
    block: int | None = None,
) -> Figure:
    """How the integer state of an ODE block moves through the solver's steps.

    images: uint8 (batch, channels, height, width); labels: (batch,); block: counted from 1, by default the last one
    whose map has at least 8 pixels on a side. Left: a line per image from z(t0) to z(t1), in the two directions in
    which the final states differ most. Right: for each class one image, what the network takes it for, and its state
    after some steps, averaged over channels.
    """
    network, solver = params.spec.network, params.spec.solver
    names = class_names or tuple(map(str, range(network.num_classes)))
    number = block - 1 if block is not None else _telling(params)
    reference = Reference(params)
    states = np.stack(reference.trajectory(images, number)) * params.formats[f"z{number + 1}"].scale
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(SHARE, 1 - SHARE))
    left, right = halves
    steps = len(states) - 1
    figure.suptitle(
        f"ODE block {number + 1} of {params.spec.name}: {solver.method}, {steps} step{'s' * (steps > 1)}, "
        "integers of the reference",
        x=0.01,
        ha="left",
    )
    _paths(left.subplots(), states, labels, names)
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:CLASSES]]
    guesses = reference.predict(images[first]).argmax(axis=1)
    told = [(names[labels[image]], names[guess]) for image, guess in zip(first, guesses)]
    _examples(right, images[first], states[:, first].mean(axis=-1), told)
    return figure


def _telling(params: Params) -> int:
    """The last block whose map a person can read; the first one where all are smaller."""
    network = params.spec.network
    blocks = range(len(network.channels))
    return max((block for block in blocks if min(network.map_size(block)) >= LEAST_MAP), default=0)


def _paths(axes: Axes, states: NDArray[np.float64], labels: NDArray[np.int64], names: tuple[str, ...]) -> None:
    """A line per image. states: (steps + 1, images, height, width, channels)."""
    flat = states.reshape(*states.shape[:2], -1)
    centred = flat - flat[-1].mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred[-1], full_matrices=False)
    shares = lengths**2 / max(float((lengths**2).sum()), 1e-12)
    directions, shares = directions[:2], shares[:2]
    if len(directions) < 2:  # one image alone has no second direction
        directions, shares = np.vstack([directions, np.zeros_like(directions)]), np.append(shares, 0)
    paths = centred @ directions.T  # (steps + 1, images, 2)
    colours = matplotlib.colormaps["tab10"](labels % 10)
    for image, colour in enumerate(colours):
        axes.plot(*paths[:, image].T, color=colour, linewidth=0.6, alpha=0.45)
    axes.scatter(paths[0, :, 0], paths[0, :, 1], c=colours, s=5, marker=".", alpha=0.4)
    axes.scatter(paths[-1, :, 0], paths[-1, :, 1], c=colours, s=18, edgecolors="white", linewidths=0.3)
    axes.set(
        title="each line an image, from z(t0) to its dot, z(t1)",
        xlabel=f"1st direction, {shares[0]:.0%} of the variance of z(t1)",
        ylabel=f"2nd direction, {shares[1]:.0%}",
    )
    _name_classes(axes, paths[-1], labels, names)


def _name_classes(axes: Axes, ends: NDArray[np.float64], labels: NDArray[np.int64], names: tuple[str, ...]) -> None:
    """The name of each class at the middle of its dots, moved aside where two would overlap."""
    known = np.unique(labels)
    centres = np.array([np.median(ends[labels == label], axis=0) for label in known])
    extent = np.ptp(ends, axis=0)
    unit = np.where(extent > 0, extent, 1) / (WIDTH * SHARE * 0.75, HEIGHT * 0.7)  # of the data, an inch of the axes
    sizes = np.array([(CHARACTER * max(1, len(names[label])) + 0.06, LINE) for label in known]) * unit
    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    for label, centre, place in zip(known, centres, spread(centres, sizes)):
        colour = matplotlib.colormaps["tab10"](label % 10)
        if (np.abs(place - centre) > sizes.min(axis=0) / 2).any():
            axes.plot(*zip(centre, place), color=colour, linewidth=0.8)
        axes.text(
            place[0],
            place[1],
            names[label],
            fontsize=12,
            weight="bold",
            color=colour,
            ha="center",
            va="center",
            path_effects=halo,
        )


def _examples(
    figure: Figure, images: NDArray[np.uint8], maps: NDArray[np.float64], told: list[tuple[str, str]]
) -> None:
    """A column per image: the image, then its state. maps: (steps + 1, images, height, width); told: true, guessed."""
    steps = len(maps) - 1
    shown = sorted({round(share * steps / (TIMES - 1)) for share in range(TIMES)})
    grid = figure.subplots(len(shown) + 1, len(images), squeeze=False)
    bound = float(np.percentile(np.abs(maps[shown]), 99)) or 1.0
    for column, (image, (name, guess)) in enumerate(zip(images, told)):
        right = name == guess
        show(grid[0, column], image)
        grid[0, column].set_title(
            guess if right else f"{guess}\nnot {name}",
            fontsize=9 if max(map(len, (name, guess))) < 5 else 6,
            loc="center",
            color=INK if right else ACCENT,
            weight="normal" if right else "bold",
        )
        for row, step in enumerate(shown, 1):
            drawn = grid[row, column].imshow(maps[step, column], cmap="RdBu_r", vmin=-bound, vmax=bound)
    for axes in grid.flat:
        axes.set(xticks=(), yticks=())
        axes.spines[:].set_visible(False)
    grid[0, 0].set_ylabel("taken for", rotation=0, ha="right", va="bottom", y=0.98)
    for row, step in enumerate(shown, 1):
        grid[row, 0].set_ylabel(f"z({step}/{steps})", rotation=0, ha="right", va="center")
    figure.colorbar(drawn, ax=grid[1:].ravel().tolist(), label="state, mean over channels", aspect=40, pad=0.01)
