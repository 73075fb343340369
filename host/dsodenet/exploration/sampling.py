"""The search: optuna proposes a choice, its estimates are checked against the limits, and only then is it trained for a few epochs.

A search is a folder with a journal: several processes work on it at once, and a search that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from dsodenet.errors import InputError, RunError
from dsodenet.exploration.goal import figures
from dsodenet.exploration.plan import BASE, Plan, Point
from dsodenet.exploration.space import network_of
from dsodenet.exploration.trial import ERROR_FILE, WORK, finished, quiet, work

JOURNAL, JOURNAL_LOCK, LOCK, STUDY = "journal.log", "journal.log.lock", "lock", "search"
POLL_S = 0.5


def search(plan: Plan, folder: Path, trials: int, workers: int = 1, progress: bool = True) -> list[Point]:
    """Make the search in `folder` have at least `trials` finished trials; returns all of its points.

    InputError where the space has a value that no spec can have, before anything is written.
    """
    import optuna
    from tqdm import tqdm

    plan.space.check(plan.spec)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder), quiet():
        _tidied(folder)
        study = open_study(plan, folder)
        _check_plan(plan, study, folder)
        for trial in study.get_trials(
            deepcopy=False, states=[optuna.trial.TrialState.RUNNING]
        ):  # of a search that was stopped
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        base = plan.space.choice_of(plan.spec)
        if not study.trials and base is not None:
            study.enqueue_trial(network_of(base))
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=work, args=(plan, folder, trials, n, open_study), daemon=True)
            for n in range(workers)
        ]
        try:
            with ended_by_sigterm():
                for process in processes:
                    process.start()
                with tqdm(total=trials, desc="explore", unit="trial", disable=None if progress else True) as bar:
                    while any(process.is_alive() for process in processes):
                        time.sleep(POLL_S)
                        bar.update(min(trials, len(finished(study))) - bar.n)
        finally:
            for process in processes:
                if process.pid is not None:
                    process.terminate()
                    process.join()
            shutil.rmtree(folder / WORK, ignore_errors=True)
        if failed := [process.exitcode for process in processes if process.exitcode]:
            why = folder / ERROR_FILE
            said = f"{why} says why" if why.exists() else "it was killed, perhaps for want of memory"
            raise RunError(f"{folder}: a worker of the search ended with status {failed[0]}; {said}")
        return points(study, plan)


def points(study: Any, plan: Plan) -> list[Point]:
    """The spec that the search started from, as soon as its network has been tried, and the points of a study."""
    result: list[Point] = []
    base, trials = plan.space.choice_of(plan.spec), finished(study)

    def add(
        number: int, choice: dict[str, Any], found: dict[str, Any], accuracy: float | None, refused: str | None
    ) -> None:
        result.append(Point(number, choice, found, "estimated" if accuracy is None else "trained", accuracy, refused))

    same = [
        trial.user_attrs
        for trial in trials
        if base is not None and network_of(trial.user_attrs["choice"]) == network_of(base)
    ]
    if base is not None and same:
        own = figures(plan.spec)
        add(BASE, base, own, same[0].get("accuracy"), next(iter(plan.goal.exceeded(own)), None))
    for trial in trials:
        attrs = trial.user_attrs
        if attrs["choice"] != base:
            add(trial.number + 1, attrs["choice"], attrs["figures"], attrs.get("accuracy"), attrs.get("refused"))
    return result


def front(found: list[Point], objective: str) -> list[Point]:
    """The points that no other one beats: at least as accurate (or, untrained, with as many multiply-accumulates), and smaller.

    A point over a limit is none of them."""
    allowed = [point for point in found if point.refused is None]
    trained = [point for point in allowed if point.label == "trained"]
    kept: list[Point] = []

    def worth(point: Point) -> float:
        return float(point.figures["macs"]) if point.accuracy is None else point.accuracy

    for point in sorted(trained or allowed, key=lambda point: (point.figures[objective], -worth(point))):
        if not kept or worth(point) > worth(kept[-1]):
            kept.append(point)
    return kept


def open_study(plan: Plan, folder: Path, seed: int | None = None) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        directions: list[Any] = ["minimize", "maximize"]
        sampler = optuna.samplers.NSGAIISampler(population_size=16, seed=plan.seed if seed is None else seed)
        return optuna.create_study(
            storage=storage, study_name=STUDY, directions=directions, sampler=sampler, load_if_exists=True
        )
    except (ValueError, KeyError, TypeError, AssertionError) as error:  # ValueError: also what is no JSON
        raise RunError(f"{folder / JOURNAL}: not the journal of a search ({type(error).__name__}: {error})") from None


def _check_plan(plan: Plan, study: Any, folder: Path) -> None:
    before = study.user_attrs.get("plan")
    if before is None:
        study.set_user_attr("plan", plan.makes_same_points())
    elif before != plan.makes_same_points():
        raise InputError(
            f"{folder} holds a search with another plan{_difference(before, plan)}; give another folder, or the spec and options "
            "of that one"
        )


def _difference(before: str, plan: Plan) -> str:
    """The first part of the plan that differs, in words."""
    was, now = json.loads(before), json.loads(plan.makes_same_points())
    key = next((key for key in now if was.get(key) != now[key]), None)
    if key is None:
        return ""
    return f" ({key} {was[key]} instead of {now[key]})" if isinstance(now[key], (str, int)) else f" ({key} differs)"


def _tidied(folder: Path) -> None:
    """What a search that was killed left: a line of the journal cut short, its lock, and the work of its trials."""
    (folder / ERROR_FILE).unlink(missing_ok=True)
    (folder / JOURNAL_LOCK).unlink(missing_ok=True)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    journal = folder / JOURNAL
    if journal.exists() and not journal.is_file():
        raise RunError(f"{journal}: not the journal of a search (it is no file)")
    if journal.exists():
        content = journal.read_bytes()
        if not content.startswith(b'{"op_code":') and b"\n" in content:
            raise RunError(f"{journal}: not the journal of a search")
        if content and not content.endswith(b"\n"):
            os.truncate(journal, content.rfind(b"\n") + 1)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the workers as well; it is an exception in here, where this is the main thread."""

    def end(*_: Any) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import fcntl

    with open(folder / LOCK, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: another search runs there; give another folder, or wait") from None
        yield
