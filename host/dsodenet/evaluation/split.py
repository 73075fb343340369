"""The test images of a run: what its training held back, found again by what the run remembers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.data import DATASETS, GENERATED, Dataset, load_dataset
from dsodenet.errors import InputError, ToolError
from dsodenet.runs import Run
from dsodenet.runtime import load_images
from dsodenet.spec import Params, random_images

IMAGE_SEED = 1
MAX_PIXELS = 1 << 30  # all images together


def held_out(run: str | Path | Run, params: Params, data: str | Path | None = None) -> Dataset:
    """The data set of a run, whose test split its training never saw.

    data: another data set or folder. InputError where the run does not say, or it is not here any more, or its classes
    are others than the model's.
    """
    spec, run = params.spec, Run.of(run)
    if data is None:
        data = run.data_source()
        if data is None:
            raise InputError(f"{run} does not say on which data it was trained; name it by --data")
        if data.removesuffix(GENERATED) not in DATASETS and not Path(data).is_dir():
            raise InputError(f"{run} was trained on {data}, which is not here; name its folder by --data")
    found = load_dataset(data, spec.network, spec.images)
    if spec.class_names not in ((), found.class_names):
        raise InputError(
            f"{found.name} has the classes {', '.join(found.class_names)}, "
            f"but the model knows {', '.join(spec.class_names)}"
        )
    return found


def sample_images(
    source: str, run: str | Path, params: Params, data: str | None = None
) -> tuple[NDArray[np.uint8], str]:
    """(images, what they are). source: what `load_images` takes, or a number of images of the run's test split.

    Where that split is not here, or has fewer, they are generated, and the words say why. data: a data set or folder
    whose test split is taken instead, and must be there.
    """
    if not source.isdecimal():
        if source and Path(source).exists():
            return load_images(source, params)[0], source
        raise InputError(
            f"images is {source!r}, but it must be a number from 1 up, or a picture, a folder or a .npy file that is "
            "there"
        )
    if len(source) > 18 or int(source) < 1:
        raise InputError(f"images is {source!r}, but it must be a number from 1 up")
    count, most = int(source), MAX_PIXELS // math.prod(params.spec.network.image_shape)
    if count > most:
        raise InputError(f"images is {count}, but at most {most} are taken")
    generated = f"{count} generated, seed {IMAGE_SEED}"
    try:
        found = held_out(run, params, data)
    except (InputError, ToolError, ModuleNotFoundError) as error:  # a board has no data set libraries
        if data is not None:
            raise
        return random_images(params.spec, count, IMAGE_SEED), f"{generated}, since {error}"
    if count > len(found.test_images):
        why = f"since the test split of {found.name} has {len(found.test_images)}"
        return random_images(params.spec, count, IMAGE_SEED), f"{generated}, {why}"
    return found.test_images[:count], f"{count} of the {found.name} test split"
