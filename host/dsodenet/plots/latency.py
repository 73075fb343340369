"""The picture of a comparison: how long a call takes on each path."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from dsodenet.plots.look import ACCENT, INK, MUTED, housed

SHOWN_US = (1e6, "s"), (1e3, "ms"), (1.0, "µs")  # least of a unit, its name
MEASURED = "measured"
Row = dict[str, Any]


@housed
def comparison_figure(result: dict[str, Any]) -> Figure:
    """The time of a call as dots on a logarithmic axis, a panel for each batch, quickest first.

    result: what `Comparison.to_dict` gives. Of each path the quickest of its number formats and thread counts is drawn;
    the table has them all. Whiskers are least and most. The accelerator has the accent; what is not measured is hollow.
    """
    batches = list(dict.fromkeys(row["batch"] for row in result["rows"]))
    panels = {batch: quickest([row for row in result["rows"] if row["batch"] == batch]) for batch in batches}
    most = max(map(len, panels.values()))
    figure = Figure(figsize=(5.2 * len(batches) + 0.4, 1.5 + 0.36 * most), layout="constrained")
    for axes, (batch, rows) in zip(figure.subplots(1, len(batches), squeeze=False)[0], panels.items()):
        _dots(axes, rows)
        axes.set(title=f"a call of {batch} image{'s' * (batch > 1)}", ylim=(most - 0.5, -0.5))
    kinds = [(ACCENT, "accelerator"), (INK, "software")]
    handles = [Line2D([], [], marker="o", linestyle="", color=colour, label=label) for colour, label in kinds]
    handles += [
        Line2D([], [], marker="o", linestyle="", color=MUTED, label=MEASURED),
        Line2D([], [], marker="o", linestyle="", color=MUTED, markerfacecolor="white", label="estimated or simulated"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    steps = ",".join(map(str, result["n_steps"]))
    weights = ", random weights" if result["weights"] == "random" else ""
    figure.suptitle(
        f"{result['model']}, {result['solver']} n_steps {steps}{weights}; software on {result['cpu']}",
        x=0.01,
        ha="left",
    )
    return figure


def quickest(rows: list[Row]) -> list[Row]:
    """Of each family of paths, such as torch and torch-compile, the quickest row; the quickest family first."""
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["median_us"]):
        best.setdefault((row["path"].split()[0].split("-")[0], row["scope"]), row)
    return list(best.values())


def _dots(axes: Axes, rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        colour = ACCENT if _accelerated(row) else INK
        face = colour if row["kind"] == MEASURED else "white"
        axes.plot((row["min_us"], row["max_us"]), (place, place), color=colour, linewidth=1)
        axes.plot(row["median_us"], place, "o", color=colour, markerfacecolor=face, markersize=7)
        axes.annotate(
            _shown(row["median_us"]),
            (row["max_us"], place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows):
        label.set_color(ACCENT if _accelerated(row) else INK)
    low, high = min(row["min_us"] for row in rows), max(row["max_us"] for row in rows)
    axes.set(xscale="log", xlim=(low / 1.5, high * (high / low) ** 0.2 * 1.5), xlabel="time of a call, logarithmic")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda us, _: _shown(us)))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _accelerated(row: Row) -> bool:
    """Whether the row's time has that of a kernel in it."""
    return row["clock_mhz"] is not None or row["path"].startswith("zcu104")


def _name(row: Row) -> str:
    path = row["path"] + (" kernel alone" if row["scope"] == "kernel" else "")
    if _accelerated(row):
        return path
    numbers = "" if path.endswith(f"-{row['numbers']}") else f" {row['numbers']}"
    return f"{path}{numbers}, {row['threads']} thread{'s' * (row['threads'] > 1)}"


def _shown(us: float) -> str:
    size, unit = next(((size, unit) for size, unit in SHOWN_US if us >= size), SHOWN_US[-1])
    return f"{us / size:.3g} {unit}"
