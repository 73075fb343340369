"""Search for the model to build: estimates first, a short training where they fit, and a Pareto front of what was found."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dsodenet.exploration.choice import choose, settle
from dsodenet.exploration.findings import Findings, counts, shown
from dsodenet.exploration.goal import LIMITS, OBJECTIVES, Goal
from dsodenet.exploration.plan import BASE, Plan, Point, check_plan
from dsodenet.exploration.sampling import front, search
from dsodenet.exploration.space import Space, build
from dsodenet.files import atomic_file, write_json
from dsodenet.text import spread

__all__ = ["BASE", "LIMITS", "OBJECTIVES", "Goal", "Plan", "Point", "Space", "check_plan", "choose", "explore"]

RESULT, SPECS = "front.json", "specs"


def explore(
    plan: Plan,
    folder: Path,
    trials: int,
    workers: int = 1,
    *,
    final_seeds: int = 0,
    progress: bool = True,
) -> Findings:
    """Search, then write FOLDER/front.json and a spec JSON for each point of the front; returns what was found, the content of front.json.

    final_seeds: the choice then rests on as many trainings of what looked accurate enough (settle), and the chosen spec and the one
    that the search started from are trained in full with as many seeds, and simulated.
    """
    found = search(plan, folder, trials, workers, progress)
    best = front(found, plan.goal.objective)
    base = next((point for point in found if point.number == BASE), None)
    if final_seeds:
        chosen, tried = settle(plan, found, base, folder, final_seeds, workers, progress)
    else:
        chosen, tried = choose(found, plan.goal, base), {}
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
        "tried": [{"number": number, "accuracy": spread(accuracies)} for number, accuracies in tried.items()],
        "final": {},
    }
    numbers = shown(result)
    for point in found:
        if point.number in numbers:
            with atomic_file(folder / SPECS / f"{point.number}.json") as path:
                path.write_text(build(plan.spec, point.choice).to_json(), encoding="utf-8")
    if final_seeds and chosen is not None:
        from dsodenet.exploration.confirmation import confirm

        seeds = range(plan.seed, plan.seed + final_seeds)
        for name, spec in (("chosen", build(plan.spec, chosen.choice)), ("base", plan.spec)):
            result["final"][name] = confirm(spec, plan.data, folder / name, seeds, workers, progress)
    write_json(result, folder / RESULT)
    return Findings(result)
