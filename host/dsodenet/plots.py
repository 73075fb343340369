"""Pictures of a model, of its engine and of studies. Each returns a Figure, for a notebook or for `save`.

Imports matplotlib.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dsodenet.contract import DEVICE, Resources
from dsodenet.files import atomic_file
from dsodenet.reference import Reference
from dsodenet.rtl import DEVICE_MACS, Estimate
from dsodenet.spec import Params

EXAMPLES = 3
DPI = 110


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of DPI dots an inch, whole or not at all."""
    with atomic_file(path) as beside:
        figure.savefig(beside, dpi=DPI, format="png")
    return path


def trajectory_figure(params: Params, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Figure:
    """How the integer state of the last ODE block moves through the solver steps.

    images: uint8 (batch, channels, height, width); labels: (batch,). Left: a line per image from its first state to its
    last, by the channels' means on the two directions in which the final states differ most. Right: the state of a few
    images after each step, averaged over channels.
    """
    block = len(params.spec.network.channels) - 1
    states = np.stack(Reference(params).trajectory(images, block)) * params.formats[f"z{block + 1}"].scale
    pooled = states.mean(axis=(2, 3))  # (steps + 1, images, channels)
    centred = pooled - pooled[-1].mean(axis=0)
    directions = np.linalg.svd(centred[-1], full_matrices=False)[2][:2]
    paths = centred @ directions.T  # (steps + 1, images, 2)
    colours = matplotlib.colormaps["tab10"](labels % 10)

    steps = len(states)
    figure = Figure(figsize=(4.5 + 1.3 * steps, 5), layout="constrained")
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
    axes.set(
        title=f"ODE block {block + 1}: {solver.method}, {steps - 1} steps",
        xlabel="1st direction",
        ylabel="2nd direction",
    )

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
    return figure


def schedule_figure(estimate: Estimate) -> Figure:
    """The pointwise array over the cycles of an image.

    The height of a bar is the share of the multipliers at work, its width is time.
    """
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.subplots()
    colours, start = matplotlib.colormaps["tab10"], 0
    for index, section in enumerate(estimate.sections):
        busy = section.macs / section.cycles / estimate.peak_macs
        axes.bar(start, 1, section.cycles, align="edge", color="0.93")
        axes.bar(
            start, busy, section.cycles, align="edge", color=colours(index % 10), label=f"{section.name} {busy:.0%}"
        )
        start += section.cycles
    axes.bar(start, 1, estimate.other, align="edge", color="0.75", label="in and out")
    axes.set(xlim=(0, start + estimate.other), ylim=(0, 1), xlabel="clock cycle", ylabel="array at work")
    share = estimate.macs_per_cycle / DEVICE_MACS
    axes.set_title(
        f"{estimate.spec.name}: {estimate.cycles:,} cycles per image, "
        f"{share:.0%} of the device's {DEVICE_MACS:,} MAC/cycle"
    )
    figure.legend(loc="outside right center", fontsize=8)
    return figure


def resource_figure(builds: dict[str, Resources]) -> Figure:
    """The estimated share of the XCZU7EV that each build takes; builds: name -> resources."""
    figure = Figure(figsize=(7, 0.9 + 0.35 * len(builds) * len(DEVICE) / 2), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(builds)
    for index, (name, resources) in enumerate(builds.items()):
        places = np.arange(len(DEVICE)) + (index - (len(builds) - 1) / 2) * height
        shares = [100 * resources.share(kind) for kind in DEVICE]
        bars = axes.barh(places, shares, height, label=name)
        axes.bar_label(bars, [f"{getattr(resources, kind):,.0f}" for kind in DEVICE], fontsize=8, padding=2)
    axes.axvline(100, color="black", linewidth=0.8)
    axes.set_yticks(range(len(DEVICE)), list(DEVICE))
    axes.invert_yaxis()
    axes.set(xlabel="% of the XCZU7EV, estimated")
    axes.legend(fontsize=8)
    return figure


def front_figure(result: dict[str, Any]) -> Figure:
    """A search (front.json): every point, and the front through the best of them.

    Points that were only estimated lie at the foot.
    """
    objective = result["plan"]["goal"]["objective"]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    by_number = {point["number"]: point for point in result["points"]}
    trained = [point for point in result["points"] if point["label"] == "trained"]
    value = "accuracy" if trained else "macs"

    def place(points: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
        worth = [100 * point["accuracy"] if trained else point["figures"]["macs"] for point in points]
        return [point["figures"][objective] for point in points], worth

    if trained:
        axes.scatter(*place(trained), s=22, color="tab:blue", label="trained, accuracy measured")
        floor = min(100 * point["accuracy"] for point in trained)
        rest = [point["figures"][objective] for point in result["points"] if point["label"] != "trained"]
        axes.scatter(rest, [floor] * len(rest), s=16, marker="|", color="0.6", label="estimated only, not trained")
    else:
        axes.scatter(*place(list(by_number.values())), s=16, color="0.6", label="estimated only, not trained")
    axes.plot(*place([by_number[number] for number in result["front"]]), "k.-", linewidth=0.9, label="front")
    for role, marker in (("base", "s"), ("chosen", "*")):
        if result[role] is not None and (by_number[result[role]]["accuracy"] is not None or not trained):
            axes.scatter(
                *place([by_number[result[role]]]),
                s=150,
                marker=marker,
                facecolors="none",
                edgecolors="tab:red",
                label=role,
            )
    axes.set(
        xscale="log", xlabel=f"{objective}, estimated", ylabel={"accuracy": "validation accuracy, %"}.get(value, value)
    )
    axes.legend(fontsize=8)
    return figure


Panels = dict[str, dict[str, list[tuple[float, float]]]]  # title -> curve -> (x, y) in order of x


def lines_figure(panels: Panels, x_label: str, log: bool = False) -> Figure:
    """A panel of curves for each title. x is logarithmic; log makes y so, too, and leaves out what is not positive."""
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4 * columns, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, curves) in zip(grid.flat, panels.items()):
        for name, points in curves.items():
            drawn = [point for point in points if point[1] > 0 or not log]
            axes.plot(*zip(*drawn) if drawn else ((), ()), "o-", label=name, markersize=3)
        ticks = sorted({x for points in curves.values() for x, _ in points})
        axes.set(title=title, xlabel=x_label, xscale="log", yscale="log" if log else "linear")
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], minor=False)
        axes.minorticks_off()
        axes.legend(fontsize=7)
    return figure
