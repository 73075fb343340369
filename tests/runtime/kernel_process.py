"""A kernel that computes at the same time as the host: another process that shares registers and memory with it.

`python kernel_process.py LIBRARY` makes calls of it with a compiled native_call, as a test does under an emulated
processor, and prints how many logits were wrong.
"""

from __future__ import annotations

import importlib.util
import mmap
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import AP_DONE, AP_IDLE, AP_START, logits_view, pack_logits, padding_view, pixel_view
from dsodenet.runtime import exchange
from dsodenet.runtime.native_call import DONE, Run
from dsodenet.runtime.transport import Form
from dsodenet.spec import Network, Spec

WINDOW_BYTES, TIMEOUT_S = 1 << 12, 20.0


class SharedMemory:
    """Memory that the DMA reaches, and a process of a fork."""

    def __init__(self, size: int) -> None:
        self.view = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        self.address, self.invalidate = 0, None

    def flush(self) -> None:
        """Nothing is cached apart."""


class SharedKernel:
    """Sums pixels. Registers are memory that the kernel's process watches."""

    def __init__(self, network: Network, count: int, in_bytes: int, out_bytes: int) -> None:
        self.network, self.count = network, count
        self.kernel, self.dma = (np.frombuffer(mmap.mmap(-1, WINDOW_BYTES), np.uint32) for _ in range(2))
        self.input, self.output = SharedMemory(in_bytes), SharedMemory(out_bytes)
        self.dma[[exchange.SENT_STATUS, exchange.RECEIVED_STATUS]] = exchange.DMASR_IDLE
        self.bus = exchange.Bus(self.kernel, self.dma, TIMEOUT_S, lambda: True, lambda: None)
        self.bus.broken = False

    def serve(self) -> None:
        """Command after command. A register that rang is 0 afterwards."""
        while True:
            while self.kernel[exchange.CTRL_WORD] != AP_START:
                pass
            while not (self.dma[exchange.SENT_LENGTH] and self.dma[exchange.RECEIVED_LENGTH]):
                pass
            sums = expected(pixel_view(self.input.view, self.count, self.network.image_shape), self.network)
            left_over = padding_view(self.input.view, self.count, self.network.image_shape).any()
            self.output.view[:] = np.frombuffer(pack_logits(sums + left_over), np.uint8)
            self.dma[exchange.SENT_LENGTH] = 0
            self.kernel[exchange.CTRL_WORD] = AP_DONE | AP_IDLE

    @contextmanager
    def running(self) -> Iterator[None]:
        child = os.fork()
        if not child:
            try:
                self.serve()
            finally:
                os._exit(1)
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def expected(pixels: NDArray[np.uint8], network: Network) -> NDArray[np.int32]:
    """uint8 (N, height, width, channels) -> int32 (N, num_classes): a weighted sum for each class."""
    flat = pixels.reshape(len(pixels), -1).astype(np.int64)
    weights = 1 + np.arange(flat.shape[1])[:, None] * (1 + np.arange(network.num_classes))
    return (flat @ weights).astype(np.int32)


def wrong_logits(run: Run | None, network: Network, count: int, planar: bool, calls: int) -> int:
    """How many logits of so many calls are wrong; without `run` they are made in Python."""
    channels, height, width = network.image_shape
    images = -(-channels * height * width // 16) * 16 * count
    board = SharedKernel(network, count, images, -(-network.num_classes // 4) * 16 * count)
    board.bus.run = run
    made = exchange.BoardExchange(board.bus, board.input, board.output, images, board.output.view.size)
    native = made.native(Form(count, height * width, channels, network.num_classes, planar))
    pixels, wrong = pixel_view(made.input, count, network.image_shape), 0
    with board.running():
        for seed in range(calls):
            given = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)
            logits = np.zeros((count, network.num_classes), np.int32)
            if native is None:
                pixels[...] = given
                made.start()
                status = made.finish()
                logits[...] = logits_view(made.output, network)
            else:
                control = native(np.ascontiguousarray(given.transpose(0, 3, 1, 2)) if planar else given, logits)
                status = 0
                if control != DONE:  # it took longer than the native call waits
                    status = made.finish(max(0, control))
                    logits[...] = logits_view(made.output, network)
            wrong += status + int((logits != expected(given, network)).sum())
    return wrong


def networks() -> Iterator[Network]:
    """Images with and without padding, of one, two and three channels."""
    import dataclasses

    for channels, size, classes in ((1, 8, 10), (3, 7, 3), (2, 5, 43), (3, 16, 4)):
        yield dataclasses.replace(
            Spec.named("xs").network, in_channels=channels, height=size, width=size + 1, num_classes=classes
        )


def main(library: str) -> None:
    spec = importlib.util.spec_from_file_location("native_call", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    counts = [
        wrong_logits(module.run, network, count, planar, 3)
        for network in networks()
        for count in (1, 3)
        for planar in (False, True)
    ]
    print(len(counts), sum(counts))


if __name__ == "__main__":
    main(sys.argv[1])
