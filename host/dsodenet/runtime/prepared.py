"""A run of so many images, prepared: the views through which pixels go in and logits come out."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import logits_view, padding_view, pixel_view
from dsodenet.runtime.native_call import DONE, NOT_TAKEN
from dsodenet.runtime.pixels import NHWC
from dsodenet.runtime.programs import Program
from dsodenet.runtime.transport import Exchange, Form

INT32 = np.dtype(np.int32)  # NumPy takes a type object for longer than a dtype


class PreparedRun:
    """RUN with `count` images of one layout, for any number of calls."""

    def __init__(self, exchange: Exchange, program: Program, count: int, layout: str) -> None:
        """program: the frames that the kernel takes, of one or several images each, channels after channels."""
        self.exchange, self.count, self.frames = exchange, count, -(-count // program.images)
        shape, self._side = program.network.image_shape, program.images
        pixels = pixel_view(exchange.input, self.frames, shape)  # (frames, height, width, channels): the stream's order
        padding = padding_view(exchange.input, self.frames, shape)
        channels = shape[0] // program.images
        self._blocks, self._planes = [], []  # (first image, pixels) and (first image, channel, pixels)
        for i in range(min(program.images, count)):
            block = pixels[: -(-(count - i) // program.images), :, :, i * channels : (i + 1) * channels]
            self._blocks.append((i, block))
            self._planes += [(i, channel, block[..., channel]) for channel in range(channels)]
        self._as_given, self._padding = layout == NHWC, padding if padding.size else None
        self._logits, self._classes = logits_view(exchange.output, program.network), program.network.num_classes
        self._shape = count, self._classes
        form = Form(count, shape[1] * shape[2], channels, self._classes, layout != NHWC)
        self.native = exchange.native(form) if self._side == 1 else None

    def call(self, images: NDArray[np.uint8]) -> tuple[int, NDArray[np.int32] | None]:
        """Images as `pack` takes them -> STATUS, and with Status.OK the logits as `unpack` gives them."""
        control = NOT_TAKEN
        if self.native is not None:
            logits = np.empty(self._shape, INT32)
            control = self.native(images, logits)
            if control == DONE:
                return 0, logits
        if control == NOT_TAKEN:
            self.pack(images)
            self.exchange.start()
        status = self.exchange.finish(max(0, control))
        return status, None if status else self.unpack()

    def pack(self, images: NDArray[np.uint8]) -> None:
        """images: uint8 (count, channels, height, width), or (count, height, width, channels) for NHWC."""
        side = self._side
        if self._as_given:
            for first, block in self._blocks:
                block[...] = images[first::side]
        else:
            for first, channel, plane in self._planes:  # NumPy's loop over all planes at once is five times slower
                plane[...] = images[first::side, channel]
        if self._padding is not None:  # runs of other sizes use the same memory
            self._padding[...] = 0

    def unpack(self) -> NDArray[np.int32]:
        """int32 (count, num_classes), a copy."""
        if self._side == 1:
            return self._logits.copy()
        return self._logits.copy().reshape(-1, self._classes // self._side)[: self.count]


class Pending:
    """Images under way, and then what came of them."""

    def __init__(self, run: PreparedRun | None, count: int) -> None:
        self.run, self.count = run, count  # no run: they were too many for one command, and are done
        self.began = perf_counter()
        self.logits: NDArray[np.int32] | None = None
        self.error: BaseException | None = None

    def unpack(self) -> None:
        if self.run is not None and self.error is None:
            self.logits = self.run.unpack()
