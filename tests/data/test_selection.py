"""Fewer images, fewer labels, images held back: nothing is used twice, and the choice is the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dsodenet.data import Dataset, select, with_unlabelled
from dsodenet.errors import InputError


@pytest.fixture
def data() -> Dataset:
    """60 images in three classes; every pixel of an image is its number."""
    images = np.arange(60, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    return Dataset("numbers", images, np.arange(60) % 3, images[:3], np.arange(3), ("a", "b", "c"))


def numbers(images: np.ndarray | None) -> list[int]:
    return [] if images is None else images[:, 0, 0, 0].tolist()


def test_the_parts_share_no_image_and_labels_stay_with_theirs(data: Dataset) -> None:
    few = select(data, images=30, labels_per_class=4, validation=0.2, seed=1)
    assert few.validation is not None
    held, kept, bare = numbers(few.validation[0]), numbers(few.train_images), numbers(few.unlabelled_images)
    assert len(held) == 12
    assert len(kept) == 12
    assert len(bare) == 18
    assert len({*held, *kept, *bare}) == 42
    assert [number % 3 for number in kept] == few.train_labels.tolist()
    assert [number % 3 for number in held] == few.validation[1].tolist()
    assert np.bincount(few.train_labels).tolist() == [4, 4, 4]
    again = select(data, images=30, labels_per_class=4, validation=0.2, seed=1)
    assert numbers(again.train_images) == kept
    assert numbers(select(data, images=30, labels_per_class=4, validation=0.2, seed=2).train_images) != kept


def test_nothing_asked_changes_nothing(data: Dataset) -> None:
    assert select(data) == replace(data)


def test_more_images_without_labels_join(data: Dataset) -> None:
    more = with_unlabelled(data, np.full((2, 1, 4, 4), 200, np.uint8))
    assert numbers(select(more, labels_per_class=1).unlabelled_images)[-2:] == [200, 200]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"images": 61}, "train_images is 61, but numbers has 60"),
        ({"labels_per_class": 21}, "class a of numbers has 20"),
    ],
)
def test_more_than_there_is_is_refused(data: Dataset, asked: dict[str, int], named: str) -> None:
    with pytest.raises(InputError, match=named):
        select(data, **asked)
