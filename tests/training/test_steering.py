"""How training is steered: schedules, time, held-back images, a start from another run, few labels, augmentation."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from dsodenet.errors import InputError
from dsodenet.training import Options, load_float_model, train
from dsodenet.training.augment import random_light, random_turn
from dsodenet.training.options import PRESETS
from dsodenet.training.schedule import Forecast, Pace, limits, minutes, one_cycle
from tests.training.train_worker import task


def test_the_schedule_is_torchs_one_cycle() -> None:
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], 0.3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.3, total_steps=1001, final_div_factor=1e4)
    for step in range(1000):
        rate, momentum = one_cycle(step / 1000)
        group = optimiser.param_groups[0]
        # torch counts the rise's end from step 299.3
        assert 0.3 * rate == pytest.approx(group["lr"], abs=2e-3), step
        assert momentum == pytest.approx(group["betas"][0], abs=1e-3), step
        optimiser.step()
        schedule.step()


def test_progress_is_of_steps_or_of_time_where_that_is_sooner_over() -> None:
    assert Pace(10).progress(5) == 0.5
    late = Pace(10, limit=100.0, spent=70.0)
    assert late.progress(5) == pytest.approx(0.7, abs=0.01)
    assert Pace(10, limit=1.0, spent=2.0).progress(0) == 1.0


def test_each_stage_gets_its_share_of_the_time_that_is_left() -> None:
    assert limits([3.0, 1.0], [], 2.0) == 90.0
    assert limits([3.0, 1.0], [100.0], 2.0) == 20.0
    assert limits([3.0, 1.0], [500.0], 2.0) == 0.0
    assert limits([3.0, 1.0], [], 0.0) == float("inf")


def test_the_whole_is_forecast_from_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("dsodenet.training.schedule.time.perf_counter", lambda: now)
    forecast, found = Forecast(100, [2.0, 3.0]), {}
    for step in range(1, 101):
        now += 50.0 if step == 1 else 1.0  # the first one also sets up
        found[step] = forecast.after(step)
    assert found.pop(20) == pytest.approx(250.0)
    assert set(found.values()) == {None}
    assert Forecast(2, [1.0]).after(2) is None
    assert (minutes(40), minutes(720), minutes(12_600)) == ("40 s", "12 min", "3.5 h")


def test_training_ends_in_time(tmp_path: Path) -> None:
    spec, data, _, options = task(100_000)
    result = train(spec, data, tmp_path, replace(options, minutes=0.05))
    epochs = {name: len(stage["loss"]) for name, stage in result["stages"].items()}
    assert 1 <= epochs["float"] < 100_000
    assert result["stages"]["float"]["seconds"] < 4
    with open(tmp_path / "metrics.csv", encoding="utf-8") as file:
        last = [row for row in csv.DictReader(file) if row["stage"] == "float"][-1]
    assert float(last["learning_rate"]) < options.learning_rate / 4  # the schedule ended, too


def test_the_best_epoch_on_held_back_images_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsodenet.training import loop

    spec, data, _, options = task(4)
    seen: list[dict[str, torch.Tensor]] = []
    shares = iter((0.5, 0.75, 0.75, 0.25, 0.1, 0.2))

    def judged(student: torch.nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
        assert len(images) == len(labels) == 16
        seen.append({name: value.clone() for name, value in student.state_dict().items()})
        return next(shares)

    monkeypatch.setattr(loop, "accuracy", judged)
    result = train(spec, data, tmp_path, replace(options, validation=0.25))
    assert result["stages"]["float"]["validation"] == [0.5, 0.75, 0.75, 0.25]
    kept = load_float_model(tmp_path)[0].state_dict()
    assert all(torch.equal(kept[name], seen[2][name]) for name in kept)


def test_a_run_is_only_quantised_or_trained_on(tmp_path: Path) -> None:
    spec, data, _, options = task(2)
    first = train(spec, data, tmp_path / "first", options)
    again = train(spec, data, tmp_path / "again", replace(options, epochs=0, qat_epochs=0), start=tmp_path / "first")
    before, after = (load_float_model(tmp_path / name)[0].state_dict() for name in ("first", "again"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again["float_accuracy"] == first["float_accuracy"]
    assert again["qat_accuracy"] is not None
    with pytest.raises(InputError, match="epochs is 0"):
        train(spec, data, tmp_path / "none", replace(options, epochs=0))
    other = replace(spec, network=replace(spec.network, channels=(4, 8)))
    with pytest.raises(InputError, match="channels"):
        train(other, data, tmp_path / "other", options, start=tmp_path / "first")


def test_a_recipe_without_labels_trains_on_images_that_have_none(tmp_path: Path) -> None:
    spec, data, _, options = task(1)
    few = replace(options, labels_per_class=4, batch_size=8, teacher_epochs=1)
    for recipe, batches in (("matching", 8), ("kd", 1)):
        teachers = ["wide"]
        seen = 0

        def counted(images: torch.Tensor, options: Options) -> torch.Tensor:
            nonlocal seen
            seen += len(images)
            return images

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("dsodenet.training.loop.moved", counted)
            train(spec, data, tmp_path / recipe, few, recipe, teachers=teachers)
        # the teacher sees 8 labelled images; the student one epoch in float and two quantised
        assert seen == 8 + 3 * 8 * batches


def test_images_turn_as_scipy_turns_them() -> None:
    image = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    image[0, 0, 10:16, 5:25] = 250
    image[0, 0, 20:28, 8:12] = 120
    torch.manual_seed(3)
    turned = random_turn(image, 30.0, 0.0)[0, 0].numpy().astype(float)
    torch.manual_seed(3)
    angle = 30.0 * float(2 * torch.rand(2, 1)[0, 0] - 1)
    assert abs(angle) > 5
    expected = ndimage.rotate(image[0, 0].numpy().astype(float), angle, reshape=False, order=1, mode="nearest")
    assert np.abs(turned - expected).mean() < 2
    assert np.abs(image[0, 0].numpy() - expected).mean() > 10


def test_light_and_zoom_stay_in_their_bounds() -> None:
    torch.manual_seed(0)
    images = torch.full((50, 3, 8, 8), 100, dtype=torch.uint8)
    lit = random_light(images, 0.4)[:, 0, 0, 0].float()
    assert 59 <= lit.min() < 75
    assert 125 < lit.max() <= 140
    assert random_light(images, 0.0) is images
    assert random_turn(images, 0.0, 0.0) is images
    assert torch.equal(random_turn(images, 20.0, 0.3), images)  # one grey stays itself, up to its border


def test_presets_are_options() -> None:
    for values in PRESETS.values():
        Options(**values)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"validation": 0.6}, "validation is 0.6"),
        ({"minutes": -1.0}, "minutes is -1"),
        ({"turn": 181.0}, "turn is 181"),
        ({"light": float("nan")}, "light is nan"),
        ({"labels_per_class": -1}, "labels_per_class is -1"),
    ],
)
def test_options_out_of_range_are_named(given: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Options(**given)
