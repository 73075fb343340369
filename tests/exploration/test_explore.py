"""The search: space, limits, front, resuming, and that what it finds is what its estimates said."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.data.datasets import load_dataset
from dsodenet.errors import InputError
from dsodenet.exploration.choice import choose, holds, settle
from dsodenet.exploration.confirmation import Confirmation, FullTraining, confirm
from dsodenet.exploration.explorer import explore
from dsodenet.exploration.findings import Search
from dsodenet.exploration.goal import Goal
from dsodenet.exploration.plan import BASE, Plan, Point
from dsodenet.exploration.sampling import front, search
from dsodenet.exploration.space import Space, build
from dsodenet.hls import best_plan
from dsodenet.reference import Reference
from dsodenet.rtl.cycles import of_spec
from dsodenet.spec.lanes import with_lanes
from dsodenet.spec.params import Params
from dsodenet.spec.specification import Spec
from dsodenet.training.options import Options
from tests.command_line import call, refused

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = ("--axis", "blocks=1", "--axis", "stem=space_to_depth_4", "--axis", "n_steps=1", "--axis", "method=euler")


def rtl(name: str) -> Spec:
    spec = Spec.named(name)
    return replace(spec, kernel=replace(spec.kernel, name="rtl"))


def plan(goal: Goal | None = None, **axes: str) -> Plan:
    spec = rtl("xs")
    return Plan(spec, Space.around(spec, axes), goal or Goal(), "digits", 0, 1)


def point(number: int, cycles: int, accuracy: float) -> Point:
    return Point(number, {}, {"cycles": cycles, "macs": 0}, "trained", accuracy, None)


def test_the_base_spec_is_in_its_own_space() -> None:
    spec = rtl("xs")
    choice = Space.around(spec).choice_of(spec)
    assert choice is not None
    assert build(spec, choice) == spec
    assert Space.around(spec, {"method": "rk4"}).choice_of(spec) is None


def test_the_engine_of_the_kernel_varies_and_only_what_fits() -> None:
    spec = rtl("xs")
    assert {"1x4x8", "1x32x64"} <= set(Space.around(spec).lanes)
    assert Space.around(spec).reuse_factor == (spec.kernel.reuse_factor,)
    hls = Space.around(replace(spec, kernel=replace(spec.kernel, name="hls")))
    assert hls.lanes == ("1x4x8",)
    assert len(hls.reuse_factor) > 1
    for lanes in Space.around(spec, {"channels": "8"}).lanes:
        of_spec(with_lanes(spec, lanes))
    assert Space.around(spec, {"lanes": "1x8x16"}).lanes == ("1x8x16",)


def test_usual_values_that_no_spec_can_have_are_left_out() -> None:
    space = Space.around(rtl("xs"), {"channels": "520", "lanes": "1x32x64", "stem": "space_to_depth_4", "n_steps": "1"})
    assert space.blocks == (1,)  # a second one would have 1,040 channels, and 1,024 are allowed
    space.check(rtl("xs"))


def test_front_keeps_what_no_other_beats() -> None:
    found = [
        point(0, 100, 0.9),
        point(1, 50, 0.8),
        point(2, 60, 0.7),
        point(3, 200, 0.9),
        point(4, 50, 0.75),
        point(5, 300, 0.95),
    ]
    assert [p.number for p in front(found, "cycles")] == [1, 0, 5]


@pytest.mark.parametrize(("least", "expected"), [(None, 0), (0.8, 1), (0.95, 5), (0.96, None)])
def test_choice_is_the_smallest_that_is_accurate_enough(least: float | None, expected: int | None) -> None:
    best = [point(1, 50, 0.8), point(0, 100, 0.9), point(5, 300, 0.95)]
    chosen = choose(best, Goal(min_accuracy=least), point(9, 120, 0.9))
    assert (None if chosen is None else chosen.number) == expected


def test_points_carry_the_estimates_of_their_spec_on_the_best_engine_within_the_limits(tmp_path: Path) -> None:
    goal = Goal(limits={"DSP": 0.10})
    found = search(plan(goal, lanes="1x4x8,1x8x16,1x32x64"), tmp_path, 12, progress=False)
    assert len(found) >= 12
    base = rtl("xs")
    assert build(base, found[0].choice) == base
    for p in found:
        assert p.figures["cycles"] == of_spec(build(base, p.choice)).cycles
        assert p.refused is None
    for p in found[1:]:
        allowed = [of_spec(build(base, p.choice | {"lanes": lanes})).cycles for lanes in ("1x4x8", "1x8x16")]
        assert p.figures["cycles"] == min(allowed)  # 1x32x64 has over a thousand of 1,728 DSPs
    assert {p.choice["lanes"] for p in found} <= {"1x4x8", "1x8x16"}


def test_a_point_says_which_limit_no_engine_keeps(tmp_path: Path) -> None:
    found = search(plan(Goal(limits={"DSP": 0.001}), lanes="1x4x8,1x32x64"), tmp_path, 4, progress=False)
    assert all("DSP" in (p.refused or "") for p in found)


def test_a_limit_that_no_engine_mends_is_the_one_that_is_named(tmp_path: Path) -> None:
    goal = Goal(limits={"DSP": 0.6, "macs": 1000})
    found = search(plan(goal, lanes="1x4x8,3x16x64"), tmp_path, 4, progress=False)
    assert all("macs" in (p.refused or "") for p in found)


def test_a_count_is_limited_by_a_number(tmp_path: Path) -> None:
    found = search(plan(Goal(limits={"cycles": 9000})), tmp_path, 12, progress=False)
    assert {p.refused is None for p in found} == {True, False}
    assert all((p.refused is None) == (p.figures["cycles"] <= 9000) for p in found)
    assert all(p.accuracy is None for p in found)  # nothing is trained


def test_a_search_goes_on_where_it_was_and_only_under_its_plan(tmp_path: Path) -> None:
    first = search(plan(), tmp_path, 4, progress=False)
    again = search(plan(), tmp_path, 4, progress=False)
    assert again == first
    more = search(plan(), tmp_path, 8, progress=False)
    assert more[: len(first)] == first
    assert len(more) >= 8
    with pytest.raises(InputError, match="another plan"):
        search(plan(Goal("macs")), tmp_path, 8, progress=False)


def test_trained_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("explore", "xs", *SMALL, "--trials", 2, "--epochs", 1, "--qat-epochs", 1, "--workers", 2)
    assert (
        call(*words, "--axis", "channels=4,8", "--out", tmp_path / "s", "--plot", tmp_path / "front.png", "--quiet")
        == 0
    )
    assert "trained" in capsys.readouterr().out
    result = json.loads((tmp_path / "s" / "front.json").read_text())
    trained = [p for p in result["points"] if p["label"] == "trained"]
    assert len(trained) >= 2
    assert all(0 <= p["accuracy"] <= 1 for p in trained)
    for number in result["front"]:
        spec = Spec.load(tmp_path / "s" / "specs" / f"{number}.json")
        assert of_spec(spec).cycles == next(p["figures"]["cycles"] for p in trained if p["number"] == number)
    assert (tmp_path / "front.png").stat().st_size > 1000


def test_the_base_is_a_point_of_its_own_and_its_network_another_on_a_better_engine(tmp_path: Path) -> None:
    axes = {"channels": "8", "blocks": "3", "stem": "conv3x3", "method": "euler", "n_steps": "4", "weight_bits": "8"}
    found = search(plan(**axes, lanes="1x4x8,1x8x16"), tmp_path, 1, progress=False)
    assert [(p.number, p.choice["lanes"]) for p in found] == [(BASE, "1x4x8"), (1, "1x8x16")]
    alone = search(plan(**axes, lanes="1x4x8"), tmp_path / "alone", 1, progress=False)
    assert [p.number for p in alone] == [BASE]


@pytest.fixture
def luck(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Trainings whose results are known: those of 4 channels are good once; (channels, seed) of each."""
    done: list[tuple[int, int]] = []

    def accuracy(plan: Plan, spec: Spec, place: Path, seed: int = 0) -> float:
        channels = spec.network.channels[0]
        done.append((channels, seed))
        return {4: 0.95 if seed == 0 else 0.5, 6: 0.9, 8: 0.9, 12: 0.2}[channels]

    monkeypatch.setattr("dsodenet.exploration.choice.trained_accuracy", accuracy)
    return done


