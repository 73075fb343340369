"""A live picture for a notebook: solver and steps by hand, accuracy and cycles at once. Imports ipywidgets."""

from __future__ import annotations

import io
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dsodenet.plots.look import ACCENT, DPI, MARKERS, MUTED, housed
from dsodenet.reference import Reference
from dsodenet.rtl import estimate
from dsodenet.spec import TABLEAUS, Params

MOST_STEPS = 16  # of the slider
FIRST_STEPS = (1, 2, 4)  # measured at once, so that the picture begins with something to see


class SolverSliders(widgets.VBox):
    """Two controls, and a picture of every setting that they have been at: accuracy over the cycles of an image.

    The accuracy is that of the integers on the images given, measured by the reference; the cycles are those of the rtl
    kernel, estimated. Where no widget can be shown, such as in a stored notebook, the picture stands by itself.
    """

    def __init__(self, params: Params, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """images: uint8 (batch, channels, height, width); labels: (batch,)."""
        solver = params.spec.solver
        self._params, self._images, self._labels = params, images, labels
        self._seen: dict[tuple[str, int], tuple[float, float]] = {}  # (method, steps) -> (cycles, accuracy in %)
        self._method = widgets.Dropdown(options=list(TABLEAUS), value=solver.method, description="solver")
        self._steps = widgets.IntSlider(
            min(solver.n_steps[0], MOST_STEPS), 1, MOST_STEPS, description="steps", continuous_update=False
        )
        self._image = widgets.Image(format="png")
        for control in (self._method, self._steps):
            control.observe(lambda change: self._draw(), "value")
        for n_steps in FIRST_STEPS:
            self.measure(solver.method, n_steps)
        self._draw()
        super().__init__([widgets.HBox([self._method, self._steps]), self._image])

    def measure(self, method: str, n_steps: int) -> tuple[float, float]:
        """(cycles of an image, accuracy in %) of the same weights under this solver."""
        key = (method, n_steps)
        if key not in self._seen:
            other = self._params.with_solver(method, n_steps)
            right = Reference(other).predict(self._images).argmax(axis=1) == self._labels
            self._seen[key] = float(estimate(other).cycles), 100 * float(np.mean(right))
        return self._seen[key]

    def _draw(self) -> None:
        method, n_steps = self._method.value, int(self._steps.value)
        self.measure(method, n_steps)
        picture = io.BytesIO()
        _settings_figure(self._seen, (method, n_steps), self._params.spec.name).savefig(picture, format="png", dpi=DPI)
        self._image.value = picture.getvalue()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and its picture for viewers that show none."""
        found = super()._repr_mimebundle_(**options)
        data, *rest = found if isinstance(found, tuple) else (found,)
        if data is None:
            return found
        data = data | {"image/png": bytes(self._image.value), "text/plain": "accuracy over cycles, by solver and steps"}
        return (data, *rest) if isinstance(found, tuple) else data


@housed
def _settings_figure(seen: dict[tuple[str, int], tuple[float, float]], now: tuple[str, int], model: str) -> Figure:
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    cycles, accuracy = seen[now]
    for index, method in enumerate(dict.fromkeys(method for method, _ in seen)):
        places = [seen[key] for key in sorted(seen) if key[0] == method]
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(*zip(*places), marker=marker, color=MUTED, markersize=5, linewidth=0.8, label=method)
    axes.plot(cycles, accuracy, "o", color=ACCENT, markersize=10)
    low = min(y for _, y in seen.values())
    axes.set(
        xscale="log",
        xlabel="cycles of an image on the rtl kernel, estimated, logarithmic",
        ylabel="accuracy of the integers, %",
        ylim=(max(0, low - max(3, 0.3 * (100 - low))), 101),
        title=f"{model}, {now[0]} with {now[1]} steps: {accuracy:.1f} % in {cycles:,.0f} cycles, no weight changed",
    )
    ticks = sorted({round(x) for x, _ in seen.values()})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=30 if len(ticks) > 4 else 0)
    axes.set_xticks([], minor=True)
    axes.margins(x=0.1)
    axes.grid()
    axes.legend(loc="lower right", title="settings that you tried", title_fontsize=8)
    return figure
