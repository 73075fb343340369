"""The picture of a comparison. Imports matplotlib."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Patch

COLOURS = {"measured": "tab:blue", "simulated": "tab:orange", "estimated": "tab:grey"}


def comparison_figure(result: dict[str, Any]) -> Figure:
    """Microseconds of a call as logarithmic bars, least to most as whiskers; and images per second against batch."""
    batches = list(dict.fromkeys(row["batch"] for row in result["rows"]))
    series: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        threads = f" x{row['threads']}" if row["scope"] != "kernel" else ""
        series.setdefault(f"{row['path']}{threads} {row['numbers']}, {row['scope']}, {row['label']}", []).append(row)
    height = 1.5 + 0.32 * len(series)
    figure = Figure(figsize=(4.5 + 3.6 * (len(batches) + 1), height), layout="constrained")
    panels = figure.subplots(1, len(batches) + 1)
    for column, batch in enumerate(batches):
        rows = [row for row in result["rows"] if row["batch"] == batch]
        axes, middle = panels[column], [row["median_us"] for row in rows]
        whiskers = [[row["median_us"] - row["min_us"] for row in rows], [row["max_us"] - row["median_us"] for row in rows]]
        colours = [COLOURS[row["label"]] for row in rows]
        axes.barh(range(len(rows)), middle, xerr=whiskers, color=colours, error_kw={"elinewidth": 0.8})
        left = min(row["min_us"] for row in rows) / 3  # a logarithmic bar has no zero to start from
        axes.set(xscale="log", xlim=(left, None), xlabel="us of a call", title=f"batch {batch}")
        axes.set_yticks(range(len(rows)), list(series) if column == 0 else [""] * len(rows), fontsize=8)
        axes.invert_yaxis()
    panels[0].legend(handles=[Patch(color=colour, label=label) for label, colour in COLOURS.items()], fontsize=7)
    styles = matplotlib.colormaps["tab20"]
    for index, (name, rows) in enumerate(series.items()):
        speeds = [1e6 * row["batch"] / row["median_us"] for row in rows]
        panels[-1].plot([row["batch"] for row in rows], speeds, "o-", color=styles(index % 20), label=name, markersize=3)
    panels[-1].set(xscale="log", yscale="log", xlabel="batch", ylabel="images per second")
    panels[-1].set_xticks(batches, [str(batch) for batch in batches])
    panels[-1].legend(fontsize=6, bbox_to_anchor=(1.02, 1), loc="upper left")
    figure.suptitle(f"{result['model']} on {result['cpu']}; clock of the rtl kernel assumed", fontsize=10)
    return figure
