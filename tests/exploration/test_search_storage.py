"""The database of a search: damage is refused, what was left is done again, and several machines share one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from dsodenet.errors import InputError, RunError
from dsodenet.exploration.explorer import explore
from dsodenet.exploration.plan import BASE, Plan
from dsodenet.exploration.sampling import search
from dsodenet.exploration.space import network_of
from dsodenet.exploration.storage import DATABASE, OWNER, STUDY, ask, open_study, outcomes
from dsodenet.files import only_one
from tests.command_line import call, refused
from tests.exploration.test_explore_hostile import HOST, SMALL, plan, small

PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
RUNNING, FAIL = optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.FAIL


def networks(study: optuna.Study) -> list[dict[str, Any]]:
    return [network_of(outcome.choice) for _, outcome in outcomes(study)]


@pytest.mark.parametrize("content", [b"hello\n", b"{}\n", b"SQLite format 3\0" + bytes(500), b"\xff" * 5000])
def test_what_is_no_database_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(content)
    with pytest.raises(InputError, match=r"search\.db: not the database of a search"):
        search(plan(), tmp_path, 3, progress=False)
    assert (tmp_path / DATABASE).read_bytes() == content


def test_a_folder_in_the_place_of_the_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(InputError, match="not the database of a search"):
        search(plan(), tmp_path, 3, progress=False)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_database_that_was_cut_is_refused(kept: float, tmp_path: Path) -> None:
    search(plan(), tmp_path, 3, progress=False)
    content = (tmp_path / DATABASE).read_bytes()
    (tmp_path / DATABASE).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match="not the database of a search"):
        search(plan(), tmp_path, 3, progress=False)


@pytest.mark.parametrize(
    "edit",
    [
        "update trial_user_attributes set value_json = '[1]' where key = 'outcome'",
        "update trial_user_attributes set value_json = '{' where key = 'outcome'",
        "update trial_user_attributes set value_json = '{}' where key = 'outcome'",
        "update trial_user_attributes set value_json = replace(value_json, 'channels', 'canals')",
        "update trial_user_attributes set value_json = replace(value_json, '\"DSP\"', '\"PSD\"')",
        "update trial_user_attributes set value_json = replace(value_json, '\"accuracy\": null', '\"accuracy\": 9')",
        "update trial_params set distribution_json = 'none'",
        "update study_user_attributes set value_json = '[2]' where key = 'plan'",
        "update study_user_attributes set value_json = '\"none\"' where key = 'plan'",
        "update study_directions set direction = 'MAXIMIZE' where objective = 0",
        "delete from study_directions",
        "update alembic_version set version_num = 'v9.9.9'",
        "drop table trial_values",
    ],
)
def test_a_database_that_was_edited_is_refused(edit: str, tmp_path: Path) -> None:
    search(plan(), tmp_path, 3, progress=False)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        assert database.execute(edit).rowcount  # so many rows, -1 for a table
        database.commit()
    with pytest.raises(
        InputError, match=r"search\.db(: not the database of a search| holds a search with another plan)"
    ):
        search(plan(), tmp_path, 5, progress=False)


@pytest.mark.parametrize("name", ["a b", "100%25", "what?mode=memory", "{SCHEMA_VERSION}", "#1", "ü"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    found = search(plan(), tmp_path / name, 2, progress=False)
    assert (tmp_path / name / DATABASE).stat().st_size > 0
    assert search(plan(), tmp_path / name, 2, progress=False) == found


def test_a_trial_that_was_left_is_done_again_and_the_base_first(tmp_path: Path) -> None:
    left = search_left(plan(), tmp_path, 2)
    base = plan().space.choice_of(plan().spec)
    assert base is not None
    assert left[0] == network_of(base)
    search(plan(), tmp_path, 2, progress=False)
    study = open_study(plan(), tmp_path)
    assert networks(study) == left
    assert [trial.state for trial in study.trials[:2]] == [FAIL, FAIL]


def search_left(where: Plan, folder: Path, count: int, storage: str | None = None) -> list[dict[str, Any]]:
    """Networks that were asked for by a process that is no more."""
    study = open_study(where, folder, storage)
    base = where.space.choice_of(where.spec)
    assert base is not None
    study.enqueue_trial(network_of(base))
    return [ask(where, study, folder).params for _ in range(count)]


def test_a_search_that_goes_on_makes_other_proposals(tmp_path: Path) -> None:
    where = plan(channels="4,6,8,12,16", n_steps="1,2,3,4,6,8", method="euler,rk4")
    search(where, tmp_path, 4, progress=False)
    search(where, tmp_path, 7, progress=False)
    tried = networks(open_study(where, tmp_path))
    assert tried[1:4] != tried[4:7]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_raises_fails_and_the_search_can_go_on(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("dsodenet.exploration.sampling.run_trial", raising)
        with pytest.raises(ZeroDivisionError):
            search(plan(), tmp_path, 3, workers, progress=False)
    states = [trial.state for trial in open_study(plan(), tmp_path).trials]
    assert states.count(FAIL) == 1  # of two workers' trials, the first that ended
    assert search(plan(), tmp_path, 3, progress=False)[0].number == BASE  # though its trial was one that raised
    assert len(outcomes(open_study(plan(), tmp_path))) == 3


def raising(*_: Any) -> None:
    raise ZeroDivisionError


def test_a_killed_worker_is_said_and_its_trial_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("dsodenet.exploration.sampling.run_trial", killed)
        with pytest.raises(RunError, match="a worker was killed"):
            search(plan(), tmp_path, 3, 2, progress=False)
    trials = open_study(plan(), tmp_path).trials
    assert {trial.state for trial in trials} == {RUNNING}
    left = [trial.params for trial in trials]
    search(plan(), tmp_path, len(left), progress=False)
    assert networks(open_study(plan(), tmp_path)) == left


def killed(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_database_that_fails_in_the_middle_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsodenet.exploration import sampling

    def spoilt(*words: Any) -> Any:
        with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
            database.execute("drop table trial_user_attributes")
        return run_trial(*words)

    run_trial = sampling.run_trial
    monkeypatch.setattr("dsodenet.exploration.sampling.run_trial", spoilt)
    with pytest.raises(RunError, match=r"the database of the search fails .*trial_user_attributes"):
        search(plan(), tmp_path, 3, progress=False)


def test_one_folder_has_one_search_at_a_time(tmp_path: Path) -> None:
    with only_one(tmp_path, "search"), pytest.raises(RunError, match="another search is running here"):
        explore(plan(), tmp_path, 3, progress=False)


def test_machines_share_one_search(tmp_path: Path) -> None:
    """Two processes start at once and both make the tables; a third goes on later."""
    (tmp_path / "small.json").write_text(small().to_json())
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    words = ["explore", tmp_path / "small.json", *SMALL, "--axis", "channels=4,6,8,12,16", "--epochs", "0", "--quiet"]
    words += ["--json", "--storage", storage]
    command = [sys.executable, "-m", "dsodenet", *map(str, words), "--trials", "60"]
    environment = os.environ | {"PYTHONPATH": str(HOST)}
    processes = [
        subprocess.Popen([*command, "--out", str(tmp_path / name)], env=environment, text=True, **PIPES)
        for name in "ab"
    ]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    fewer, more = sorted(({p["number"]: p for p in json.loads(out)["points"]} for out, _ in told), key=len)
    assert len(fewer) >= 60
    assert fewer == {number: more[number] for number in fewer}  # what one found, the other has too
    assert call(*words, "--trials", len(more) + 5, "--out", tmp_path / "c") == 0
    all_of_them = {p["number"]: p for p in json.loads((tmp_path / "c" / "front.json").read_text())["points"]}
    assert len(all_of_them) >= len(more) + 5
    assert more == {number: all_of_them[number] for number in more}
    trials = optuna.load_study(study_name=STUDY, storage=storage).trials
    assert len({trial.user_attrs[OWNER] for trial in trials}) >= 2
    assert not (tmp_path / "a" / DATABASE).exists()


def test_only_the_own_trials_of_a_shared_search_are_known_to_be_left(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    own = search_left(plan(), tmp_path / "a", 1, storage)
    others = search_left(plan(), tmp_path / "b", 1, storage)
    search(plan(), tmp_path / "a", 1, progress=False, storage=storage)
    study = open_study(plan(), tmp_path / "a", storage)
    assert networks(study) == own
    assert [trial.params for trial in study.trials if trial.state == RUNNING] == others


def test_another_plan_on_a_shared_database_is_named(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    search(plan(), tmp_path / "a", 1, progress=False, storage=storage)
    with pytest.raises(InputError, match=r"shared\.db holds a search with another plan \(qat_epochs 1 instead of 2\)"):
        search(
            Plan(small(), plan().space, plan().goal, "digits", 0, 2),
            tmp_path / "b",
            1,
            progress=False,
            storage=storage,
        )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing", "no URL of a database"),
        ("", "no URL of a database"),
        ("magic://user:secret@host/search", "not the database of a search"),
        ("sqlite:////nowhere/at/all.db", "not the database of a search"),
        ("postgresql://user:secret@host/search", "not the database of a search"),
    ],
)
def test_a_storage_that_cannot_be_is_refused_without_its_password(
    url: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("explore", "xs", "--epochs", "0", "--trials", "3", "--out", tmp_path / "s", "--storage", url)
    message = refused(capsys, *words)
    assert said in message
    assert "secret" not in message
    assert not (tmp_path / "s").exists()


def test_a_pool_of_one_does_what_is_mapped_when_it_is_wanted(tmp_path: Path) -> None:
    from dsodenet.exploration.pool import worker_pool

    done: list[int] = []
    with worker_pool(1, tmp_path) as pool:
        results = pool.map(done.append, range(3))
        next(results)
        assert done == [0]
        future: Future[float] = pool.submit(raising)
    assert isinstance(future.exception(), ZeroDivisionError)
