"""Pictures of the kernels: what the rtl kernel's array does over an image, and what builds take of the device."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from dsodenet.contract import DEVICE, Resources
from dsodenet.plots.look import ACCENT, BLUE, FAINT, INK, MUTED, SERIES, housed
from dsodenet.rtl import DEVICE_MACS, Estimate

WIDE = 0.06  # share of the image from which a section has room for its name


@housed
def schedule_figure(estimate: Estimate) -> Figure:
    """The pointwise array over the cycles of an image: ODE blocks in blue, the rest grey.

    The height of a bar is the share of the multipliers at work, its width is time.
    """
    figure = Figure(figsize=(9.5, 2.6), layout="constrained")
    axes = figure.subplots()
    start, whole = 0, estimate.cycles
    parts = [(s.name, s.cycles, s.macs / s.cycles / estimate.peak_macs) for s in estimate.sections]
    narrow: list[tuple[list[str], float]] = []  # names of neighbours, where they begin
    for name, cycles, busy in [*parts, ("in and out", estimate.other, 0.0)]:
        colour = BLUE if name.startswith("f") else MUTED
        axes.bar(start, 1, cycles, align="edge", color=FAINT, edgecolor="white", linewidth=0.5)
        axes.bar(start, busy, cycles, align="edge", color=colour, edgecolor="white", linewidth=0.5)
        if cycles / whole >= WIDE:
            told = f"{name}\n{busy:.0%} busy\n{cycles / whole:.0%} of the time"
            axes.text(start + cycles / 2, busy / 2, told, color="white", ha="center", va="center", fontsize=8)
        elif narrow and start - narrow[-1][1] < WIDE * whole:
            narrow[-1][0].append(name)
        else:
            narrow.append(([name], start))
        start += cycles
    for names, begin in narrow:
        edge = "right" if begin > (1 - WIDE) * whole else "left"
        at = (whole, 1) if edge == "right" else (begin, 1)
        axes.annotate(", ".join(names), at, (0, 3), textcoords="offset points", ha=edge, fontsize=8)
    share = estimate.macs_per_cycle / DEVICE_MACS
    axes.set(xlim=(0, start), ylim=(0, 1), xlabel="clock cycle", ylabel="multipliers at work")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(
        f"{estimate.spec.name}: {whole:,} cycles an image, {share:.0%} of the {DEVICE_MACS:,} MAC/cycle of the device",
        pad=18,
    )
    return figure


@housed
def resource_figure(builds: dict[str, Resources]) -> Figure:
    """The estimated share of the XCZU7EV that each build takes; builds: name -> resources."""
    figure = Figure(figsize=(8, 0.9 + 0.24 * len(builds) * len(DEVICE)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(builds)
    for index, (name, resources) in enumerate(builds.items()):
        places = np.arange(len(DEVICE)) + (index - (len(builds) - 1) / 2) * height
        shares = [100 * resources.share(kind) for kind in DEVICE]
        bars = axes.barh(places, shares, 0.85 * height, label=name, color=SERIES[index % len(SERIES)])
        axes.bar_label(bars, [f"{getattr(resources, kind):,.0f}" for kind in DEVICE], fontsize=8, padding=3)
    axes.axvline(100, color=ACCENT, linewidth=1, linestyle="--")
    axes.annotate("the device", (100, 1), (-3, 3), ("data", "axes fraction"), "offset points", color=ACCENT, ha="right")
    axes.set_yticks(range(len(DEVICE)), list(DEVICE))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set(xlabel="% of the XCZU7EV, estimated; figures: how many")
    axes.grid(axis="x")
    figure.legend(loc="outside upper left", ncols=len(builds), labelcolor=INK)
    return figure