def test_a_choice_is_final_when_it_holds_its_accuracy_over_the_seeds(
    tmp_path: Path, luck: list[tuple[int, int]]
) -> None:
    where = replace(plan(channels="4,6,8,12"), epochs=1)
    choice = Space.around(where.spec).choice_of(where.spec)
    assert choice is not None
    found = [
        Point(number, choice | {"channels": channels}, {"cycles": channels, "macs": 0}, "trained", accuracy, None)
        for number, (channels, accuracy) in enumerate(((8, 0.9), (4, 0.95), (6, 0.895), (12, 0.2)))
    ]
    chosen, tried = settle(where, found, found[0], tmp_path, 3, progress=False)
    assert chosen == found[0]  # 4 was lucky; 6 is within the slack, but in the mean just below the base
    assert tried == {0: [0.9, 0.9, 0.9], 1: [0.95, 0.5, 0.5], 2: [0.895, 0.9, 0.9]}
    assert luck == [(8, 1), (8, 2), (4, 1), (4, 2), (6, 1), (6, 2)]
    assert settle(where, found, found[0], tmp_path, 3, progress=False) == (chosen, tried)
    assert len(luck) == 6  # kept
    lower = replace(where, goal=Goal(min_accuracy=0.89))
    assert settle(lower, found, found[0], tmp_path, 3, progress=False)[0] == found[2]
    assert settle(replace(where, goal=Goal(min_accuracy=0.97)), found, found[0], tmp_path, 3, progress=False) == (
        None,
        {},
    )


