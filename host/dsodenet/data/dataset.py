"""What a data set is: images and labels in splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.images import Images
from dsodenet.data.limits import Part
from dsodenet.errors import InputError

Labels = NDArray[np.int64]  # (count,)


@dataclass(frozen=True)
class Dataset:
    """A training and a test split. Images are uint8 (count, channels, height, width), labels int64 (count,) from 0."""

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    source: str = ""  # what load_dataset finds it by again: a name, or the path of a folder
    split: str = "its own"  # how the test split came about
    unlabelled_images: Images | None = None  # more training images, for what needs no labels
    validation: Part | None = None  # images and labels held back from training

    def __repr__(self) -> str:
        shape, classes = "x".join(map(str, self.train_images.shape[1:])), len(self.class_names)
        images = f"{len(self.train_images):,} training and {len(self.test_images):,} test images"
        return f"<Dataset {self.name}: {images} {shape} in {classes} classes>"

    def __post_init__(self) -> None:
        for split, images, labels in (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
                raise InputError(
                    f"{self.name}: {split} images {images.dtype}{images.shape} do not fit labels {labels.shape}"
                )
            if not len(images):
                raise InputError(f"{self.name}: the {split} split has no images")
            if labels.min() < 0 or labels.max() >= len(self.class_names):
                raise InputError(
                    f"{self.name}: {split} labels are {labels.min()} to {labels.max()}, "
                    f"but there are {len(self.class_names)} classes"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise InputError(
                f"{self.name}: train images {self.train_images.shape} do not fit test images {self.test_images.shape}"
            )
