"""The picture of a study of recipes: what each row reaches, with its interval, beside its group's baseline."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dsodenet.plots.look import ACCENT, BLUE, MUTED, housed

VERDICTS = {"helps": BLUE, "does not help": ACCENT}  # a row of neither is grey
NEAR = 0.25  # a row further than this below its panel's baseline is named at the edge, so that the others can be told
MARGIN = 1.0  # points of accuracy left free beside the dots
Row = dict[str, Any]


@housed
def recipes_figure(result: dict[str, Any]) -> Figure:
    """A row per recipe: the accuracy of the integers (float where there are none) as a dot, one sd over the seeds.

    A panel for the digits and one for each target domain, one below the other; the line is the row that the others are
    compared with. result: what `dsodenet study recipes --json` writes.
    """
    panels: dict[str, list[Row]] = {}
    for row in result["rows"]:
        panels.setdefault(row["group"] if row["group"].startswith("digits-") else "digits", []).append(row)
    heights = [1.2 + len(rows) for rows in panels.values()]
    figure = Figure(figsize=(7.5, 1.1 + 0.25 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, rows) in zip(grid, panels.items()):
        _panel(axes, rows, name)
    grid[-1].set_xlabel("test accuracy, %")
    seeds = max(row["seeds"] for row in result["rows"])
    verdicts = VERDICTS | {"no clear difference": MUTED}
    handles = [Line2D([], [], marker="o", color=colour, label=name) for name, colour in verdicts.items()]
    handles += [
        Line2D([], [], marker="|", markersize=10, linestyle="", color=MUTED, label="float"),
        Line2D([], [], color=MUTED, linestyle="--", label="what they are compared with"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.suptitle(f"mean and standard deviation over {seeds} seeds, integers", x=0.01, ha="left")
    return figure


def _panel(axes: Axes, rows: list[Row], name: str) -> None:
    base = next((row for row in rows if row["against"] is None), rows[0])
    axes.axvline(100 * _shown(base)["mean"], color=MUTED, linestyle="--", linewidth=1)
    near = [row for row in rows if _shown(row)["mean"] > _shown(base)["mean"] - NEAR]
    low = min(100 * (_shown(row)["mean"] - _shown(row)["sd"]) for row in near) - MARGIN
    high = min(100.0, max(100 * (_shown(row)["mean"] + _shown(row)["sd"]) for row in near) + MARGIN)
    axes.set_xlim(max(0.0, low), high)
    for place, row in enumerate(rows):
        colour, shown = VERDICTS.get(row["verdict"], MUTED), _shown(row)
        mean, deviation = 100 * shown["mean"], 100 * shown["sd"]
        if row not in near:
            axes.annotate(f"◂ {mean:.0f} %", (0, place), xycoords=("axes fraction", "data"), va="center", color=colour)
            continue
        axes.plot((mean - deviation, mean + deviation), (place, place), color=colour, linewidth=1.5)
        axes.plot(mean, place, "o", color=colour, markersize=6)
        if row["float_accuracy"] is not None:
            axes.plot(100 * row["float_accuracy"]["mean"], place, "|", color=MUTED, markersize=10)
    names = [row["row"].removesuffix(f", {name}") + ("" if row["integer_accuracy"] else " (float)") for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set(ylim=(len(rows) - 0.4, -0.6), title=name if name == "digits" else f"{name}, generated target domain")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _shown(row: Row) -> dict[str, float]:
    found: dict[str, float] = row["integer_accuracy"] or row["float_accuracy"]
    return found