def test_the_final_check_trains_each_seed_and_simulates_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one epoch for all of them."""
    monkeypatch.setattr("dsodenet.training.Options", partial(Options, epochs=1, qat_epochs=1))
    spec = build(rtl("xs"), {**Space.around(rtl("xs")).choice_of(rtl("xs")), "blocks": 1, "channels": 4, "n_steps": 1})
    found = confirm(spec, "digits", tmp_path, range(3, 5), progress=False)
    accuracies = []
    for seed, each in zip((3, 4), found.seeds):
        assert each.seed == seed
        data, reference = load_dataset("digits", spec.network), Reference(Params.load(tmp_path / f"seed-{seed}"))
        accuracies.append((reference.predict(data.test_images).argmax(axis=1) == data.test_labels).mean())
        assert round(each.simulated_cycles_per_image) == of_spec(spec).cycles
    assert found.test_accuracy == pytest.approx({"mean": np.mean(accuracies), "sd": np.std(accuracies, ddof=1)})


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ((0.9, 0.8, 0.95), (0.9, 0.8, 0.95), True),  # the same network
        ((0.97, 0.89, 0.91), (0.90, 0.90, 0.90), False),  # better in the mean, by less than chance
        ((0.95, 0.94, 0.96), (0.90, 0.90, 0.90), True),
        ((0.89, 0.89, 0.89), (0.90, 0.90, 0.90), False),
        ((0.9,), (0.9,), True),
        ((0.8,), (0.9,), False),
    ],
)
def test_an_accuracy_holds_when_it_is_enough_by_more_than_chance(own: Any, other: Any, expected: bool) -> None:
    assert holds(own, other) == expected


def test_without_training_the_front_is_over_multiply_accumulates(tmp_path: Path) -> None:
    result = explore(plan(), tmp_path, 10, progress=False)
    macs = [next(p.figures["macs"] for p in result.points if p.number == number) for number in result.front]
    assert macs == sorted(macs)
    assert result.chosen is None


def within(part: Any, whole: Any) -> bool:
    """Whether all that a JSON value has is in another one."""
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


def test_a_result_gives_the_json_that_is_kept_in_the_documents() -> None:
    data = json.loads((ROOT / "docs" / "results" / "front.json").read_text(encoding="utf-8"))
    of = data["plan"]  # the documents keep a part of it, of the points, and of the trainings
    unknown = dict.fromkeys(field.name for field in fields(FullTraining))
    spec = rtl(of["spec"]["name"])
    where = Plan(spec, Space.around(spec), Goal(**of["goal"]), of["data"], of["epochs"], of["qat_epochs"])
    final = {
        name: Confirmation(**each | {"seeds": tuple(FullTraining(**unknown | one) for one in each["seeds"])})
        for name, each in data["final"].items()
    }
    found = Search(
        where,
        tuple(Point(**each) for each in data["points"]),
        tuple(data["front"]),
        data["base"],
        data["chosen"],
        {tried["number"]: tried["accuracy"] for tried in data["tried"]},
        final,
    )
    again = json.loads(json.dumps(found.to_dict()))
    assert again.keys() == data.keys()
    assert again["counts"].keys() == data["counts"].keys()
    # the space has grown since that search
    assert again["specs_in_space"] >= data["specs_in_space"]
    assert within(data | {"counts": found.counts(), "specs_in_space": again["specs_in_space"]}, again)
    text = str(found)
    assert text.count(" trained") >= len(found.shown) - 2
    assert "Chosen against base: " in text
    assert f"{len(found.points)} points of {again['specs_in_space']:,} around" in text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--objective", "speed"), "speed"),
        (("--limit", "DSP=2"), "DSP=2"),
        (("--limit", "GPU=0.5"), "GPU"),
        (("--limit", "cycles=0.5"), "cycles=0.5"),
        (("--limit", "cycles=inf"), "cycles=inf"),
        (("--limit", "DSP=nan"), "DSP=nan"),
        (("--limit", "DSP"), "DSP"),
        (("--axis", "depth=3"), "depth"),
        (("--axis", "n_steps=many"), "many"),
        (("--axis", "method=magic"), "magic"),
        (("--axis", "lanes=4"), "lanes"),
        (("--trials", "0"), "trials"),
        (("--workers", "0"), "workers"),
        (("--final-seeds", "0"), "final_seeds"),
        (("--accuracy", "97"), "97"),
        (("--data", "nothing"), "nothing"),
        (("--plot", "picture.jpg"), "picture.jpg"),
    ],
)
def test_bad_words_are_refused_before_any_work(
    words: tuple[str, str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert named in refused(capsys, "explore", "xs", "--out", tmp_path / "s", *words)
    assert not (tmp_path / "s").exists()


def test_hls_model_trades_multipliers_for_cycles() -> None:
    spec = Spec.named("xs")
    before = None
    for reuse in (2, 4, 8):
        now = replace(spec, kernel=replace(spec.kernel, reuse_factor=reuse))
        dsp, cycles = best_plan(now).resources.DSP, best_plan(now).cycles
        if before is not None:
            assert dsp < before[0]
            assert cycles > before[1]
        before = (dsp, cycles)
