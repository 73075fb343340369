"""Images and labels as uint8 NumPy arrays, at the size and channel count that a network takes.

A data set is an entry of DATASETS, or a folder: the standard files of CIFAR-10, MNIST, USPS, SVHN or STL-10, or
images in one subfolder per class (as Office-31 and most others come). A folder is data from outside: its sizes are
checked before memory is taken, nothing in it is executed, and no link leads out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.cache import cached
from dsodenet.data.dataset import Dataset, Labels
from dsodenet.data.domains import DOMAINS
from dsodenet.data.images import Images, check_memory, class_names, fit, read_classes, to_pillow
from dsodenet.data.labels_csv import read_table, table_of
from dsodenet.data.limits import Part, inside
from dsodenet.data.readers import STANDARD_FILES
from dsodenet.errors import InputError, ToolError
from dsodenet.spec import USUAL, Network, Preparation, Spec

SPLIT_SEED = 2024
TEST_SHARE = 0.2
A_FIFTH = "a fixed fifth of each class"  # stratified_test_mask
GENERATED = " (generated)"  # ends the name of a data set that was made here


def load_dataset(name_or_folder: str | Path, network: Network, how: Preparation = USUAL) -> Dataset:
    """A data set of DATASETS by name, or a folder by path, at the network's size; InputError when it does not fit.

    how: `spec.images`, by which pictures of another shape become the network's.
    """
    name = str(name_or_folder)
    if name.removesuffix(GENERATED) in DATASETS:
        data = replace(DATASETS[name.removesuffix(GENERATED)](network, how), source=name.removesuffix(GENERATED))
    elif Path(name).is_dir():
        data = replace(_load_folder(Path(name), network, how), source=str(Path(name).resolve()))
    else:
        raise InputError(f"data is {name!r}, but it must be one of {', '.join(DATASETS)}, or a folder that is there")
    if len(data.class_names) != network.num_classes:
        raise InputError(
            f"{name} has {len(data.class_names)} classes, but the spec's network.num_classes is {network.num_classes}; "
            f"`dsodenet spec NAME --data {name}` prints a spec that fits"
        )
    return data


def dataset_classes(name_or_folder: str | Path) -> tuple[str, ...]:
    """The class names of a data set, in the order of its labels, with as few pictures read as that takes."""
    folder = Path(name_or_folder)
    if str(name_or_folder) in DATASETS or not folder.is_dir():
        return load_dataset(name_or_folder, Spec.named("xs").network).class_names
    for recognises, read in STANDARD_FILES:
        found = recognises(folder)
        if found is not None:
            return read(found)[2]
    train = inside(folder, "train")
    return class_names(train if train.is_dir() and inside(folder, "test").is_dir() else folder)


def load_digits(network: Network, how: Preparation = USUAL) -> Dataset:
    """The 1,797 real 8x8 digits that come with scikit-learn; a fixed fifth of each class is the test split."""
    try:
        from sklearn import datasets
    except ImportError:
        raise ToolError("the digits data set needs scikit-learn; install dsodenet[train]") from None
    grey, labels = datasets.load_digits(return_X_y=True)
    images = np.rint(grey.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    test = stratified_test_mask(labels.astype(np.int64))
    parts = [(images[mask], labels[mask].astype(np.int64)) for mask in (~test, test)]
    return replace(_from_parts("digits", parts[0], parts[1], tuple("0123456789"), network, how), split=A_FIFTH)


def _generated(change: Callable[[Images, int], Images], name: str) -> Callable[[Network, Preparation], Dataset]:
    """A data set whose images `change(images, seed)` makes from the digits; its name says that it is generated."""

    def load(network: Network, how: Preparation) -> Dataset:
        digits = load_digits(network, how)
        images = {
            split: change(getattr(digits, f"{split}_images"), seed) for seed, split in enumerate(("train", "test"))
        }
        return Dataset(
            name + GENERATED,
            images["train"],
            digits.train_labels,
            images["test"],
            digits.test_labels,
            digits.class_names,
            split=digits.split,
        )

    return load


DATASETS: dict[str, Callable[[Network, Preparation], Dataset]] = {"digits": load_digits}
DATASETS |= {f"digits-{kind}": _generated(change, f"digits-{kind}") for kind, change in DOMAINS.items()}


def stratified_test_mask(labels: Labels, share: float = TEST_SHARE, seed: int = SPLIT_SEED) -> NDArray[np.bool_]:
    """True for the images of the test split: `share` of every class, at least one, always the same ones."""
    random = np.random.RandomState(seed)  # its stream is frozen: the split is the same under every NumPy
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        mask[members[: max(1, round(share * len(members)))]] = True
    return mask


def fit_images(images: Images, network: Network, how: Preparation = USUAL) -> Images:
    """Resize and convert channels.

    Uint8 (count, 1 or 3, h, w) -> the network's shape.
    """
    shape = (len(images), *network.image_shape)
    if images.shape == shape:
        return images
    check_memory("the data set", shape)
    out = np.empty(shape, np.uint8)
    for i, image in enumerate(images):
        out[i] = fit(to_pillow(image), network, how)
    return out


def _from_parts(
    name: str, train: Part, test: Part, classes: tuple[str, ...], network: Network, how: Preparation
) -> Dataset:
    fitted = (fit_images(part[0], network, how) for part in (train, test))
    return Dataset(name, next(fitted), train[1], next(fitted), test[1], classes)


def _load_folder(folder: Path, network: Network, how: Preparation) -> Dataset:
    for recognises, read in STANDARD_FILES:
        found = recognises(folder)
        if found is not None:
            return _from_parts(folder.name, *read(found), network, how)
    return cached(folder, network, how, lambda: _load_image_folder(folder, network, how))


def _load_image_folder(folder: Path, network: Network, how: Preparation) -> Dataset:
    """One subfolder of image files per class, either in `train` and `test` or split by us.

    `test` may instead hold all its images and a CSV file that says their classes.
    """
    splits = [inside(folder, split) for split in ("train", "test")]
    if all(split.is_dir() for split in splits):
        classes = class_names(splits[0])
        if (labels_of_test := table_of(splits[1])) is not None:
            test = read_table(labels_of_test, classes, network, how)
            return Dataset(folder.name, *read_classes(splits[0], classes, network, how), *test, classes)
        if class_names(splits[1]) != classes:
            raise InputError(
                f"{folder}: train has the classes {', '.join(classes)}, "
                f"but test has {', '.join(class_names(splits[1]))}"
            )
        train, test = (read_classes(split, classes, network, how) for split in splits)
        return Dataset(folder.name, *train, *test, classes)
    classes = class_names(folder)
    images, labels = read_classes(folder, classes, network, how)
    for name, count in zip(classes, np.bincount(labels)):
        if count < 2:
            raise InputError(
                f"{folder / name}: {count} image, but a class needs at least 2, one to train and one to test, "
                f"where no folders "
                f"train and test divide them"
            )
    mask = stratified_test_mask(labels)
    return Dataset(folder.name, images[~mask], labels[~mask], images[mask], labels[mask], classes, split=A_FIFTH)
