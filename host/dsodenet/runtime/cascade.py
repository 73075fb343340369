"""A few solver steps for every image, and more only for those that the model is unsure of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import InputError, shown
from dsodenet.runtime.classification import probabilities

Logits = NDArray[np.int32]
Solve = Callable[[int, NDArray[np.uint8]], Logits]  # (steps, images) -> logits


@dataclass(frozen=True)
class Cascade:
    """steps: of each stage, rising. threshold: the largest probability of an image that ends before the last stage."""

    steps: tuple[int, ...]
    threshold: float

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.steps, self.steps[1:]))
        whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in self.steps)
        if len(self.steps) < 2 or not whole or not rising or self.steps[0] < 1:
            raise InputError(f"cascade is {shown(list(self.steps))}, but it must be two or more rising step counts")
        number = isinstance(self.threshold, (int, float, np.floating)) and not isinstance(self.threshold, bool)
        if not number or not 0 < self.threshold < 1:
            raise InputError(f"threshold is {shown(self.threshold)}, but it must be more than 0 and less than 1")

    def predict(self, solve: Solve, images: NDArray[np.uint8], scale: float) -> tuple[Logits, NDArray[np.int64]]:
        """(logits, the steps that each image ended with). Unsure images are gathered: one call of solve per stage.

        scale: what one LSB of the logits is worth.
        """
        logits = solve(self.steps[0], images)
        ended = np.full(len(images), self.steps[0])
        waiting = np.flatnonzero(confidence(logits, scale) < self.threshold)
        for n_steps in self.steps[1:]:
            if not len(waiting):
                break
            logits[waiting] = solve(n_steps, images[waiting])
            ended[waiting] = n_steps
            waiting = waiting[confidence(logits[waiting], scale) < self.threshold]
        return logits, ended


def confidence(logits: Logits, scale: float) -> NDArray[np.float64]:
    """The largest softmax probability of each row of logits (N, classes)."""
    result: NDArray[np.float64] = probabilities(logits, scale).max(axis=1)
    return result


def usual_stages(steps: Sequence[int]) -> tuple[int, ...]:
    """Stages for a model of these solver steps, one number for each ODE block: a quarter of the most, then all.

    InputError for a model of one step, which has nothing to save.
    """
    most = max(steps)
    if most == 1:
        raise InputError("the model has 1 solver step, but a cascade needs two step counts, the first the cheaper one")
    return max(1, most // 4), most


@dataclass(frozen=True)
class Point:
    """What one threshold gives on images with known labels."""

    threshold: float
    accuracy: float
    cycles: float  # per image, on average


def as_accurate(points: Sequence[Point], full: float) -> Point:
    """The point of the fewest cycles as accurate as the last stage alone, or as accurate as any where none is."""
    return cheapest(points, min(full, max(point.accuracy for point in points)))


def cheapest(points: Sequence[Point], accuracy: float) -> Point:
    """The point of the fewest cycles that is accurate enough; InputError where none is."""
    enough = [point for point in points if point.accuracy >= accuracy]
    if not enough:
        most = max(point.accuracy for point in points)
        raise InputError(f"accuracy is {accuracy:.4f}, but this cascade reaches at most {most:.4f} on these images")
    return min(enough, key=lambda point: point.cycles)


def curve(solutions: Sequence[Logits], cycles: Sequence[float], labels: NDArray[np.int64], scale: float) -> list[Point]:
    """Every threshold of hundredths, from what each stage says of all images.

    solutions: logits (N, classes) of each stage. cycles: per image, of each stage alone; an image that goes on pays
    for all stages before it too.
    """
    right = [solution.argmax(axis=1) == labels for solution in solutions]
    sure = [confidence(solution, scale) for solution in solutions[:-1]]
    points = []
    for hundredth in range(1, 100):
        waiting, hits, spent = np.ones(len(labels), bool), np.zeros(len(labels), bool), np.zeros(len(labels))
        for stage, good in enumerate(right):
            spent[waiting] += cycles[stage]
            hits[waiting] = good[waiting]
            if stage < len(sure):
                waiting = waiting & (sure[stage] < hundredth / 100)
        points.append(Point(hundredth / 100, float(hits.mean()), float(spent.mean())))
    return points
