"""Pictures say what their figures say: read from the artists of matplotlib, and drawn once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from dsodenet import plots
from dsodenet.plots.look import ACCENT, spread
from dsodenet.reference import Reference
from dsodenet.rtl import estimate
from dsodenet.spec import Spec, random_images, random_params
from tools import notebooks

KEPT = Path(__file__).parents[1] / "docs" / "results"


def kept(name: str) -> Any:
    return json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def overlaps(places: Any, sizes: Any) -> int:
    apart = np.abs(places[:, None] - places[None]) - (sizes[:, None] + sizes[None]) / 2
    touching = (apart < -1e-6).all(axis=2)
    return int(touching.sum() - len(places)) // 2


def test_labels_move_apart_and_only_where_they_overlap() -> None:
    rng = np.random.default_rng(0)
    centres, sizes = rng.normal(size=(12, 2)), np.tile((0.9, 0.4), (12, 1))
    assert overlaps(centres, sizes) > 3
    moved = spread(centres, sizes)
    assert overlaps(moved, sizes) == 0
    assert np.abs(moved - centres).max() < 2
    apart = np.array([(0.0, 0.0), (5.0, 0.0), (0.0, 5.0)])
    assert (spread(apart, sizes[:3]) == apart).all()
    same = spread(np.zeros((3, 2)), sizes[:3])
    assert overlaps(same, sizes[:3]) == 0


def trajectory(**options: Any) -> tuple[Figure, Any, Any]:
    params = random_params(Spec.named("xs"), 1)
    images = random_images(params.spec, 24, 2)
    labels = np.arange(24) % 10
    return plots.trajectory_figure(params, images, labels, **options), params, images


def test_the_trajectory_shows_an_example_of_each_class_and_what_it_is_taken_for(tmp_path: Path) -> None:
    names = tuple(f"class{number}" for number in range(10))
    figure, params, images = trajectory(class_names=names)
    guesses = Reference(params).predict(images[:10]).argmax(axis=1)
    titles = [axes.get_title(loc="center") for axes in figure.axes if axes.get_title(loc="center")]
    assert titles == [
        names[guess] if guess == label else f"{names[guess]}\nnot {names[label]}" for label, guess in enumerate(guesses)
    ]
    assert sum(name in names for name in texts(figure)) >= 10
    assert any("block 2" in text for text in texts(figure)), "the map of block 3 has 4x4 pixels"
    axes = figure.axes[0]
    assert "% of the variance" in axes.get_xlabel()
    assert len(axes.lines) >= 24
    assert plots.save(figure, tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_a_block_can_be_chosen_and_one_image_is_enough() -> None:
    assert any("block 3" in text for text in texts(trajectory(block=3)[0]))
    params = random_params(Spec.named("xs"), 1)
    plots.trajectory_figure(params, random_images(params.spec, 1, 2), np.array([7]))


def test_the_front_is_drawn_in_steps_with_its_numbers_and_limits() -> None:
    found = kept("front")
    found["plan"]["goal"]["limits"]["cycles"] = 12_000
    (axes,) = plots.front_figure(found).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["front"].get_drawstyle() == "steps-post"
    assert len(lines["front"].get_xdata()) == len(found["front"])
    assert list(lines["at most 12,000 cycles"].get_xdata()) == [12_000, 12_000]
    numbers = {number for text in axes.texts for number in text.get_text().split(", ")}
    assert {str(point["number"]) for point in found["points"]} <= numbers
    assert any("DSP 0.6" in text.get_text() for text in axes.texts)
    assert {"base", "chosen"} <= set(lines)


def test_a_search_without_trainings_shows_products() -> None:
    found = kept("front")
    found["points"] = [point | {"accuracy": None, "label": "estimated"} for point in found["points"]]
    found["points"][0]["refused"] = "DSP"
    (axes,) = plots.front_figure(found).axes
    assert axes.get_ylabel() == "multiply-accumulates"
    assert "over a limit" in {line.get_label() for line in axes.lines}


def test_gradients_that_are_exactly_zero_are_shown_and_the_legend_stands_once() -> None:
    figure = plots.gradients_figure(kept("gradients"))
    assert len(figure.legends) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["backprop", "checkpoint", "adjoint", "irdm"]
    assert not any(axes.get_legend() for axes in figure.axes)
    zeros = [[text.get_text() for text in axes.texts].count("exactly 0") for axes in figure.axes]
    assert zeros == [2, 0, 0, 0, 2, 0, 0, 0]


def test_recipes_are_dots_with_intervals_beside_the_line_of_their_baseline() -> None:
    found = kept("recipes")
    figure = plots.recipes_figure(found)
    assert len(figure.axes) == 3
    shown = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert len(shown) == len(found["rows"])
    base = found["rows"][0]["integer_accuracy"]
    line, first, dot = figure.axes[0].lines[:3]
    assert list(line.get_xdata()) == [100 * base["mean"]] * 2
    assert list(first.get_xdata()) == pytest.approx([100 * (base["mean"] + sign * base["sd"]) for sign in (-1, 1)])
    assert list(dot.get_xdata()) == [100 * base["mean"]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["◂ 12 %"], "a row far below is named at the edge"


def test_a_training_is_drawn_stage_after_stage() -> None:
    metrics = {
        "stages": {"float": {"loss": [2.0, 1.0, 0.5]}, "teacher": {"loss": []}, "qat": {"loss": [0.6, 0.4]}},
        "data": {"name": "digits"},
        "float_accuracy": 0.9,
        "qat_accuracy": None,
    }
    (axes,) = plots.learning_figure(metrics).axes
    curves = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
    assert curves == [[1, 2, 3], [4, 5]]
    assert axes.get_title(loc="left") == "digits: float 90.00% of test images"


def test_drawing_leaves_the_settings_of_the_caller_as_they_are() -> None:
    before = dict(matplotlib.rcParams)
    plots.gradients_figure(kept("gradients"))
    assert dict(matplotlib.rcParams) == before


def test_images_stand_in_rows_of_ten_and_a_wrong_caption_has_the_accent() -> None:
    images = np.zeros((12, 3, 8, 8), np.uint8)
    figure = plots.images_figure(images, [f"c{number}" for number in range(12)], np.arange(12) == 4, "twelve")
    assert len(figure.axes) == 20
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="center") for axes in shown] == [f"c{number}" for number in range(12)]
    assert [axes.title.get_color() == ACCENT for axes in shown].index(True) == 4


def test_the_stages_of_a_call_are_dots_and_the_longest_has_the_accent() -> None:
    call = SimpleNamespace(kind="simulated", images=4, stages_us={"pack": 5.0, "compute": 5000.0, "unpack": 2.0})
    (axes,) = plots.stages_figure(call).axes
    assert [line.get_color() == ACCENT for line in axes.lines] == [False, True, False]
    assert axes.get_title(loc="left") == "a call of 4 images takes 5.01 ms, simulated; most of it is compute"


def test_the_sliders_measure_what_the_reference_gives_and_keep_what_was_tried() -> None:
    pytest.importorskip("ipywidgets")
    params = random_params(Spec.named("xs"), 1)
    images = random_images(params.spec, 6, 2)
    labels = Reference(params).predict(images).argmax(axis=1)
    live = plots.SolverSliders(params, images, labels)
    first = live._image.value
    assert live.measure("euler", 4) == (estimate(params).cycles, 100.0)
    live._steps.value = 5
    assert live._image.value != first
    live._method.value = "rk4"
    assert {("euler", 4), ("euler", 5), ("rk4", 5)} <= set(live._seen)
    bundle = live._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert notebooks.WIDGET in bundle
