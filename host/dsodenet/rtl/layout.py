"""Where images and maps lie in the rtl kernel's memories: part of builder.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsodenet.rtl.engine import Engine
from dsodenet.spec import FACTOR, STEMS, Network, all_layers


def pitches(network: Network, engine: Engine) -> list[int]:
    """Pixels from row to row of the maps of each ODE block.

    The width, but enough for the line buffers' latency of two words.
    """
    result = []
    for block, channels in enumerate(network.channels):
        narrowest = min([channels, *_factor_widths(network, block)])
        tiles = [-(-narrowest // engine.input_lanes)]
        if block == 0:
            tiles.append(Stem(network, engine).tiles)
        result.append(pitch(network.map_size(block)[1], min(tiles), engine))
    return result


def _factor_widths(network: Network, block: int) -> list[int]:
    """Channels of the maps between the two halves of low-rank layers at the size of an ODE block."""
    size = network.map_size(block)
    return [
        layer.out_channels for layer in all_layers(network) if layer.name.endswith(FACTOR) and layer.out_size == size
    ]


def pitch(width: int, tiles: int, engine: Engine) -> int:
    """Pixels from row to row of a map whose pixels take `tiles` words."""
    return max(width, engine.pixel_lanes * (2 if tiles == 1 else 1))


@dataclass(frozen=True)
class Stem:
    """How an image lies in the source map: a pixel takes a slot of a power of two bytes.

    conv3x3: the slot is repeated over the word, so that a word holds several taps at once; input word (tile, rep) of
    lane j is tap rep * (lanes / slot) + j // slot. space_to_depth: a row of a block is one pixel of block * channels
    bytes, as it comes on the stream, and the slots of its rows follow each other.
    """

    network: Network
    engine: Engine

    @property
    def block(self) -> int:
        return STEMS[self.network.stem][1]

    @property
    def pixel_bytes(self) -> int:
        return self.block * self.network.in_channels

    @property
    def slot(self) -> int:
        slot, lanes = 1 << (self.pixel_bytes - 1).bit_length(), self.engine.input_lanes
        return max(slot, lanes) if self.block == 1 and slot > self.chunk else slot

    @property
    def chunk(self) -> int:
        """Bytes that the image loader takes per cycle, at most."""
        return min(16, self.engine.input_lanes)

    @property
    def pair(self) -> bool:
        """Whether two pixels come in a cycle: both in one chunk, for an even lane and the one behind it."""
        width = self.network.map_size(0)[1]
        return 2 * self.pixel_bytes <= self.chunk and width % 2 == 0 and self.engine.pixel_lanes % 2 == 0

    @property
    def tiles(self) -> int:
        return -(-(self.block * self.slot) // self.engine.input_lanes)

    @property
    def reps(self) -> int:
        return -(-9 // max(1, self.engine.input_lanes // self.slot)) if self.block == 1 else 1

    def lanes(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """(kernel tap, image channel, window tap, used) of each lane of each input word.

        (tiles * reps, input_lanes).
        """
        width = self.engine.input_lanes
        tile, rep, lane = np.meshgrid(np.arange(self.tiles), np.arange(self.reps), np.arange(width), indexing="ij")
        byte = tile * width + lane
        row = byte // self.slot
        byte, used = byte % self.slot, byte % self.slot < self.pixel_bytes
        column, channel = np.divmod(byte, self.network.in_channels)
        if self.block == 1:
            tap = rep * max(1, width // self.slot) + (lane // self.slot if self.slot < width else 0)
            window = tap
        else:
            tap = row * self.block + column
            window = np.full_like(tap, 4)
        used &= tap < STEMS[self.network.stem][0] ** 2
        shape = (self.tiles * self.reps, width)
        return tap.reshape(shape), channel.reshape(shape), window.reshape(shape), used.reshape(shape)
