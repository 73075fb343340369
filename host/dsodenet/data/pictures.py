"""Pictures for a trained model: files, folders and camera frames become pixels exactly as in training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.data.images import IMAGE_SUFFIXES, Images, check_memory, fit, is_named_image, read_image, upright
from dsodenet.data.limits import inside
from dsodenet.errors import InputError, ToolError, shown
from dsodenet.spec import Params, Spec

if TYPE_CHECKING:
    from PIL.Image import Image


def prepare(image: str | Path | Image | NDArray[np.uint8], model: Params | Spec) -> Images:
    """A picture as the model takes it: uint8 (channels, height, width).

    image: an image file, a Pillow image, or a frame of a camera: uint8 (height, width) or (height, width, 3),
    in the order red, green, blue. Size, channels and aspect ratio change as the model's training changed them
    (`spec.images`). Pillow is needed for a file, and for a frame of another size than the model's. InputError for
    anything else.
    """
    spec = model.spec if isinstance(model, Params) else model
    try:
        if isinstance(image, (str, Path)):
            return read_image(Path(image), spec.network, spec.images)
        if not isinstance(image, np.ndarray):
            if not hasattr(image, "getexif"):  # a Pillow image, without importing Pillow to know
                raise InputError(f"image is {shown(image)}, but it must be a file, a Pillow image or a uint8 array")
            return fit(upright(image), spec.network, spec.images)
        return _of_frame(image, spec)
    except ImportError as error:
        raise ToolError(f"Pillow is needed for this picture ({error}); `pip install pillow` brings it") from None


def _of_frame(frame: NDArray[Any], spec: Spec) -> Images:
    network = spec.network
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3)):
        exact = frame.shape == network.image_shape
        hint = "; this one has the model's shape, so predict and classify take it as it is" if exact else ""
        raise InputError(
            f"image is {frame.dtype}{frame.shape}, but a picture is uint8 (height, width) or (height, width, 3) "
            f"in the order red, green, blue{hint}"
        )
    planes = frame[None] if frame.ndim == 2 else frame.transpose(2, 0, 1)
    if planes.shape == network.image_shape:
        return np.ascontiguousarray(planes)
    from PIL import Image as pillow

    return fit(pillow.fromarray(np.ascontiguousarray(planes[0] if len(planes) == 1 else frame)), network, spec.images)


def read_pictures(path: Path, model: Params | Spec) -> tuple[Images, list[Path]]:
    """A picture file, or all of a folder and its subfolders by name: uint8 (count, channels, height, width), files."""
    spec = model.spec if isinstance(model, Params) else model
    if path.is_dir():
        files = sorted(
            inside(path, Path(place, name).relative_to(path))
            for place, _, names in os.walk(path)
            for name in names
            if is_named_image(name)
        )
        if not files:
            raise InputError(f"{path}: no {', '.join(IMAGE_SUFFIXES)} file in this folder")
    else:
        files = [path]
    shape = (len(files), *spec.network.image_shape)
    check_memory(str(path), shape)
    images = np.empty(shape, np.uint8)
    for i, file in enumerate(files):
        images[i] = prepare(file, spec)
    return images, files
