"""Search for the model to build: estimates first, a short training where they fit, and a Pareto front of what was found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dsodenet.explore.goal import LIMITS, OBJECTIVES, Goal
from dsodenet.explore.plan import Plan, Point, check_plan
from dsodenet.explore.report import counts
from dsodenet.explore.search import front, search
from dsodenet.explore.space import Space, build
from dsodenet.files import atomic_file, write_json

__all__ = ["LIMITS", "OBJECTIVES", "Goal", "Plan", "Point", "Space", "check_plan", "explore"]

RESULT, SPECS = "front.json", "specs"


def explore(
    plan: Plan,
    folder: Path,
    trials: int,
    workers: int = 1,
    *,
    final_seeds: int = 0,
    progress: bool = True,
    step: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Search, then write FOLDER/front.json and a spec JSON for each point of the front; returns the content of front.json.

    final_seeds: so often train the chosen spec and the one that the search started from in full, and simulate both.
    """
    found = search(plan, folder, trials, workers, progress)
    best = front(found, plan.goal.objective)
    base = next((point for point in found if build(plan.spec, point.choice) == plan.spec), None)
    chosen = choose(best, plan.goal, base)
    for point in best:
        with atomic_file(folder / SPECS / f"{point.number}.json") as path:
            path.write_text(build(plan.spec, point.choice).to_json(), encoding="utf-8")
    points = [asdict(point) for point in found]
    result: dict[str, Any] = {
        "command": "dsodenet explore",
        "plan": json.loads(plan.to_json()),
        "specs_in_space": plan.space.size(),
        "points": points,
        "counts": counts(points),
        "front": [point.number for point in best],
        "base": None if base is None else base.number,
        "chosen": None if chosen is None else chosen.number,
        "final": {},
    }
    if final_seeds and chosen is not None:
        from dsodenet.explore.confirm import confirm

        seeds = range(plan.seed, plan.seed + final_seeds)
        for name, spec in (("chosen", build(plan.spec, chosen.choice)), ("base", plan.spec)):
            step(name)
            result["final"][name] = confirm(spec, plan.data, folder / name, seeds, progress)
    write_json(result, folder / RESULT)
    return result


def choose(best: list[Point], goal: Goal, base: Point | None) -> Point | None:
    """The smallest trained point of the front that is accurate enough; None when there is none, or nothing says what is enough."""
    least = goal.min_accuracy
    if least is None and base is not None:
        least = base.accuracy
    enough = [point for point in best if point.accuracy is not None and least is not None and point.accuracy >= least]
    return min(enough, key=lambda point: point.figures[goal.objective], default=None)
