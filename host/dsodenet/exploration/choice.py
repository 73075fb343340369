"""Which model to build: the smallest that is accurate enough, by its first training or by several.

One training on a few hundred images says little, and the best of many single results is mostly luck. So before a choice is final, what
looked accurate enough is trained again with other seeds, each with other images held back; the test split still has no say.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from dsodenet.exploration.goal import Goal
from dsodenet.exploration.plan import Plan, Point
from dsodenet.exploration.pool import mapped
from dsodenet.exploration.sampling import open_study
from dsodenet.exploration.space import build, network_of
from dsodenet.exploration.trial import WORK, quiet, trained_accuracy

SLACK = 0.01  # below what is enough: a first result that lies further off is not tried again
CHECKS = "checks"  # of the study: network -> accuracies over the seeds


def candidates(points: Iterable[Point], goal: Goal, base: Point | None, slack: float = 0.0) -> list[Point]:
    """The points within the limits whose first training came to what is enough, but for the slack, smallest first.

    Enough is the goal's accuracy, else the base's; without either there is no candidate."""
    least = goal.min_accuracy if goal.min_accuracy is not None or base is None else base.accuracy
    if least is None:
        return []
    enough = [p for p in points if p.refused is None and p.accuracy is not None and p.accuracy >= least - slack]
    return sorted(enough, key=lambda p: (p.figures[goal.objective], -(p.accuracy or 0.0)))


def choose(points: Iterable[Point], goal: Goal, base: Point | None) -> Point | None:
    """The smallest that is accurate enough by its first training."""
    return next(iter(candidates(points, goal, base)), None)


def settle(
    plan: Plan,
    points: Iterable[Point],
    base: Point | None,
    folder: Path,
    seeds: int,
    workers: int = 1,
    progress: bool = True,
) -> tuple[Point | None, dict[int, list[float]]]:
    """The smallest that holds its accuracy over `seeds` trainings, and the accuracies of each point that was tried.

    Where the base says what is enough, so do as many trainings of it; its own network, on a better engine, ends the trial.
    """
    from tqdm import tqdm

    tried: dict[int, list[float]] = {}
    near = candidates(points, plan.goal, base, SLACK)
    if not near:
        return None, tried
    with quiet(), mapped(workers, folder) as each:
        study = open_study(plan, folder)
        known: dict[str, list[float]] = dict(study.user_attrs.get(CHECKS, {}))

        def accuracies(point: Point) -> list[float]:
            key = json.dumps(network_of(point.choice), sort_keys=True)
            found = known.setdefault(key, [point.accuracy or 0.0])
            todo = range(len(found), seeds)
            train = partial(trained_accuracy, plan, build(plan.spec, point.choice), folder / WORK)
            about = f"point {point.number} again"
            for accuracy in tqdm(each(train, todo), about, len(todo), disable=None if progress else True, leave=False):
                found.append(accuracy)
                study.set_user_attr(CHECKS, known)
            tried[point.number] = found[:seeds]
            return tried[point.number]

        try:
            if plan.goal.min_accuracy is not None:
                enough = [plan.goal.min_accuracy] * seeds
            else:
                assert base is not None  # or nothing would be near
                enough = accuracies(base)
            return next((point for point in near if holds(accuracies(point), enough)), None), tried
        finally:
            shutil.rmtree(folder / WORK, ignore_errors=True)


def holds(accuracies: Sequence[float], enough: Sequence[float]) -> bool:
    """Whether accuracies are enough by more than chance: their mean difference, seed by seed, is no less than its standard error.

    The same network on another engine differs by nothing, and holds. Without the margin the smallest of many would be a lucky one."""
    differences = [own - other for own, other in zip(accuracies, enough)]
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return statistics.mean(differences) >= error
