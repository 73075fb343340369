"""Which model to build: the smallest that is accurate enough, by its first training or by several.

One training on a few hundred images says little, and the best of many single results is mostly luck. Before a choice
is final, what looked accurate enough is trained again with other seeds. Each seed holds other images back. The test
split still has no say.
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
from dsodenet.exploration.pool import worker_pool
from dsodenet.exploration.space import build, network_of
from dsodenet.exploration.storage import in_use, open_study, place_of
from dsodenet.exploration.trial import WORK, trained_accuracy

SLACK = 0.01  # a first result that lies further below what is enough is not tried again
CHECKS = "accuracies of "  # and a network: what the study keeps of its trainings, one for each seed


def candidates(points: Iterable[Point], goal: Goal, base: Point | None, slack: float = 0.0) -> list[Point]:
    """The points within the limits whose first training came to what is enough, less the slack; smallest first.

    Enough is the goal's accuracy, else the base's. Without either there is no candidate.
    """
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
    storage: str | None = None,
) -> tuple[Point | None, dict[int, list[float]]]:
    """The smallest that holds its accuracy over `seeds` trainings, and the accuracies of each point that was tried.

    Where the base says what is enough, it is trained as often. Its own network, on a better engine, ends the trial.
    """
    from tqdm import tqdm

    tried: dict[int, list[float]] = {}
    near = candidates(points, plan.goal, base, SLACK)
    if not near:
        return None, tried
    try:
        with in_use(place_of(folder, storage)), worker_pool(workers, folder) as pool:
            study = open_study(plan, folder, storage)

            def accuracies(point: Point) -> list[float]:
                key = CHECKS + json.dumps(network_of(point.choice), sort_keys=True)
                found: list[float] = study.user_attrs.get(key, [point.accuracy])
                todo = range(len(found), seeds)
                train = partial(trained_accuracy, plan, build(plan.spec, point.choice), folder / WORK)
                about, silent = f"point {point.number} again", None if progress else True
                for accuracy in tqdm(pool.map(train, todo), about, len(todo), disable=silent, leave=False):
                    found.append(accuracy)
                    study.set_user_attr(key, found)
                tried[point.number] = found[:seeds]
                return tried[point.number]

            if plan.goal.min_accuracy is not None:
                enough = [plan.goal.min_accuracy] * seeds
            else:
                assert base is not None  # or nothing would be near
                enough = accuracies(base)
            return next((point for point in near if holds(accuracies(point), enough)), None), tried
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)


def holds(accuracies: Sequence[float], enough: Sequence[float]) -> bool:
    """Whether accuracies are enough by more than chance.

    They are where their mean difference, seed by seed, is no less than its standard error. The same network on another
    engine differs by nothing, and holds. Without the margin the smallest of many would be a lucky one.
    """
    differences = [own - other for own, other in zip(accuracies, enough)]
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return statistics.mean(differences) >= error
