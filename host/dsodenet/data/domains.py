"""Other domains made from images: what a classifier meets on a new camera.

Each keeps the classes and is the same every time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.images import Images
from dsodenet.errors import ToolError

ANGLE = 30  # degrees
PHOTO_SCALE = 4  # photos are shrunk by this, so that a patch as small as an image holds some texture


def blended(images: Images, seed: int) -> Images:
    """|patch of a photo - image|, as MNIST-M was made (arXiv 1505.07818).

    The photos are scikit-learn's, in colour where the image is.
    """
    channels, height, width = images.shape[1:]
    photos = [_planes(photo, channels) for photo in _photos()]
    random = np.random.RandomState(seed)  # its stream is frozen
    out = np.empty_like(images)
    for i, image in enumerate(images):
        photo = photos[random.randint(len(photos))]
        y, x = (random.randint(size - side + 1) for size, side in zip(photo.shape[1:], (height, width)))
        out[i] = np.abs(photo[:, y : y + height, x : x + width].astype(np.int16) - image).astype(np.uint8)
    return out


def rotated(images: Images, seed: int) -> Images:
    """Turned counter-clockwise by ANGLE degrees over black."""
    from PIL import Image

    out = np.empty_like(images)
    for i, image in enumerate(images):
        for c, plane in enumerate(image):
            out[i, c] = np.asarray(Image.fromarray(plane).rotate(ANGLE, Image.Resampling.BILINEAR))
    return out


def inverted(images: Images, seed: int) -> Images:
    """Dark on light."""
    return np.invert(images)  # 255 - pixel


DOMAINS: dict[str, Callable[[Images, int], Images]] = {"blend": blended, "rotated": rotated, "inverted": inverted}


def _photos() -> list[NDArray[np.uint8]]:
    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        raise ToolError("the blended domain needs scikit-learn; install dsodenet[train]") from None
    return list(load_sample_images().images)


def _planes(photo: NDArray[np.uint8], channels: int) -> Images:
    """uint8 (height, width, 3) -> (channels, height / PHOTO_SCALE, width / PHOTO_SCALE), grey for one channel."""
    from PIL import Image

    small = Image.fromarray(photo).reduce(PHOTO_SCALE)
    pixels: NDArray[np.uint8] = np.asarray(small.convert("RGB" if channels == 3 else "L"))
    return pixels.transpose(2, 0, 1) if channels == 3 else np.broadcast_to(pixels, (channels, *pixels.shape))
