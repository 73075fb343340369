"""What a call costs outside the kernel.

Counted and timed on the simulated board, with a kernel that answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import Status, pack_logits
from dsodenet.runtime import Accelerator, Throughput, throughput_test
from dsodenet.runtime.simulated import ReferenceKernel, SimulatedZcu104, Words, get, put
from dsodenet.spec import Params


class InstantKernel(ReferenceKernel):
    """Answers at once, with the number of each frame.

    What is left of a call is the host's share, and the simulated board's.
    """

    def _run(self, words: Words, steps: object, stages: int, data: bytes) -> tuple[Status, bytes]:
        frames = get(words, "FRAMES")
        put(words, "FRAMES_DONE", frames)
        return Status.OK, pack_logits(
            np.repeat(np.arange(frames, dtype=np.int32)[:, None], self.network.num_classes, axis=1)
        )


def open_instant(params: Params) -> tuple[SimulatedZcu104, Accelerator]:
    device = SimulatedZcu104(InstantKernel(params))
    return device, Accelerator(params, "zcu104-sim", device=device)


def accesses(params: Params, images: NDArray[np.uint8]) -> int:
    """Register accesses of one call in steady state."""
    device, accelerator = open_instant(params)
    with accelerator:
        for _ in range(2):
            accelerator.predict(images)
        counted: list[tuple[str, int, int]] = []
        device.board.accesses = counted
        accelerator.predict(images)
        return len(counted)


@dataclass(frozen=True)
class HostShare:
    """What a call costs outside the kernel."""

    accesses: int  # reads and writes of registers, in steady state
    timing: Throughput  # with a kernel that answers at once, on the simulated board

    @property
    def median_us(self) -> float:
        return self.timing.latency_us["p50"]


def host_share(params: Params, images: NDArray[np.uint8], repeats: int) -> HostShare:
    """Time `repeats` calls with these images on this processor, and count the register accesses of one."""
    with open_instant(params)[1] as accelerator:
        timing = throughput_test(accelerator, images, calls=repeats)
    return HostShare(accesses(params, images), timing)
