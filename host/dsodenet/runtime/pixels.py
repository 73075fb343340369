"""Images from a user, checked once and in words, as the pixels that every backend takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.errors import InputError, shown
from dsodenet.spec import PIXEL_BITS, Network

PIXEL_MAX = (1 << PIXEL_BITS) - 1
NCHW, NHWC = "nchw", "nhwc"  # the order of an image's axes: as torch has them, or as cameras and decoders give them
LAYOUTS = (NCHW, NHWC)
UINT8 = np.dtype(np.uint8)


def as_pixels(images: ArrayLike, network: Network, layout: str = NCHW) -> NDArray[np.uint8]:
    """uint8, or float in [0, 1], (N, channels, height, width) -> uint8 of that shape.

    layout: nhwc for images, and a result, of (N, height, width, channels). It is never guessed from the shape.
    Floats round half to even, as in training. InputError says what was given and what is allowed.
    """
    channels, height, width = network.image_shape
    shape = (channels, height, width) if layout == NCHW else (height, width, channels)
    if type(images) is np.ndarray and images.dtype is UINT8 and images.shape[1:] == shape and len(images):
        if layout not in LAYOUTS:
            raise InputError(f"layout is {shown(layout)}, but it must be one of {', '.join(LAYOUTS)}")
        return images
    return _converted(images, shape, layout)


def _converted(images: ArrayLike, shape: tuple[int, int, int], layout: str) -> NDArray[np.uint8]:
    if layout not in LAYOUTS:
        raise InputError(f"layout is {shown(layout)}, but it must be one of {', '.join(LAYOUTS)}")
    try:
        array: NDArray[Any] = np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:  # a ragged list, a tensor that keeps its gradient
        raise InputError(f"images are no array ({error})") from None
    if array.ndim != 4 or array.shape[1:] != shape:
        other = NHWC if layout == NCHW else NCHW
        axes = (1, 2, 0) if layout == NCHW else (2, 0, 1)
        turned = array.ndim == 4 and array.shape[1:] == tuple(shape[axis] for axis in axes)
        hint = f"; say layout={other!r} for images in that order" if turned else ""
        raise InputError(
            f"images have shape {array.shape}, but this model takes (N, {', '.join(map(str, shape))}){hint}"
        )
    if not len(array):
        raise InputError("images are an empty batch, but at least one image is needed")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise InputError(f"images are {array.dtype}, but they must be uint8, or float in [0, 1]")
    if not np.isfinite(array).all():
        raise InputError("images hold NaN or infinite values, but floats must be in [0, 1]")
    low, high = array.min(), array.max()
    if low < 0 or high > 1:
        hint = "; divide pixels by 255 or pass them as uint8" if high > 1 else ""
        raise InputError(f"images reach {low:g} to {high:g}, but floats must be in [0, 1]{hint}")
    wide = array.astype(np.float32) if array.itemsize < 4 else array  # x * 255 is not exact in float16
    return np.rint(wide * PIXEL_MAX).astype(np.uint8)
