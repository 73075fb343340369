"""Images for a model from wherever a user has them: files, folders, arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.outside import read_npy
from dsodenet.runtime.pixels import NCHW, NHWC, as_pixels
from dsodenet.spec import Params, Spec

MAX_PIXELS = 1 << 30  # all images together


def load_images(source: str | Path, model: Params | Spec) -> tuple[NDArray[np.uint8], list[str]]:
    """Pictures as the model takes them, and what each is: uint8 (N, channels, height, width), N names.

    source: an image file, a folder of such with its subfolders, or a .npy file of images as `predict` takes them.
    Pictures are resized and converted as in training (see `prepare`). InputError for anything else.
    """
    spec, path = model.spec if isinstance(model, Params) else model, Path(source)
    if path.suffix.lower() == ".npy":
        array = read_npy(path, "a .npy file of images", MAX_PIXELS)
        pixels = as_pixels(array, spec.network)
        return pixels, [f"{path}[{number}]" for number in range(len(pixels))]
    from dsodenet.data import read_pictures

    pixels, files = read_pictures(path, spec)
    return pixels, list(map(str, files))


def named_pixels(images: Any, params: Params, layout: str = NCHW) -> tuple[NDArray[np.uint8], list[str]]:
    """What load_images takes, a Pillow image, or a batch or an image as `predict` takes them, with a name for each.

    layout: that of arrays. The result is always (N, channels, height, width).
    """
    if isinstance(images, (str, Path)):
        return load_images(images, params)
    if hasattr(images, "getexif"):  # a Pillow image, without importing Pillow to know
        from dsodenet.data import prepare

        return prepare(images, params)[None], [getattr(images, "filename", "") or "image"]
    pixels = as_pixels(images, params.spec.network, layout)
    if layout == NHWC:
        pixels = pixels.transpose(0, 3, 1, 2)
    return pixels, [f"image {number}" for number in range(len(pixels))]
