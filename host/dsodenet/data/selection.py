"""Fewer training images, fewer labels, and images held back: what a study takes of a data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsodenet.data.dataset import Dataset, Labels
from dsodenet.data.datasets import stratified_test_mask
from dsodenet.data.images import Images
from dsodenet.errors import InputError


def select(
    data: Dataset, images: int = 0, labels_per_class: int = 0, validation: float = 0.0, seed: int = 0
) -> Dataset:
    """A data set whose training split is smaller, always in the same way for the same seed.

    First `validation` of every class is held back, then `images` of the rest are drawn, then `labels_per_class` of
    these keep their labels: the others become `unlabelled_images`. 0 leaves all as it is.
    """
    x, y, held = data.train_images, data.train_labels, data.validation
    random = np.random.RandomState(seed)  # its stream is frozen: the choice is the same under every NumPy
    if validation:
        mask = stratified_test_mask(y, validation, seed)
        held, x, y = (x[mask], y[mask]), x[~mask], y[~mask]
        if not len(x):
            raise InputError(f"validation is {validation}, but it leaves no image of {data.name} to train on")
    if images:
        if images > len(x):
            raise InputError(f"train_images is {images}, but {data.name} has {len(x)}")
        chosen = np.sort(random.permutation(len(x))[:images])
        x, y = x[chosen], y[chosen]
    unlabelled = data.unlabelled_images
    if labels_per_class:
        known = _known(y, labels_per_class, random, data)
        unlabelled = x[~known] if unlabelled is None else np.concatenate([x[~known], unlabelled])
        x, y = x[known], y[known]
    return replace(data, train_images=x, train_labels=y, unlabelled_images=unlabelled, validation=held)


def with_unlabelled(data: Dataset, images: Images) -> Dataset:
    """The data set and more images (count, channels, height, width), uint8, whose labels nobody knows."""
    return replace(data, unlabelled_images=images)


def _known(labels: Labels, per_class: int, random: np.random.RandomState, data: Dataset) -> np.ndarray:
    known = np.zeros(len(labels), bool)
    for label, name in enumerate(data.class_names):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise InputError(f"labels_per_class is {per_class}, but class {name} of {data.name} has {len(members)}")
        known[random.permutation(members)[:per_class]] = True
    return known
