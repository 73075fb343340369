"""A run of so many images, prepared: the views through which pixels go in and logits come out."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import logits_view, padding_view, pixel_view
from dsodenet.runtime.pixels import NHWC
from dsodenet.runtime.transport import Exchange
from dsodenet.spec import Network


class PreparedRun:
    """RUN with `count` images of one layout, for any number of calls."""

    def __init__(self, exchange: Exchange, network: Network, count: int, layout: str) -> None:
        self.exchange, self.count = exchange, count
        shape = network.image_shape
        pixels = pixel_view(exchange.input, count, shape)  # (count, height, width, channels), as the stream has them
        padding = padding_view(exchange.input, count, shape)
        self._pixels = pixels if layout == NHWC else None
        self._planes = [(channel, pixels[..., channel]) for channel in range(shape[0])]
        self._padding = padding if padding.size else None
        self._logits = logits_view(exchange.output, network)

    def pack(self, images: NDArray[np.uint8]) -> None:
        """images: uint8 (count, channels, height, width), or (count, height, width, channels) for NHWC."""
        if self._pixels is not None:
            self._pixels[...] = images
        else:
            for channel, plane in self._planes:  # NumPy's loop over all planes at once is five times slower
                plane[...] = images[:, channel]
        if self._padding is not None:  # runs of other sizes use the same memory
            self._padding[...] = 0

    def unpack(self) -> NDArray[np.int32]:
        """int32 (count, num_classes), a copy."""
        return self._logits.copy()


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
