"""Images, logits and bias tables as the bytes on the kernels' streams (the layout is that of registers.py)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract.registers import BEAT_BYTES, beats
from dsodenet.spec import Network, Params, sections


def image_bytes(network: Network) -> int:
    """Stream bytes of one image, padding included."""
    return beats(math.prod(network.image_shape)) * BEAT_BYTES


def logits_bytes(network: Network) -> int:
    """Stream bytes of the logits of one image, padding included."""
    return beats(4 * network.num_classes) * BEAT_BYTES


def pixel_view(data: NDArray[np.uint8], count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The pixels of `count` images of (channels, height, width) on the stream `data`: (count, height, width, channels).

    A view, without the padding.
    """
    channels, height, width = shape
    strides = (data.size // count, width * channels, channels, 1)
    return np.ndarray((count, height, width, channels), np.uint8, buffer=data, strides=strides)


def padding_view(data: NDArray[np.uint8], count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """What pixel_view leaves out, (count, bytes of padding): the host writes zeros there."""
    return data.reshape(count, -1)[:, math.prod(shape) :]


def pack_images(images: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """images: uint8 (N, channels, height, width) -> out: uint8 (N * image bytes,), every byte of which is written."""
    count, channels, height, width = images.shape
    pixels = pixel_view(out, count, (channels, height, width))
    for channel in range(channels):  # plane by plane: NumPy's loop over all of them at once is five times slower
        pixels[..., channel] = images[:, channel]
    padding_view(out, count, (channels, height, width))[...] = 0


def unpack_images(data: NDArray[np.uint8], network: Network) -> NDArray[np.uint8]:
    """What pack_images wrote -> uint8 (N, channels, height, width), a view."""
    channels, height, width = network.image_shape
    rows = data.reshape(-1, image_bytes(network))[:, : channels * height * width]
    return rows.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)


def pack_logits(logits: NDArray[np.int32]) -> bytes:
    """int32 (N, num_classes) -> stream bytes."""
    count, classes = logits.shape
    rows = np.zeros((count, beats(4 * classes) * BEAT_BYTES // 4), "<i4")
    rows[:, :classes] = logits
    return rows.tobytes()


def logits_view(data: NDArray[np.uint8], network: Network) -> NDArray[np.int32]:
    """Stream bytes, uint8 (N * logits bytes,) -> int32 (N, num_classes), a view."""
    rows = data.view("<i4").reshape(-1, logits_bytes(network) // 4)
    return rows[:, : network.num_classes]


def unpack_logits(data: NDArray[np.uint8], network: Network) -> NDArray[np.int32]:
    """Stream bytes, uint8 (N * logits bytes,) -> int32 (N, num_classes), a copy."""
    return logits_view(data, network).astype(np.int32)


def bias_program(params: Params) -> bytes:
    """The LOAD program of the hls kernel: the bias table of each ODE block, int32 (evaluations, channels), padded to
    whole beats.

    Empty for a model without time tables: its biases are in the bitstream and it needs no LOAD.
    """
    if not params.spec.network.has_time_table:
        return b""
    blocks = [section for section in sections(params.spec.network) if section.kind == "f"]
    data = b"".join(params.bias_table(params.spec, block).astype("<i4").tobytes() for block in blocks)
    return data.ljust(beats(len(data)) * BEAT_BYTES, b"\0")
