"""What a model mixes up: its confusion matrix, and the images on which it was most surely wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dsodenet.plots.look import ACCENT, INK, housed

COLUMNS = 4  # of images
MOST_NUMBERS = 20  # classes up to which each cell of the matrix has its number
MOST_NAMES = 40  # classes up to which each row has its name
WIDTH, HEIGHT = 9.0, 4.4  # inches


@housed
def confusion_figure(result: dict[str, Any], wrong_images: NDArray[np.uint8]) -> Figure:
    """result: as Evaluation.to_dict; wrong_images: uint8 (count, channels, height, width) of its first `errors`.

    Left: how many images of each class (rows) were taken for each class (columns), as shares of the row; what is wrong
    has the accent. Right: the images, the surest error first.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(0.55, 0.45))
    figure.suptitle(
        f"{result['model']} on {result['images']} images of {result['data']}: {result['accuracy']:.1%} right", x=0.01,
        ha="left",
    )  # fmt: skip
    _matrix(halves[0].subplots(), np.array(result["confusion"]), result["class_names"])
    if len(wrong_images):
        _errors(halves[1], result["errors"][: len(wrong_images)], wrong_images)
    return figure


def _matrix(axes: Axes, counts: NDArray[np.int64], names: list[str]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    axes.imshow(np.where(right, shares, np.nan), cmap="Blues", vmin=0, vmax=1.4)
    axes.imshow(np.where(right | (counts == 0), np.nan, shares), cmap="Oranges", vmin=-0.3, vmax=1.8)
    if len(counts) <= MOST_NUMBERS:
        for row, column in zip(*np.nonzero(counts)):
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=INK)
    if len(counts) <= MOST_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
        axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    axes.tick_params(length=0)


def _errors(figure: Any, errors: list[dict[str, Any]], images: NDArray[np.uint8]) -> None:
    rows = math.ceil(len(images) / COLUMNS)
    figure.suptitle("surest errors: class, and what it was taken for", fontsize=9)
    for axes in figure.subplots(max(rows, 3), COLUMNS, squeeze=False).flat:
        axes.set_axis_off()
    for axes, error, image in zip(figure.axes, errors, images):
        colour = len(image) == 3
        axes.imshow(image.transpose(1, 2, 0) if colour else image.mean(axis=0), cmap="gray", vmin=0, vmax=255)
        told = f"{error['name']}\n{error['taken_for']} {error['probability']:.2f}"
        axes.set_title(told, fontsize=7.5, loc="center", pad=2, color=ACCENT)
