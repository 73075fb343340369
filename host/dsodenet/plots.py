"""Pictures of a model at work. Imports matplotlib."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from dsodenet.files import atomic_file
from dsodenet.params import Params
from dsodenet.reference import Reference

matplotlib.use("Agg")
from matplotlib import pyplot as plt

EXAMPLES = 3


def trajectory_plot(params: Params, images: NDArray[np.uint8], labels: NDArray[np.int64], path: Path) -> Path:
    """Draw how the integer state of the last ODE block moves through the solver steps, and write a PNG.

    Left: the channel means of every image, on the two directions in which the final states differ most; a line per image from
    the first state to the last. Right: the state of a few images after each step, averaged over channels.
    """
    block = len(params.spec.network.channels) - 1
    states = np.stack(Reference(params).trajectory(images, block)) * params.formats[f"z{block + 1}"].scale
    pooled = states.mean(axis=(2, 3))  # (steps + 1, images, channels)
    centred = pooled - pooled[-1].mean(axis=0)
    directions = np.linalg.svd(centred[-1], full_matrices=False)[2][:2]
    paths = centred @ directions.T  # (steps + 1, images, 2)
    colours = plt.get_cmap("tab10")(labels % 10)

    steps = len(states)
    figure = plt.figure(figsize=(4.5 + 1.3 * steps, 5), layout="constrained")
    grid = figure.add_gridspec(EXAMPLES, steps + 4)
    axes = figure.add_subplot(grid[:, :3])
    for image, colour in enumerate(colours):
        axes.plot(*paths[:, image].T, color=colour, linewidth=0.6, alpha=0.5)
    axes.scatter(paths[0, :, 0], paths[0, :, 1], c=colours, s=6, marker=".", alpha=0.4)
    axes.scatter(paths[-1, :, 0], paths[-1, :, 1], c=colours, s=22, edgecolors="white", linewidths=0.3)
    for label in np.unique(labels):
        centre = paths[-1, labels == label].mean(axis=0)
        axes.annotate(str(label), centre, fontsize=13, weight="bold", ha="center", va="center")
    solver = params.spec.solver
    axes.set(title=f"ODE block {block + 1}: {solver.method}, {steps - 1} steps", xlabel="1st direction", ylabel="2nd direction")

    maps = states[:, :EXAMPLES].mean(axis=-1)  # (steps + 1, examples, height, width)
    low, high = maps.min(), maps.max()
    for row in range(min(EXAMPLES, len(images))):
        shown = [(images[row].mean(axis=0), "image", "gray", (0, 255))]
        shown += [(maps[step, row], f"z({step}/{steps - 1})", "viridis", (low, high)) for step in range(steps)]
        for column, (picture, title, colour_map, limits) in enumerate(shown):
            small = figure.add_subplot(grid[row, 3 + column])
            small.imshow(picture, cmap=colour_map, vmin=limits[0], vmax=limits[1])
            small.set_axis_off()
            if row == 0:
                small.set_title(title, fontsize=9)
    with atomic_file(path) as beside:
        figure.savefig(beside, dpi=110, format="png")
    plt.close(figure)
    return path


Panels = dict[str, dict[str, list[tuple[float, float]]]]  # title -> curve -> (x, y) in order of x


def lines_plot(panels: Panels, x_label: str, path: Path, log: bool = False) -> Path:
    """Write a PNG with a panel of curves for each title; x is drawn by powers of two, zeros have no place on a logarithmic y."""
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4 * columns, 3.4 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, curves) in zip(grid.flat, panels.items()):
        for name, points in curves.items():
            drawn = [point for point in points if point[1] > 0 or not log]
            axes.plot(*zip(*drawn) if drawn else ((), ()), "o-", label=name, markersize=3)
        ticks = sorted({x for points in curves.values() for x, _ in points})
        axes.set(title=title, xlabel=x_label, xscale="log", yscale="log" if log else "linear")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axes.minorticks_off()
        axes.legend(fontsize=7)
    with atomic_file(path) as beside:
        figure.savefig(beside, dpi=110, format="png")
    plt.close(figure)
    return path
