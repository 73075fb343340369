"""Curves: of studies, and of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dsodenet.plots.look import MARKERS, MUTED, SERIES, housed

COLUMNS = 4  # panels beside each other
TICKS = 7  # of which the names have room below a panel
NUMBERS = {"float": "float", "integer": "integers"}  # a study's word for a number format, and that of a title
Curve = list[tuple[float, float]]  # (x, y) in order of x
Panels = dict[str, dict[str, Curve]]  # title -> name -> curve


FIGURES = {  # of a study of gradients
    "error_discrete": "error against discrete",
    "error_continuous": "error against continuous",
    "peak_mib": "peak MiB",
    "ms": "ms",
}


@housed
def gradients_figure(result: Mapping[str, Any]) -> Figure:
    """Errors, memory and time of the gradients of an ODE block over its steps.

    result: what `dsodenet study gradients --json` writes.
    """
    panels: Panels = {}
    for row in result["rows"]:
        for key, title in FIGURES.items():
            panel = panels.setdefault(f"{title}, {row['activation']} in f", {})
            panel.setdefault(row["gradient"], []).append((row["n_steps"], row[key]))
    return _lines(panels, "n_steps", log=True)


@housed
def solvers_figure(result: Mapping[str, Any]) -> Figure:
    """Accuracy of one model over solvers and steps, and over the rtl kernel's time where its integers were run.

    result: what `dsodenet study solvers --json` writes. A dashed line marks the steps of the training.
    """
    panels: Panels = {}
    for row in result["rows"]:
        panel = panels.setdefault(f"{NUMBERS.get(row['numbers'], row['numbers'])}: accuracy over steps", {})
        panel.setdefault(row["solver"], []).append((row["n_steps"], 100 * row["accuracy"]))
    over_steps = len(panels)
    for row in result["rows"]:
        if "cycles" in row:
            panel = panels.setdefault("integers: accuracy over time", {})
            time = row["cycles"] / row["assumed_clock_mhz"]
            panel.setdefault(row["solver"], []).append((time, 100 * row["accuracy"]))
    figure = _lines(panels, "n_steps", y_label="test accuracy, %")
    steps = set(result["trained"]["n_steps"])
    for axes in figure.axes[:over_steps]:
        if len(steps) == 1:
            _mark(axes, min(steps), f"{result['trained']['solver']} trained here")
    for axes in figure.axes[over_steps:]:
        axes.set_xlabel("µs an image on the rtl kernel, estimated")
    return figure


def _lines(
    panels: Panels,
    x_label: str,
    log: bool = False,
    y_label: str = "",
) -> Figure:
    """A panel of curves for each title, and one legend for all. x is logarithmic.

    log makes y so, too; a curve that is exactly zero then lies at the foot and is named. Curves that coincide show as
    markers within each other.
    """
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(5.0, 3.1 * columns), 0.6 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, curves) in zip(grid.flat, panels.items()):
        handles = [_curve(axes, curves.get(name, []), index, len(names), log) for index, name in enumerate(names)]
        ticks = sorted({x for points in curves.values() for x, _ in points})
        axes.set(title=title, xscale="log", yscale="log" if log else "linear", ylabel=y_label)
        ticks = ticks if len(ticks) <= TICKS else ticks[:: math.ceil(len(ticks) / TICKS)]
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.grid()
        if log:
            _zeros(axes, curves, names)
    for axes in grid[-1]:
        axes.set_xlabel(x_label)
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _mark(axes: Axes, x: float, name: str) -> None:
    """A vertical line and its name."""
    axes.axvline(x, color=MUTED, linewidth=1, linestyle="--", zorder=0)
    left = x < math.sqrt(math.prod(axes.get_xlim()))  # of the middle of a logarithmic axis
    offset, edge = ((4, 0), "left") if left else ((-4, 0), "right")
    axes.annotate(name, (x, 0.02), offset, ("data", "axes fraction"), "offset points", color=MUTED, fontsize=8, ha=edge)


def _curve(axes: Axes, points: Curve, index: int, count: int, log: bool) -> Any:
    """Earlier curves are drawn larger, so that a later one that coincides leaves a rim."""
    drawn = [point for point in points if point[1] > 0 or not log]
    (line,) = axes.plot(
        *(zip(*drawn) if drawn else ((), ())),
        color=SERIES[index % len(SERIES)],
        marker=MARKERS[index % len(MARKERS)],
        markersize=4 + 1.6 * (count - 1 - index),
        linewidth=1.2 + 0.5 * (count - 1 - index),
        markerfacecolor="white" if index < count - 1 else SERIES[index % len(SERIES)],
    )
    return line


def _zeros(axes: Axes, curves: dict[str, Curve], names: list[str]) -> None:
    """What is exactly zero has no place on a logarithmic axis: at the foot, one name above the other."""
    flat = [name for name in names if any(y == 0 for _, y in curves.get(name, []))]
    if not flat:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low * (low / high) ** (0.12 * len(flat)), high)
    for place, name in enumerate(flat):
        index = names.index(name)
        at, height = axes.get_xaxis_transform(), 0.05 + 0.1 * place
        zeros = [x for x, y in curves[name] if y == 0]
        axes.plot(
            zeros,
            [height] * len(zeros),
            linestyle=":",
            color=SERIES[index % len(SERIES)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=5,
            markerfacecolor="white",
            transform=at,
        )
        axes.annotate("exactly 0", (zeros[0], height), (4, 4), xycoords=at, textcoords="offset points", fontsize=7)


@housed
def learning_figure(metrics: Mapping[str, Any]) -> Figure:
    """Loss over the epochs of a training, stage after stage. metrics: a TrainingResult, or a run's metrics.json."""
    stages = {name: stage for name, stage in metrics["stages"].items() if stage["loss"]}
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    start, at = 0, axes.get_xaxis_transform()
    for index, (name, stage) in enumerate(stages.items()):
        epochs, colour = range(start + 1, start + len(stage["loss"]) + 1), SERIES[index % len(SERIES)]
        axes.plot(epochs, stage["loss"], "o-", color=colour, markersize=3)
        axes.annotate(name, (epochs[-1], 1), (0, -10), at, "offset points", color=colour, ha="right")
        if start:
            axes.axvline(start + 0.5, color=MUTED, linewidth=0.8, linestyle="--")
        start += len(stage["loss"])
    axes.set(xlabel="epoch", ylabel="mean training loss", ylim=(0, None), title=_outcome(metrics))
    axes.grid(axis="y")
    return figure


def _outcome(metrics: Mapping[str, Any]) -> str:
    named = {"float": metrics["float_accuracy"], "quantised": metrics["qat_accuracy"]}
    known = ", ".join(f"{name} {value:.2%}" for name, value in named.items() if value is not None)
    return f"{metrics['data']['name']}: {known} of test images"
