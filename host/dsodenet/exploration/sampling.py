"""The search: optuna proposes networks, worker processes estimate and train them, and the results guide what follows.

This process alone speaks with the database, so that a search which was stopped anywhere goes on where it was.
"""

from __future__ import annotations

import shutil
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from dsodenet.exploration.goal import figures
from dsodenet.exploration.plan import BASE, Outcome, Plan, Point
from dsodenet.exploration.pool import worker_pool
from dsodenet.exploration.space import network_of
from dsodenet.exploration.storage import ask, in_use, open_study, outcomes, place_of, queue, tell
from dsodenet.exploration.trial import WORK, run_trial

if TYPE_CHECKING:
    from optuna import Trial


def search(
    plan: Plan, folder: Path, trials: int, workers: int = 1, progress: bool = True, storage: str | None = None
) -> list[Point]:
    """Make a search have at least `trials` finished trials; returns all of its points.

    storage: URL of a database that several machines share; the trials of all of them count.
    """
    import optuna
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    running: dict[Future[Outcome | None], Trial] = {}
    try:
        with (
            in_use(place_of(folder, storage)),
            worker_pool(workers, folder) as pool,
            tqdm(total=trials, desc="explore", unit="trial", disable=None if progress else True) as bar,
        ):
            study = open_study(plan, folder, storage)
            queue(plan, study, folder, shared=storage is not None)
            while True:
                found = [outcome for _, outcome in outcomes(study)]
                bar.update(min(trials, len(found)) - bar.n)
                while len(running) < min(workers, trials - len(found)):
                    trial = ask(plan, study, folder)
                    known = _known_accuracy(found, trial.params)
                    running[pool.submit(run_trial, plan, folder / WORK, trial.params, known)] = trial
                if not running:
                    return points(plan, outcomes(study))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    trial = running.pop(future)
                    try:
                        tell(plan, study, trial, future.result())
                    except BrokenProcessPool:
                        raise  # the trial is done again when the search goes on
                    except Exception:
                        study.tell(trial, state=optuna.trial.TrialState.FAIL)
                        raise
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)


def _known_accuracy(found: list[Outcome], network: dict[str, object]) -> float | None:
    """The accuracy that a network had in an earlier trial: its training is repeatable, and would tell nothing new."""
    same = [outcome.accuracy for outcome in found if network_of(outcome.choice) == network]
    return next((accuracy for accuracy in same if accuracy is not None), None)


def points(plan: Plan, found: list[tuple[int, Outcome]]) -> list[Point]:
    """The points of a search. The spec that it started from is the first, as soon as its network has been tried."""
    result: list[Point] = []
    base = plan.space.choice_of(plan.spec)
    if base is not None:
        same = [outcome for _, outcome in found if network_of(outcome.choice) == network_of(base)]
        if same:
            own = figures(plan.spec)
            refused = next(iter(plan.goal.exceeded(own)), None)
            result.append(Point.of(BASE, Outcome(base, own, refused, same[0].accuracy)))
    return result + [Point.of(number + 1, outcome) for number, outcome in found if outcome.choice != base]


def front(found: list[Point], objective: str) -> list[Point]:
    """The points that no other one beats.

    Another one beats a point that is at least as accurate and smaller. Untrained points are compared by their
    multiply-accumulates instead. A point over a limit is never on the front.
    """
    allowed = [point for point in found if point.refused is None]
    trained = [point for point in allowed if point.label == "trained"]
    kept: list[Point] = []

    def worth(point: Point) -> float:
        return float(point.figures["macs"]) if point.accuracy is None else point.accuracy

    for point in sorted(trained or allowed, key=lambda point: (point.figures[objective], -worth(point))):
        if not kept or worth(point) > worth(kept[-1]):
            kept.append(point)
    return kept
