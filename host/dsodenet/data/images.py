"""Images from files: uint8 at the size and channel count of a network, or refused by name.

PNG, JPEG, BMP, PPM and WebP are read.

The size is known before memory is taken, and nothing but a file is opened: a pipe would be waited for without end.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.limits import MAX_IMAGE_BYTES, Part, inside
from dsodenet.errors import InputError
from dsodenet.spec import USUAL, Network, Preparation

if TYPE_CHECKING:
    from PIL.Image import Image

Images = NDArray[np.uint8]  # (count, channels, height, width)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP")  # Pillow's names of what those files may hold
GREY_MODES = ("1", "L", "LA", "I")  # Pillow's names; those that begin with WIDE_MODE are grey, too
WIDE_MODE = "I;16"
MAX_SIDE = 16384  # pixels of one side of an image file
MAX_PIXELS = 1 << 26  # limit for one image file


def check_memory(what: str, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape, dtype=np.int64))
    if size > MAX_IMAGE_BYTES:
        raise InputError(f"{what}: images of shape {shape} take {size} bytes, but at most {MAX_IMAGE_BYTES} are read")


def to_pillow(image: Images) -> Image:
    """uint8 (1 or 3, height, width) -> a Pillow image."""
    from PIL import Image as pillow

    return pillow.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def fit(image: Image, network: Network, how: Preparation = USUAL) -> Images:
    """A Pillow image -> uint8 (channels, height, width), bilinear and area-weighted when shrinking.

    how: how another shape becomes the network's. Grey is repeated over as many channels as the network has; what is
    transparent shows the colour that its pixel has."""

    grey = image.mode in GREY_MODES or image.mode.startswith(WIDE_MODE)
    image = _of_8_bits(image)
    image.info.pop("transparency", None)
    if network.in_channels == 3:
        image = image.convert("RGB")
    elif network.in_channels == 1 or grey:
        image = image.convert("L")
    else:
        raise InputError(
            f"the spec's network.in_channels is {network.in_channels}, but colour images have 1 or 3 channels"
        )
    pixels = np.asarray(_resized(image, (network.width, network.height), how.resize))
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.broadcast_to(planes, network.image_shape)


def _resized(image: Image, size: tuple[int, int], how: str) -> Image:
    """size: width, height; how: one of spec.RESIZES."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    if how == "crop":
        return ImageOps.fit(image, size, Resampling.BILINEAR)
    if how == "pad":
        return ImageOps.pad(image, size, Resampling.BILINEAR, color=0)
    return image.resize(size, Resampling.BILINEAR)


def _of_8_bits(image: Image) -> Image:
    """Grey of 16 bits scaled to 8, which Pillow itself would cut off at 255."""
    from PIL import Image as pillow

    if image.mode != "I" and not image.mode.startswith(WIDE_MODE):
        return image
    return pillow.fromarray(np.rint(np.asarray(image).clip(0, 65535) / 257).astype(np.uint8))


def class_names(folder: Path) -> tuple[str, ...]:
    """The subfolders that are not hidden, in order."""
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if len(names) < 2:
        raise InputError(
            f"{folder}: not a data set: it needs the files of CIFAR-10, MNIST, USPS, SVHN or STL-10, or "
            f"a subfolder of images per class (found {len(names)})"
        )
    return names


def read_classes(folder: Path, classes: tuple[str, ...], network: Network, how: Preparation = USUAL) -> Part:
    """The images in one subfolder for each class."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in inside(folder, name).iterdir() if is_named_image(path.name))
        if not found:
            raise InputError(f"{folder / name}: no {', '.join(IMAGE_SUFFIXES)} file in this class")
        files += found
        labels += [label] * len(found)
    shape = (len(files), *network.image_shape)
    check_memory(str(folder), shape)
    images = np.empty(shape, np.uint8)
    for i, file in enumerate(files):
        images[i] = read_image(inside(folder, file.relative_to(folder)), network, how)
    return images, np.array(labels, np.int64)


def is_named_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")  # ._0.png is what macOS adds to 0.png


def read_image(path: Path, network: Network, how: Preparation = USUAL) -> Images:
    """uint8 (channels, height, width) of one file, turned as its EXIF data says; InputError names the file."""
    from PIL import Image as pillow

    if not path.is_file():
        why = "no file that can be read, though it is named like an image" if os.path.lexists(path) else "no such file"
        raise InputError(f"{path}: {why}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of too many pixels, which are refused here
            with pillow.open(path, formats=FORMATS) as image:
                if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
                    raise InputError(f"{path}: {image.width} x {image.height} pixels are more than an image may have")
                if image.mode == "F":  # Pillow reads PFM as PPM
                    raise InputError(f"{path}: pixels are floats, but they must be integers")
                image.load()
                return fit(upright(image), network, how)
    except InputError:
        raise
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise InputError(f"{path}: not a readable image ({' '.join(str(error).split())[:200]})") from None


def upright(image: Image) -> Image:
    """As the camera was held, where its EXIF data can be read and says it."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data; the pixels are good
        return image
