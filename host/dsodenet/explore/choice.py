"""Which model to build: the smallest that is accurate enough, by its first training or by several.

One training on a few hundred images says little, and the best of many single results is mostly luck. So before a choice is final, what
looked accurate enough is trained again with other seeds, each with other images held back; the test split still has no say.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path

from dsodenet.explore.goal import Goal
from dsodenet.explore.plan import Plan, Point
from dsodenet.explore.search import open_study
from dsodenet.explore.space import build, network_of
from dsodenet.explore.trial import WORK, quiet, trained_accuracy

SLACK = 0.01  # below what is enough: a first result that lies further off is not tried again
CHECKS = "checks"  # of the study: network -> accuracies over the seeds


def candidates(points: Iterable[Point], goal: Goal, base: Point | None, slack: float = 0.0) -> list[Point]:
    """The points within the limits whose first training came to what is enough, but for the slack, smallest first.

    Enough is the goal's accuracy, else the base's; without either there is none."""
    least = goal.min_accuracy if goal.min_accuracy is not None or base is None else base.accuracy
    if least is None:
        return []
    enough = [p for p in points if p.refused is None and p.accuracy is not None and p.accuracy >= least - slack]
    return sorted(enough, key=lambda p: (p.figures[goal.objective], -(p.accuracy or 0.0)))


def choose(points: Iterable[Point], goal: Goal, base: Point | None) -> Point | None:
    """The smallest that is accurate enough by its first training."""
    return next(iter(candidates(points, goal, base)), None)


def settle(
    plan: Plan, points: Iterable[Point], base: Point | None, folder: Path, seeds: int, progress: bool = True
) -> tuple[Point | None, dict[int, list[float]]]:
    """The smallest that is accurate enough in the mean of `seeds` trainings, and the accuracies of each point that was tried.

    Where the base's accuracy is what is enough, it is that of as many trainings; its own network, on a better engine, ends the trial.
    """
    from tqdm import tqdm

    tried: dict[int, list[float]] = {}
    least = plan.goal.min_accuracy
    with quiet():
        study = open_study(plan, folder)
        known: dict[str, list[float]] = dict(study.user_attrs.get(CHECKS, {}))

        def mean(point: Point) -> float:
            key = json.dumps(network_of(point.choice), sort_keys=True)
            found = known.setdefault(key, [point.accuracy or 0.0])
            todo = range(len(found), seeds)
            for seed in tqdm(todo, desc=f"point {point.number} again", disable=None if progress else True, leave=False):
                found.append(trained_accuracy(plan, build(plan.spec, point.choice), folder / WORK, seed))
                study.set_user_attr(CHECKS, known)
            tried[point.number] = found[:seeds]
            return statistics.mean(tried[point.number])

        try:
            if least is None and base is not None and base.accuracy is not None:
                least = mean(base)
            for point in candidates(points, plan.goal, base, SLACK):
                if least is not None and mean(point) >= least:
                    return point, tried
            return None, tried
        finally:
            shutil.rmtree(folder / WORK, ignore_errors=True)
