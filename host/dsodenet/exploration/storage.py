"""The database of a search: optuna's own tables, in the folder of the search or where several machines reach them."""

from __future__ import annotations

import json
import logging
import platform
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsodenet.errors import InputError, RunError
from dsodenet.exploration.plan import Outcome, Plan
from dsodenet.exploration.space import build, network_of
from dsodenet.outside import guard

if TYPE_CHECKING:
    from optuna import Study, Trial

DATABASE, STUDY = "search.db", "dsodenet"
PLAN, OUTCOME, OWNER = "plan", "outcome", "owner"  # names of what is kept of a study, and of its trials
WAIT_S = 60.0  # for a database that another process writes to
DIRECTIONS: list[Any] = ["minimize", "maximize"]  # the objective, and accuracy or multiply-accumulates
OPENINGS, PAUSE_S = 5, 0.5  # two processes that make the tables of one database at once: one of them has to come again


def place_of(folder: Path, url: str | None) -> str:
    """The database in words, without a password."""
    if url is None:
        return str(folder / DATABASE)
    import sqlalchemy

    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise InputError("storage is no URL of a database, such as postgresql://user@host/search") from None


def open_study(plan: Plan, folder: Path, url: str | None = None) -> Study:
    """The study of a search, new or as it was left. InputError for a damaged database, or one of another plan.

    url: the database that several machines share; without it, it is a file in `folder`. The sampler starts from the
    plan's seed. It goes on from another seed in a search that is resumed, or its first proposals would come again;
    machines that share a search have no seed in common.
    """
    import optuna

    place = place_of(folder, url)
    with guard(place, "the database of a search"):
        study = _opened(folder, url)
        _check_plan(plan, study, place)
        _check_content(plan, study)
        seed = None if url else plan.seed + len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.NSGAIISampler(population_size=16, seed=seed)
    return study


def _opened(folder: Path, url: str | None) -> Study:
    import optuna
    import sqlalchemy

    engine: dict[str, Any]
    if url is None:
        path = folder / DATABASE
        with closing(sqlite3.connect(path)) as database:
            if (found := database.execute("PRAGMA quick_check").fetchone()) != ("ok",):
                raise sqlite3.DatabaseError(*found)
        engine = {"creator": partial(sqlite3.connect, path, WAIT_S, check_same_thread=False)}  # any path, unquoted
    else:
        engine = {"connect_args": {"timeout": WAIT_S}} if url.startswith("sqlite") else {}
    for left in reversed(range(OPENINGS if url else 1)):
        try:
            storage = optuna.storages.RDBStorage(url or f"sqlite:///{DATABASE}", engine)
            return optuna.create_study(storage=storage, study_name=STUDY, directions=DIRECTIONS, load_if_exists=True)
        except (sqlalchemy.exc.DBAPIError, optuna.exceptions.StorageInternalError):
            if not left:
                raise
            time.sleep(PAUSE_S)
    raise AssertionError("unreachable")


def _check_plan(plan: Plan, study: Study, place: str) -> None:
    own = plan.makes_same_points()
    if PLAN not in study.user_attrs:
        study.set_user_attr(PLAN, own)
    before = study.user_attrs[PLAN]
    if before != own:
        was, now = json.loads(before), json.loads(own)
        key = next(key for key in now if was.get(key) != now[key])
        said = f"{was.get(key)} instead of {now[key]}" if isinstance(now[key], (str, int)) else "differs"
        raise InputError(
            f"{place} holds a search with another plan ({key} {said}); "
            "give another folder or storage, or the spec and options of that one"
        )


def _check_content(plan: Plan, study: Study) -> None:
    """Let a study that was edited fail here, in whatever way, and not in the middle of a search."""
    from optuna.trial import TrialState

    if (found := [direction.name.lower() for direction in study.directions]) != DIRECTIONS:
        raise ValueError(f"directions {found}")
    for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        if len(trial.values) != len(DIRECTIONS):
            raise ValueError(f"values {trial.values}")
    for _, outcome in outcomes(study):
        build(plan.spec, outcome.choice)
        plan.goal.exceeded(outcome.figures)
        float(outcome.figures[plan.goal.objective])
        if outcome.accuracy is not None and not 0 <= outcome.accuracy <= 1:
            raise ValueError(f"accuracy {outcome.accuracy}")


def outcomes(study: Study) -> list[tuple[int, Outcome]]:
    """(number of the trial, outcome) of all trials that came to an end of their own, those over a limit too."""
    from optuna.trial import TrialState

    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [(trial.number, Outcome(**trial.user_attrs[OUTCOME])) for trial in ended if OUTCOME in trial.user_attrs]


def ask(plan: Plan, study: Study, folder: Path) -> Trial:
    """A new trial; its params are a network of the space."""
    from optuna.distributions import CategoricalDistribution

    axes = plan.space.network_axes()
    trial = study.ask({axis: CategoricalDistribution(choices) for axis, choices in axes.items()})
    trial.set_user_attr(OWNER, _owner(folder))
    return trial


def tell(plan: Plan, study: Study, trial: Trial, outcome: Outcome | None) -> None:
    """Record what a trial found. The sampler derives nothing from a network that breaks a limit or fits no engine."""
    from optuna.trial import TrialState

    if outcome is not None:
        trial.set_user_attr(OUTCOME, asdict(outcome))
    if outcome is None or outcome.refused is not None:
        study.tell(trial, state=TrialState.PRUNED)
        return
    worth = float(outcome.figures["macs"]) if outcome.accuracy is None else outcome.accuracy
    study.tell(trial, (float(outcome.figures[plan.goal.objective]), worth))


def queue(plan: Plan, study: Study, folder: Path, shared: bool) -> None:
    """Let the trials come first that an earlier process left unfinished, and the base where no trial is of it.

    optuna's own heartbeat for this works with `optimize` alone, not with ask and tell. A search in a folder has one
    process at a time, so that what is unfinished there was left; of a shared one, only the own trials are known to be.
    """
    from optuna.trial import TrialState

    networks = []
    for trial in study.get_trials(deepcopy=False):
        network = trial.system_attrs.get("fixed_params", trial.params)
        if trial.state == TrialState.RUNNING and (not shared or trial.user_attrs.get(OWNER) == _owner(folder)):
            study.enqueue_trial(network)
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state != TrialState.FAIL:
            networks.append(network)
    base = plan.space.choice_of(plan.spec)
    if base is not None and network_of(base) not in networks:
        study.enqueue_trial(network_of(base))


def _owner(folder: Path) -> str:
    return f"{platform.node()}:{folder.resolve()}"


@contextmanager
def in_use(place: str) -> Iterator[None]:
    """Around work with a study: RunError in words when its database fails. optuna's own log is silent."""
    import optuna
    import sqlalchemy

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise RunError(f"{place}: the database of the search fails ({error.__cause__ or error})") from None
    finally:
        optuna.logging.set_verbosity(before)
