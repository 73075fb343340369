"""Images from a user, checked once and in words, as the pixels that every backend takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.errors import InputError, shown
from dsodenet.spec import PIXEL_BITS, Network

PIXEL_MAX = (1 << PIXEL_BITS) - 1
NCHW, NHWC = "nchw", "nhwc"  # the order of an image's axes: as torch has them, or as cameras and decoders give them
UINT8 = np.dtype(np.uint8)


def image_shapes(network: Network) -> dict[str, tuple[int, int, int]]:
    """layout -> the shape of one image."""
    channels, height, width = network.image_shape
    return {NCHW: (channels, height, width), NHWC: (height, width, channels)}


def as_pixels(images: ArrayLike, network: Network, layout: str = NCHW) -> NDArray[np.uint8]:
    """uint8, or float in [0, 1], (N, channels, height, width) -> uint8 of that shape.

    A single image without N is a batch of one.
    layout: nhwc for images, and a result, of (N, height, width, channels). It is never guessed from the shape.
    Floats round half to even, as in training. InputError says what was given and what is allowed.
    """
    shapes = image_shapes(network)
    if not isinstance(layout, str) or layout not in shapes:
        raise InputError(f"layout is {shown(layout)}, but it must be one of {', '.join(shapes)}")
    shape = shapes[layout]
    try:
        array: NDArray[Any] = np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:  # a ragged list, a tensor that keeps its gradient
        raise InputError(f"images are no array ({error})") from None
    if array.shape == shape:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != shape:
        raise InputError(
            f"images have shape {array.shape}, but this model takes (N, {', '.join(map(str, shape))})"
            f"{_hint(array, shapes, layout)}"
        )
    if not len(array):
        raise InputError("images are an empty batch, but at least one image is needed")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        hint = "; convert pixels of 0 to 255 by images.astype(numpy.uint8)" if array.dtype.kind in "iu" else ""
        raise InputError(f"images are {array.dtype}, but they must be uint8, or float in [0, 1]{hint}")
    if not np.isfinite(array).all():
        raise InputError("images hold NaN or infinite values, but floats must be in [0, 1]")
    low, high = array.min(), array.max()
    if low < 0 or high > 1:
        hint = "; divide pixels by 255 or pass them as uint8" if high > 1 else ""
        raise InputError(f"images reach {low:g} to {high:g}, but floats must be in [0, 1]{hint}")
    wide = array.astype(np.float32) if array.itemsize < 4 else array  # x * 255 is not exact in float16
    return np.rint(wide * PIXEL_MAX).astype(np.uint8)


def _hint(array: NDArray[Any], shapes: dict[str, tuple[int, int, int]], layout: str) -> str:
    """What to do with images of this shape, where it can be told."""
    if array.dtype.kind == "U":
        return "; classify takes the path of a picture"
    other = NHWC if layout == NCHW else NCHW
    if array.shape[-3:] == shapes[other]:
        bgr = ", whose channels OpenCV has in the order BGR: images[..., ::-1] is RGB" if shapes[NHWC][2] == 3 else ""
        return f"; say layout={other!r} for images in that order{bgr if other == NHWC else ''}"
    if array.ndim in (2, 3) and (array.ndim == 2 or array.shape[2] in (1, 3)):
        return "; prepare(image, params) resizes one picture of (height, width) or (height, width, 3)"
    return ""
