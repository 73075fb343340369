"""Weights and biases as the words of the rtl kernel's memories: part of builder.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import BEAT_BYTES
from dsodenet.rtl.engine import PW_BEAT_WEIGHTS, Engine
from dsodenet.spec import Layer, Params, bias_name

WordArray = NDArray[np.uint8]  # (words, bytes of a word)
DW_LANE_BYTES = 12  # nine weights, a bias of 24 bits


class Words:
    """Collects the words of the three weight memories, pass by pass."""

    def __init__(self, params: Params, engine: Engine) -> None:
        self.params, self.engine = params, engine
        self.dw: list[WordArray] = []
        self.pw: list[WordArray] = []
        self.bias: list[WordArray] = []

    def depthwise(self, layer: Layer) -> None:
        """Weights and biases of a depthwise layer, lane by lane."""
        lanes = self.engine.input_lanes
        weight = pad(self.params.arrays[f"{layer.name}.weight"].reshape(-1, 9), lanes)
        bias = pad(self.params.arrays[bias_name(layer)], lanes)
        self.add_dw(weight, bias)

    def add_dw(self, weight: NDArray[np.int8], bias: NDArray[np.int32]) -> None:
        """weight: (words * lanes, 9), bias: (words * lanes,)"""
        word = np.zeros((len(weight), DW_LANE_BYTES), np.uint8)
        word[:, :9] = weight.view(np.uint8)
        word[:, 9:] = bias.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
        self.dw.append(word.reshape(-1, self.engine.input_lanes * DW_LANE_BYTES))

    def pointwise(self, matrix: NDArray[np.int8], bias: NDArray[np.int32]) -> None:
        """matrix: (inputs padded to lanes, out_channels); bias: (rows, out_channels)"""
        i, o, length = self.engine.input_lanes, self.engine.output_lanes, self.engine.cascade
        matrix = pad(matrix.T, o)
        # A word is (place in the cascade, cascade, output); each place is padded to whole beats of PW_BEAT_WEIGHTS.
        places = (
            matrix.reshape(-1, o, matrix.shape[1] // i, i // length, length)
            .transpose(0, 2, 4, 3, 1)
            .reshape(-1, i // length * o)
        )
        weights = np.pad(places, ((0, 0), (0, -places.shape[1] % PW_BEAT_WEIGHTS))).reshape(-1, PW_BEAT_WEIGHTS)
        padded = np.pad(weights, ((0, 0), (0, BEAT_BYTES - PW_BEAT_WEIGHTS)))
        self.pw.append(padded.view(np.uint8).reshape(len(places) // length, -1))
        words = pad(np.ascontiguousarray(bias.T), i).T
        self.bias.append(np.ascontiguousarray(words, "<i4").view(np.uint8).reshape(-1, 4 * i))

    def bases(self) -> dict[str, int]:
        """Where the next words go."""
        return {"dw_base": count(self.dw), "pw_base": count(self.pw), "bias_base": count(self.bias)}

    def add_identity(self, tiles: int) -> None:
        """Weights that pass the input on."""
        lanes = self.engine.input_lanes
        self.add_dw(np.tile((np.arange(9) == 4).astype(np.int8), (tiles * lanes, 1)), np.zeros(tiles * lanes, np.int32))


def count(words: list[WordArray]) -> int:
    return sum(len(part) for part in words)


def pad(array: NDArray, multiple: int) -> NDArray:
    """Zeros after the first axis up to a multiple."""
    rest = -len(array) % multiple
    return np.concatenate([array, np.zeros((rest, *array.shape[1:]), array.dtype)]) if rest else array


def matrix_of(params: Params, layer: Layer, engine: Engine) -> NDArray[np.int8]:
    """Weights of a pointwise layer: (in_channels padded to lanes, out_channels)."""
    return pad(
        np.ascontiguousarray(params.arrays[f"{layer.name}.weight"].reshape(layer.out_channels, -1).T),
        engine.input_lanes,
    )
