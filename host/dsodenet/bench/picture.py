"""The picture of a comparison. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dsodenet.bench.rows import KERNEL
from dsodenet.bench.subject import RANDOM

COLOURS = {"measured": "tab:blue", "simulated": "tab:orange", "estimated": "tab:grey"}
SHOWN_US = (1e6, "s"), (1e3, "ms"), (1.0, "us")  # least of a unit, its name
SIZE = 8  # points of the text


def comparison_figure(result: dict[str, Any]) -> Figure:
    """Latency of a call as logarithmic bars, one panel a batch, quickest first, least to most as whiskers.

    Images per second against batch.
    """
    batches = list(dict.fromkeys(row["batch"] for row in result["rows"]))
    series: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        series.setdefault(_name(row), []).append(row)
    names = sorted(series, key=lambda name: min(row["median_us"] / row["batch"] for row in series[name]))
    many = len(batches) > 1  # one batch alone makes no curve
    figure = Figure(figsize=(3.2 + 3.8 * len(batches) + 5.6 * many, 1.5 + 0.3 * len(series)), layout="constrained")
    panels = figure.subplots(1, len(batches) + many, squeeze=False, width_ratios=[1] * len(batches) + [0.9] * many)[0]
    for column, batch in enumerate(batches):
        _bars(
            panels[column], [[row for row in series[name] if row["batch"] == batch] for name in names], f"batch {batch}"
        )
        panels[column].set_yticks(range(len(names)), names if column == 0 else [""] * len(names), fontsize=SIZE)
    if many:
        _curves(panels[-1], {name: series[name] for name in names}, batches)
    shown = dict.fromkeys(row["kind"] for row in result["rows"])
    handles = [Patch(color=COLOURS[kind], label=kind) for kind in shown]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=SIZE, frameon=False)
    steps = ",".join(map(str, result["n_steps"]))
    weights = ", random weights" if result["weights"] == RANDOM else ""
    figure.suptitle(
        f"{result['model']}, {result['solver']} n_steps {steps}{weights}\n"
        f"measured on {result['cpu']}; xN: threads; the clock of the rtl kernel is assumed",
        fontsize=SIZE + 2,
    )
    return figure


def _name(row: dict[str, Any]) -> str:
    if row["scope"] == KERNEL:
        return f"{row['path']} kernel alone, {row['kind']}"
    threads = "" if "+" in row["path"] else f" x{row['threads']}"
    return f"{row['path']}{threads}, {row['numbers']}"


def _bars(axes: Axes, groups: Sequence[Sequence[dict[str, Any]]], title: str) -> None:
    """groups: of each name, its row of this batch, if it has one."""
    for place, row in ((place, row) for place, rows in enumerate(groups) for row in rows):
        middle = row["median_us"]
        whisker = [[middle - row["min_us"]], [row["max_us"] - middle]] if row["calls"] else None
        axes.barh(place, middle, xerr=whisker, color=COLOURS[row["kind"]], error_kw={"elinewidth": 0.8})
        axes.annotate(
            _shown(middle),
            (row["max_us"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SIZE - 1,
        )
    every = [row for rows in groups for row in rows]
    low, high = min(row["min_us"] for row in every), max(row["max_us"] for row in every)
    # a logarithmic bar has no zero to start from; room for the figures on the right
    axes.set(
        xscale="log", xlim=(low / 3, high * (high / low) ** 0.15 * 2), xlabel="us of a call, logarithmic", title=title
    )
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.invert_yaxis()


def _curves(axes: Axes, series: dict[str, list[dict[str, Any]]], batches: Sequence[int]) -> None:
    """Images per second; what is estimated or simulated is dashed."""
    styles = matplotlib.colormaps["tab20"]
    for index, (name, rows) in enumerate(series.items()):
        speeds = [1e6 * row["batch"] / row["median_us"] for row in rows]
        line = "o-" if rows[0]["kind"] == "measured" else "o--"
        axes.plot(
            [row["batch"] for row in rows],
            speeds,
            line,
            color=styles(index % 20),
            label=name,
            markersize=3,
            linewidth=1.2,
        )
    axes.set(xscale="log", yscale="log", xlabel="batch", ylabel="images per second", title="throughput")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SIZE - 1, bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)


def _shown(us: float) -> str:
    size, unit = next(((size, unit) for size, unit in SHOWN_US if us >= size), SHOWN_US[-1])
    return f"{us / size:.3g} {unit}"
