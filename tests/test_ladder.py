"""The ladder: what it compares, counts and says. That the real backends agree is tested beside each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsodenet.errors import InputError, RunError
from dsodenet.evaluation import IMAGE_SEED, sample_images
from dsodenet.ladder import Ladder, rungs_text, verify
from dsodenet.reference import Reference
from dsodenet.runtime.backends import BACKENDS, SoftwareBackend
from dsodenet.spec import Params, Spec, random_images, random_params
from tests.models import MODELS

PARAMS = MODELS["plain"]
IMAGES = random_images(PARAMS.spec, 5, 4)
WORDS = IMAGES.shape[0] * PARAMS.spec.network.num_classes
Change = Callable[[NDArray[np.int32]], None]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    PARAMS.save(tmp_path)
    return tmp_path


def backend(change: Change) -> Callable[..., SoftwareBackend]:
    """A backend whose logits are the reference's, changed."""

    def make(params: Params) -> Callable[[NDArray[np.uint8]], NDArray[np.int32]]:
        def predict(images: NDArray[np.uint8]) -> NDArray[np.int32]:
            logits = Reference(params).predict(images)
            change(logits)
            return logits

        return predict

    return lambda params, run: SoftwareBackend(params, make, survives_fork=True)


def three_wrong(logits: NDArray[np.int32]) -> None:
    logits[0, 0] += 1
    logits[-1, -2:] ^= 1 << 30


def test_backends_that_agree(run: Path) -> None:
    pytest.importorskip("pynq")
    named: list[str] = []
    ladder = verify(
        run, ("cpu", "zcu104-sim"), IMAGES, source="five", limits={"zcu104-sim": 2}, progress=named.append,
        simulate_with="reference",
    )  # fmt: skip
    assert named == ["cpu", "zcu104-sim"]
    assert ladder.differing == 0
    cpu, board = ladder.rungs
    assert (cpu.backend, cpu.kind, cpu.images, cpu.words, cpu.differing, cpu.cycles) == (
        "cpu", "measured", 5, WORDS, 0, None,
    )  # fmt: skip
    assert (board.backend, board.kind, board.images, board.words, board.differing) == (
        "zcu104-sim", "simulated", 2, WORDS // 5 * 2, 0,
    )  # fmt: skip
    assert min(cpu.seconds, board.seconds) > 0
    assert str(ladder).startswith("images: five; solver euler, n_steps ")
    assert str(ladder).endswith("every rung computes the same integers")


def test_every_wrong_word_counts(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "wrong", backend(three_wrong))
    ladder = verify(run, ("cpu", "wrong"), IMAGES)
    assert [(rung.backend, rung.differing) for rung in ladder.rungs] == [("cpu", 0), ("wrong", 3)]
    assert ladder.differing == 3
    assert str(ladder).endswith("\n3 words differ")


def test_it_prints_what_its_json_says(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "wrong", backend(three_wrong))
    ladder = verify(run, "wrong", IMAGES / 255, source="five", method="heun", n_steps=3)
    data = json.loads(json.dumps(ladder.to_dict()))
    assert rungs_text(data) == str(ladder)
    (rung,) = data.pop("rungs")
    blocks = len(PARAMS.spec.network.channels)
    assert data == {"images": "five", "solver": "heun", "n_steps": [3] * blocks, "differing": 3, "left_out": {}}
    assert rung.pop("seconds") > 0
    assert rung == {
        "backend": "wrong", "kind": "measured", "images": 5, "words": WORDS, "differing": 3, "cycles": None,
    }  # fmt: skip
    row = next(line for line in str(ladder).splitlines() if line.startswith("wrong"))
    assert re.fullmatch(rf"wrong +measured +5 +{WORDS} +3 +\d+\.\d{{3}} +-", row)


def test_the_solver_reaches_every_backend(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that keeps the run's own solver differs from a reference with another."""
    kept = Reference(PARAMS).predict(IMAGES)
    other = Reference(PARAMS.with_solver("heun", 7)).predict(IMAGES)
    assert (kept != other).any()
    monkeypatch.setitem(
        BACKENDS,
        "stubborn",
        lambda params, run: SoftwareBackend(PARAMS, lambda _: Reference(PARAMS).predict, survives_fork=True),
    )
    ladder = verify(run, ("cpu", "stubborn"), IMAGES, method="heun", n_steps=7)
    assert [rung.differing for rung in ladder.rungs] == [0, int((kept != other).sum())]


def test_what_is_missing_shows_before_anything_computes(run: Path) -> None:
    named: list[str] = []
    with pytest.raises(RunError, match="checkpoint"):
        verify(run, ("cpu", "torch"), IMAGES, progress=named.append)
    assert named == []


@pytest.mark.parametrize(
    ("backends", "images", "message"),
    [
        ((), IMAGES, "^backend is empty, but it must be some of torch, cpu"),
        (("cpu", "gpu", "fpga"), IMAGES, "^backend is gpu, fpga, but"),
        (("cpu",), IMAGES[:, :, 1:], "^images have shape"),
        (("cpu",), IMAGES.astype(np.int64), "^images are int64"),
    ],
)
def test_bad_input_is_refused_in_words(run: Path, backends: tuple[str, ...], images: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        verify(run, backends, images)


def test_images_are_generated_where_none_are_given(run: Path) -> None:
    ladder = verify(run, "cpu")
    assert isinstance(ladder, Ladder)
    assert (ladder.images, ladder.rungs[0].images) == (f"16 generated, seed {IMAGE_SEED}", 16)
    images, source = sample_images("4", run, PARAMS)
    assert source.startswith(f"4 generated, seed {IMAGE_SEED}, since {run} does not say on which data it was trained")
    np.testing.assert_array_equal(images, random_images(PARAMS.spec, 4, IMAGE_SEED))


def test_images_of_a_file(run: Path) -> None:
    np.save(run / "x.npy", IMAGES)
    (run / "x.npy").rename(run / "X.NPY")
    images, source = sample_images(str(run / "X.NPY"), run, PARAMS)
    np.testing.assert_array_equal(images, IMAGES)
    assert source == str(run / "X.NPY")
    with pytest.raises(InputError, match=r"images is .*y\.npy', but it must be a number from 1 up, or a picture"):
        sample_images(str(run / "y.npy"), run, PARAMS)


@pytest.mark.parametrize("source", ["0", "-1", "1.5", "", "x", "9" * 19, f"{1 << 40}"])
def test_a_number_of_images_that_is_none_is_refused(run: Path, source: str) -> None:
    with pytest.raises(InputError, match=r"^images is "):
        sample_images(source, run, PARAMS)


def test_images_of_a_named_data_set_are_its_own_or_an_error(tmp_path: Path) -> None:
    digits = random_params(Spec.named("xs"), 0)
    images, source = sample_images("3", tmp_path, digits, "digits-rotated")
    assert source == "3 of the digits-rotated (generated) test split"
    assert images.shape[0] == 3
    with pytest.raises(InputError, match="data is 'none'"):
        sample_images("3", tmp_path, digits, "none")
