"""Images beside each other, with what they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dsodenet.plots.look import ACCENT, INK, housed

COLUMNS = 10
INCHES = 0.95  # of an image


@housed
def images_figure(
    images: NDArray[np.uint8],
    captions: Sequence[str] = (),
    wrong: Sequence[bool] | NDArray[np.bool_] = (),
    title: str = "",
) -> Figure:
    """uint8 images (batch, channels, height, width) in rows of ten. A caption whose `wrong` is true has the accent."""
    columns = min(COLUMNS, max(1, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    height = (INCHES + 0.17 * lines) * rows + 0.3 * bool(title)
    figure = Figure(figsize=(INCHES * columns, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if number < len(images):
            show(axes, images[number])
        if number < len(captions):
            told = number < len(wrong) and bool(wrong[number])
            axes.set_title(
                captions[number],
                fontsize=8,
                loc="center",
                pad=2,
                color=ACCENT if told else INK,
                weight="bold" if told else "normal",
            )
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def show(axes: Axes, image: NDArray[np.uint8]) -> None:
    """One image (channels, height, width): RGB, or the mean over any other number of channels in grey."""
    if len(image) == 3:
        axes.imshow(image.transpose(1, 2, 0))
    else:
        axes.imshow(image.mean(axis=0), cmap="gray", vmin=0, vmax=255)
