"""A search from its plan to its result: the search itself, the choice, and the check of the choice."""

from __future__ import annotations

from pathlib import Path

from dsodenet.exploration.choice import choose, settle
from dsodenet.exploration.findings import Search
from dsodenet.exploration.plan import BASE, Plan
from dsodenet.exploration.sampling import front, search
from dsodenet.exploration.space import build
from dsodenet.exploration.storage import place_of
from dsodenet.files import atomic_file, only_one, write_json
from dsodenet.text import spread

RESULT, SPECS = "front.json", "specs"


def explore(
    plan: Plan,
    folder: Path,
    trials: int,
    workers: int = 1,
    *,
    final_seeds: int = 0,
    storage: str | None = None,
    progress: bool = True,
) -> Search:
    """Search, then write FOLDER/front.json and a spec JSON for each point that the search shows.

    A search in a folder goes on where it was, under the same plan, until it has so many finished trials. storage: URL
    of a database that several machines share, each with a folder of its own; the trials of all count. final_seeds: the
    choice rests on as many trainings of what looked accurate enough, and the chosen spec and the one that the search
    started from are trained in full with as many seeds, and simulated.

    InputError where the space has a value that no spec can have, before anything is written, and for a database that is
    damaged or of another plan; RunError while another process searches in this folder.
    """
    plan.space.check(plan.spec)
    place_of(folder, storage)
    with only_one(folder, "search"):
        found = search(plan, folder, trials, workers, progress, storage)
        base = next((point for point in found if point.number == BASE), None)
        if final_seeds:
            chosen, tried = settle(plan, found, base, folder, final_seeds, workers, progress, storage)
        else:
            chosen, tried = choose(found, plan.goal, base), {}
        result = Search(
            plan,
            tuple(found),
            tuple(point.number for point in front(found, plan.goal.objective)),
            None if base is None else base.number,
            None if chosen is None else chosen.number,
            {number: spread(accuracies) for number, accuracies in tried.items()},
            {},
        )
        for point in result.shown:
            with atomic_file(folder / SPECS / f"{point.number}.json") as path:
                path.write_text(build(plan.spec, point.choice).to_json(), encoding="utf-8")
        if final_seeds and chosen is not None:
            from dsodenet.exploration.confirmation import confirm

            seeds = range(plan.seed, plan.seed + final_seeds)
            for name, spec in (("chosen", build(plan.spec, chosen.choice)), ("base", plan.spec)):
                result.final[name] = confirm(spec, plan.data, folder / name, seeds, workers, progress)
        write_json(result.to_dict(), folder / RESULT)
    return result
