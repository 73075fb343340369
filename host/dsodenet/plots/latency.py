"""Pictures of time: how long a call takes on each path, and where it goes within one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from dsodenet.plots.look import ACCENT, INK, MUTED, housed

SHOWN_US = (1e6, "s"), (1e3, "ms"), (1.0, "µs")  # least of a unit, its name
MEASURED = "measured"
Row = dict[str, Any]


class Call(Protocol):
    """What of a call is drawn: a CallInfo of the runtime."""

    kind: str
    images: int
    stages_us: dict[str, float]


@housed
def comparison_figure(result: dict[str, Any], batches: Sequence[int] | None = None) -> Figure:
    """The time of a call as dots on a logarithmic axis, a panel for each batch, quickest first.

    batches: some of the result's, in place of all.

    result: what `Comparison.to_dict` gives. Of each path the quickest of its number formats and thread counts is drawn;
    the table has them all. Whiskers are least and most. The accelerator has the accent; what is not measured is hollow.
    """
    batches = batches or list(dict.fromkeys(row["batch"] for row in result["rows"]))
    panels = {batch: quickest([row for row in result["rows"] if row["batch"] == batch]) for batch in batches}
    most = max(map(len, panels.values()))
    figure = Figure(figsize=(5.2 * len(batches) + 1.2 * (len(batches) == 1), 1.5 + 0.36 * most), layout="constrained")
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
    _time_axis(axes, [_name(row) for row in rows], min(r["min_us"] for r in rows), max(r["max_us"] for r in rows))
    axes.set_xlabel("time of a call, logarithmic")
    for label, row in zip(axes.get_yticklabels(), rows):
        label.set_color(ACCENT if _accelerated(row) else INK)


def _accelerated(row: Row) -> bool:
    """Whether the row's time has that of a kernel in it."""
    return row["clock_mhz"] is not None or row["path"].startswith("zcu104")


def _name(row: Row) -> str:
    path = row["path"] + (" kernel alone" if row["scope"] == "kernel" else "")
    if _accelerated(row):
        return path
    numbers = "" if path.endswith(f"-{row['numbers']}") else f" {row['numbers']}"
    return f"{path}{numbers}, {row['threads']} thread{'s' * (row['threads'] > 1)}"


@housed
def stages_figure(call: Call) -> Figure:
    """Where the time of a call goes: a dot for each stage, in the order in which they run; the longest has the accent.

    The axis is logarithmic, so that what the host library does shows beside the kernel. `Accelerator.timed` switches
    the stages on.
    """
    stages = call.stages_us
    whole, longest = sum(stages.values()), max(stages, key=stages.__getitem__)
    figure = Figure(figsize=(7.5, 1.0 + 0.26 * len(stages)), layout="constrained")
    axes = figure.subplots()
    for place, (name, us) in enumerate(stages.items()):
        colour = ACCENT if name == longest else INK
        axes.plot(us, place, "o", color=colour, markersize=7)
        told = f"{_shown(us)}, {us / whole:.1%}"
        axes.annotate(told, (us, place), (8, 0), textcoords="offset points", va="center", color=colour, fontsize=8)
    _time_axis(axes, list(stages), min(us for us in stages.values() if us > 0), max(stages.values()))
    axes.set(
        xlabel="time of a stage, logarithmic",
        ylim=(len(stages) - 0.5, -0.5),
        title=f"a call of {call.images} images takes {_shown(whole)}, {call.kind}; most of it is {longest}",
    )
    return figure


def _time_axis(axes: Axes, names: list[str], low: float, high: float) -> None:
    """Rows with names, and a logarithmic axis of time with room for words at the right."""
    axes.set_yticks(range(len(names)), names)
    axes.set(xscale="log", xlim=(low / 1.5, high * (high / low) ** 0.2 * 1.5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda us, _: _shown(us)))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _shown(us: float) -> str:
    size, unit = next(((size, unit) for size, unit in SHOWN_US if us >= size), SHOWN_US[-1])
    return f"{us / size:.3g} {unit}"
