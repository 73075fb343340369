"""The small models of the self-test: what they answer is known without running them."""

from __future__ import annotations

import numpy as np
import pytest

from dsodenet.reference import Reference
from dsodenet.rtl.builder import program
from dsodenet.rtl.engine import Engine
from dsodenet.runtime import golden
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from tests.models import kernel

KERNEL = kernel("1x4x8")


def answers(params: Params, images: np.ndarray) -> np.ndarray:
    return Reference(params, 1).predict(images)


@pytest.mark.parametrize("high", [False, True])
def test_a_loop_returns_its_pixels(high: bool) -> None:
    images = golden.walking_ones(high)
    assert images.shape == (64 if high else 448, 1, 8, 8)
    logits = answers(golden.loop(KERNEL, high), images)
    np.testing.assert_array_equal(logits, golden.loop_logits(images, high))
    for image, found in zip(images, logits):  # the contract, said slowly
        ((row, column),) = np.argwhere(image[0])
        expected = np.zeros(16, np.int32)
        expected[4 * (row % 4) + column % 4] = golden.ONE * (image[0, row, column] >> high)
        np.testing.assert_array_equal(found, expected)


def test_walking_ones_hold_every_bit_once() -> None:
    bits = np.concatenate([np.unpackbits(golden.walking_ones(high).reshape(-1, 64), axis=1) for high in (False, True)])
    assert (bits.sum(axis=0) == 1).all()
    assert (bits.sum(axis=1) == 1).all()


def test_a_long_loop_has_no_two_images_alike_and_no_sum_too_large() -> None:
    images = golden.addresses(1024)
    assert len(np.unique(images.reshape(1024, -1), axis=0)) == 1024
    np.testing.assert_array_equal(answers(golden.loop(KERNEL, False), images), golden.loop_logits(images, False))
    assert (images.reshape(4, 256, 64) != 0).any(axis=(0, 1)).all(), "every place is used"


@pytest.mark.parametrize("name", golden.CASES)
def test_a_case_depends_on_its_layer(name: str) -> None:
    """Other integers there give other logits; and the case fits the smallest kernel."""
    case = golden.CASES[name]
    params = case.params(KERNEL, 1)
    assert program(params, Engine.of(KERNEL))
    images = random_images(params.spec, 3, 6)
    logits = answers(params, images)
    assert len(np.unique(logits)) >= 6, "nothing can be told from constant logits"
    assert (logits != answers(case.params(KERNEL, 2), images)).any() == bool(case.random)


def test_what_passes_on_passes_on() -> None:
    """Without random layers the logits are averages of the image, each rounded to 7 fraction bits."""
    params = golden.passing(KERNEL, {})
    images = random_images(params.spec, 4, 2)
    logits = answers(params, images)[:, :2]
    sampled = images[:, :, ::2, ::2].astype(np.float64)  # a down with only its centre keeps every other pixel
    expected = np.minimum(np.rint(np.minimum(np.rint(sampled / 2), 127).mean(axis=(2, 3))), 127)
    np.testing.assert_array_equal(logits, golden.ONE * expected)
