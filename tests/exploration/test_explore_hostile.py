"""A search ends, refuses what cannot be, leaves no process behind, and goes on after it was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dsodenet.errors import InputError, RunError
from dsodenet.exploration.choice import choose, settle
from dsodenet.exploration.explorer import explore
from dsodenet.exploration.goal import Goal, figures
from dsodenet.exploration.plan import Plan, Point
from dsodenet.exploration.sampling import front, search
from dsodenet.exploration.space import Space
from dsodenet.exploration.trial import WORK, trained_accuracy
from dsodenet.spec.specification import Spec
from tests.command_line import call, refused

pytestmark = pytest.mark.slow

HOST = Path(__file__).parents[2] / "host"
SMALL = ("--axis", "blocks=1", "--axis", "stem=space_to_depth_4", "--axis", "n_steps=1", "--axis", "method=euler")


def small(channels: int = 8) -> Spec:
    """The spec that is in the space of SMALL."""
    data = Spec.named("xs").to_dict()
    data["network"] |= {"channels": [channels], "stem": "space_to_depth_4"}
    return Spec.from_dict(json.loads(json.dumps(data | {"solver": data["solver"] | {"n_steps": [1]}})))


def plan(epochs: int = 0, goal: Goal | None = None, **axes: str) -> Plan:
    usual = {"blocks": "1", "stem": "space_to_depth_4", "n_steps": "1", "method": "euler"}
    return Plan(small(), Space.around(small(), usual | axes), goal or Goal(), "digits", epochs, 1)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--axis", "channels=8,4096"), "axis channels has 4096, but .*1 to 1024"),
        (("--axis", "channels=0"), "axis channels has 0, but"),
        (("--axis", "channels=" + "9" * 5000), "axis channels is"),
        (("--axis", "blocks=4"), "axis blocks has 4, but .*1 to 3"),
        (("--axis", "n_steps=65"), "axis n_steps has 65, but .*1 to 64"),
        (("--axis", "weight_bits=9"), "axis weight_bits has 9, but .*2 to 8"),
        (("--axis", "lanes=1x4x8,999x1x1"), "axis lanes has '999x1x1', but .*pixel_lanes is 999"),
        (("--axis", "lanes=0x4x8"), "axis lanes has '0x4x8', but .*pixel_lanes is 0"),
        (("--axis", "reuse_factor=0"), "axis reuse_factor has 0, but"),
        (("--axis", "blocks=4", "--axis", "n_steps=65"), "axis blocks has 4, but .*1 to 3"),
        (("--axis", "blocks=3", "--axis", "n_steps=65,66"), "axis n_steps has 65, but .*1 to 64"),
        (("--axis", "method=rk4", "--final"), "--accuracy"),
        (("--epochs", "0", "--final"), "epochs 0"),
        (("--out", "file"), "file"),
        (("--out", "file/in"), "file"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    words: tuple[str, ...],
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    out = () if "--out" in words else ("--out", "s")
    assert re.search(named, refused(capsys, "explore", "xs", "--trials", "3", *out, *words))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_spec_that_stays_float_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = Spec.named("xs").to_dict()
    data["network"]["norm"] = "layer"
    (tmp_path / "s.json").write_text(json.dumps(data))
    assert "layer" in refused(capsys, "explore", tmp_path / "s.json", "--out", tmp_path / "s")


def test_blocks_that_the_image_has_no_room_for_are_not_proposed() -> None:
    assert Space.around(small()).blocks == (1, 2)
    Space.around(small()).check(small())


def test_a_search_in_which_nothing_keeps_the_limits_ends_and_says_so(tmp_path: Path) -> None:
    result = explore(plan(goal=Goal(limits={"cycles": 10})), tmp_path, 4, progress=False)
    assert result.front == ()
    assert result.chosen is None
    assert "every point is over a limit" in str(result)


def test_a_base_over_its_limits_is_a_reference_and_never_chosen(tmp_path: Path) -> None:
    goal = Goal(limits={"parameters": figures(small())["parameters"] - 1}, min_accuracy=0.0)
    result = explore(plan(1, goal, channels="4,8", weight_bits="8"), tmp_path, 8, progress=False)
    base = next(p for p in result.points if p.number == result.base)
    assert base.refused is not None
    assert base.label == "trained"
    assert result.base not in result.front
    assert result.chosen in result.front
    assert "base, over a limit" in str(result)
    assert not (tmp_path / WORK).exists()


def test_a_point_over_a_limit_is_never_on_the_front() -> None:
    over = Point(0, {}, {"cycles": 1, "macs": 0}, "trained", 1.0, "9 cycles of 1")
    kept = Point(1, {}, {"cycles": 5, "macs": 0}, "estimated", None, None)
    assert front([over, kept], "cycles") == [kept]
    assert front([over], "cycles") == []


def test_nothing_is_chosen_where_nothing_says_what_is_enough() -> None:
    best = [Point(1, {}, {"cycles": 5, "macs": 0}, "trained", 0.1, None)]
    assert choose(best, Goal(), None) is None
    assert choose(best, Goal(min_accuracy=0.1), None) == best[0]


def test_another_plan_is_named(tmp_path: Path) -> None:
    search(plan(), tmp_path, 1, progress=False)
    with pytest.raises(InputError, match=r"another plan \(space differs\)"):
        search(plan(channels="4,8"), tmp_path, 1, progress=False)


def test_several_processes_train_as_one_does_and_are_gone(tmp_path: Path) -> None:
    where = plan(1)
    choice = where.space.choice_of(where.spec)
    assert choice is not None
    base = Point(0, choice, figures(where.spec), "trained", 0.5, None)
    chosen, tried = settle(where, [base], base, tmp_path, 3, workers=2, progress=False)
    assert chosen == base
    assert tried == {0: [0.5, *(trained_accuracy(where, where.spec, tmp_path / WORK, seed) for seed in (1, 2))]}
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_killed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsodenet.exploration.choice.trained_accuracy", killed)
    where = plan(1)
    choice = where.space.choice_of(where.spec)
    assert choice is not None
    base = Point(0, choice, figures(where.spec), "trained", 0.5, None)
    with pytest.raises(RunError, match="a worker was killed"):
        settle(where, [base], base, tmp_path, 3, workers=2, progress=False)
    assert multiprocessing.active_children() == []


def killed(*_: Any) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0


def processes_of(folder: Path) -> list[int]:
    """Every process with the folder in its environment: the search and its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"SEARCH_OF_TEST={folder}".encode() in environment and state != "Z":
            found.append(int(path.name))
    return found


