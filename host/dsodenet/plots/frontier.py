"""The picture of a search: what was tried, and the best of it."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dsodenet.plots.look import ACCENT, BLUE, INK, MUTED, housed

ROLES = {"base": "s", "chosen": "*"}  # what a point may be, and its marker
Point = dict[str, Any]
Place = tuple[float, float]


@housed
def front_figure(result: dict[str, Any]) -> Figure:
    """A search (front.json): its points by number, the front as steps, and the limits that lie on the axes.

    A step says what the best accuracy is for at most so many cycles. What was only estimated is a tick at the foot. A
    search without trainings shows multiply-accumulates instead of accuracy.
    """
    goal, points = result["plan"]["goal"], {point["number"]: point for point in result["points"]}
    trained = any(point["accuracy"] is not None for point in points.values())
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()

    def place(point: Point) -> Place:
        worth = 100 * point["accuracy"] if trained else point["figures"]["macs"]
        return point["figures"][goal["objective"]], worth

    drawn = [point for point in points.values() if not trained or point["accuracy"] is not None]
    if trained:
        _ticks(axes, [p["figures"][goal["objective"]] for p in points.values() if p["accuracy"] is None])
    _dots(axes, [place(p) for p in drawn if p["refused"] is None], "trained" if trained else "estimated", BLUE)
    _dots(axes, [place(p) for p in drawn if p["refused"] is not None], "over a limit", "white")
    front = [place(points[number]) for number in result["front"]]
    axes.plot(*zip(*front), color=BLUE, linewidth=1.2, drawstyle="steps-post", label="front", zorder=1)
    for role, marker in ROLES.items():
        if result[role] in points and points[result[role]] in drawn:
            axes.plot(*place(points[result[role]]), marker, markersize=15, color="none", mec=ACCENT, label=role)
    numbers: dict[Place, list[str]] = {}
    for point in drawn:
        numbers.setdefault(place(point), []).append(str(point["number"]))
    for at, names in numbers.items():
        size, colour = (9, INK) if at in front else (6.5, MUTED)
        axes.annotate(", ".join(names), at, (6, -12), textcoords="offset points", fontsize=size, color=colour)
    _limits(axes, goal, points.get(result["base"]) if trained else None)
    axes.set(
        xscale="log",
        xlabel=f"{goal['objective']}, estimated",
        ylabel="validation accuracy, %" if trained else "multiply-accumulates",
        title=f"{result['plan']['spec']['name']} on {result['plan']['data']}: {result['counts']['points']} points, "
        f"{result['counts']['trained']} trained, {result['counts']['over_a_limit']} over a limit",
    )
    axes.grid()
    axes.legend(loc="lower right")
    return figure


def _ticks(axes: Axes, values: list[float]) -> None:
    if values:
        at = axes.get_xaxis_transform()
        axes.plot(values, [0.02] * len(values), "|", transform=at, color=MUTED, markersize=8, label="only estimated")


def _dots(axes: Axes, places: list[Place], label: str, face: str) -> None:
    if places:
        edge = BLUE if face == BLUE else MUTED
        axes.plot(*zip(*places), "o", markersize=6, markerfacecolor=face, markeredgecolor=edge, label=label)


def _limits(axes: Axes, goal: dict[str, Any], base: Point | None) -> None:
    """Lines for the limits on what the axes show, and the others in words."""
    objective, limits = goal["objective"], dict(goal["limits"])
    line: Any = {"color": ACCENT, "linewidth": 1, "linestyle": "--"}
    if (most := limits.pop(objective, None)) is not None:
        axes.axvline(most, label=f"at most {most:,g} {objective}", **line)
    least = goal.get("min_accuracy") or (None if base is None else base["accuracy"])
    if least is not None:
        axes.axhline(100 * least, label=f"at least {100 * least:.1f} %", **line)
    if limits:
        told = ", ".join(f"{name} {limit:,g}" for name, limit in limits.items())
        axes.annotate(f"other limits: {told}", (0, -0.16), xycoords="axes fraction", fontsize=8, color=MUTED)
