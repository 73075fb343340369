"""The words of a program, read by a plain model, mean what the Params mean that they were made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dsodenet.contract.registers import COEFFS_PER_BLOCK, coefficient_words
from dsodenet.reference import Reference
from dsodenet.rtl.builder import program
from dsodenet.rtl.engine import Engine
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import tableau
from dsodenet.spec.specification import MAX_BLOCKS
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS, kernel, on, random_model
from tools.rtl.word_model import WordModel, requantise


def logits(params: Params, lanes: str) -> np.ndarray:
    engine = Engine.of(kernel(lanes))
    model = WordModel(program(params, engine), engine)
    method = tableau(params.spec.solver.method)
    coefficients = np.zeros((MAX_BLOCKS, COEFFS_PER_BLOCK), np.int64)
    for block in range(len(params.spec.network.channels)):
        coefficients[block] = coefficient_words(method, params.spec.coefficients(block))
    (image,) = random_images(params.spec, 1, 1)
    return model.run(image, method.num_stages, list(params.spec.solver.n_steps), coefficients)


@pytest.mark.parametrize("lanes", ["1x4x8", "3x4x8", "2x16x32"])
@pytest.mark.parametrize("name", [*MODELS, *range(8)])
def test_words_mean_the_model(name: str | int, lanes: str) -> None:
    params = on(MODELS[name], lanes) if isinstance(name, str) else random_model(name, lanes)
    expected = Reference(params, threads=1).predict(random_images(params.spec, 1, 1))[0]
    found = logits(params, lanes)
    np.testing.assert_array_equal(found[: len(expected)], expected)


def test_a_changed_word_changes_the_meaning() -> None:
    params = on(MODELS["plain"], "1x4x8")
    arrays = {name: array.copy() for name, array in params.arrays.items()}
    arrays["f1.pw1.weight"].flat[0] ^= 0x40
    changed = dataclasses.replace(params, arrays=arrays)
    expected = Reference(changed, threads=1).predict(random_images(params.spec, 1, 1))[0]
    np.testing.assert_array_equal(logits(changed, "1x4x8")[: len(expected)], expected)
    assert not np.array_equal(logits(params, "1x4x8")[: len(expected)], expected)


@pytest.mark.parametrize(
    ("value", "shift", "exact"), [(5, 1, 2), (7, 1, 4), (-5, 1, -2), (3, -1, 6), (300, 0, 127), (-300, 0, -128)]
)
def test_requantise_by_hand(value: int, shift: int, exact: int) -> None:
    assert requantise(np.array([value]), shift, 0, -128, 127)[0] == exact