def default_interrupt() -> None:
    """A shell's background job ignores SIGINT, and so would these tests in one, and the search that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_search_leaves_no_process_and_goes_on(end: signal.Signals, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "s"
    (tmp_path / "small.json").write_text(small().to_json())
    words = [
        "explore",
        str(tmp_path / "small.json"),
        *SMALL,
        "--axis",
        "channels=4,8",
        "--epochs",
        "1",
        "--qat-epochs",
        "1",
    ]
    words += ["--out", str(out), "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(HOST), "SEARCH_OF_TEST": str(tmp_path)}
    command = [sys.executable, "-m", "dsodenet", *words, "--trials", "400", "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment, text=True, preexec_fn=default_interrupt, **pipes)
    try:
        limit = time.monotonic() + 60
        while not (out / WORK).exists() and time.monotonic() < limit:
            time.sleep(0.05)
        assert len(processes_of(tmp_path)) >= 3
        process.send_signal(end)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[end]
    assert "Traceback" not in told
    while processes_of(tmp_path) and time.monotonic() < limit:
        time.sleep(0.05)
    assert processes_of(tmp_path) == []
    if end != signal.SIGKILL:
        return
    assert call(*words, "--trials", "3") == 0
    assert len(json.loads((out / "front.json").read_text())["points"]) >= 3
    assert not (out / WORK).exists()
