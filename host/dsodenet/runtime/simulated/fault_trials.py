"""Every fault that the simulated board can have, and what a call makes of it.

Tests use it, and so do the figures of the host library.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dsodenet.contract import ZCU104
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.interrupt import POLL
from dsodenet.runtime.simulated.device import SimulatedZcu104
from dsodenet.runtime.simulated.faults import Faults
from dsodenet.runtime.simulated.kernels import ReferenceKernel
from dsodenet.runtime.simulated.memory import AxiDma
from dsodenet.spec import Params, random_images

ANOTHER_PART = "xczu9eg-ffvb1156-2-e"
ENDLESS_S = 3600.0  # over every time limit
MARGIN_S = 5.0  # over the time limit of a call: resets, and a machine so busy that a second is not enough


@dataclass(frozen=True)
class Fault:
    inject: Callable[[SimulatedZcu104], None]
    raises: str  # a regular expression for the exception; empty for a fault that only wrong logits show
    at_open: bool = False  # met when the accelerator is opened, not in a call


def _set(name: str, value: float) -> Callable[[SimulatedZcu104], None]:
    return lambda device: setattr(device.board.faults, name, value)


def _another_part(device: SimulatedZcu104) -> None:
    device.part = ANOTHER_PART


def _result(name: str, value: int) -> Callable[[SimulatedZcu104], None]:
    return lambda device: device.board.faults.results.update({name: value})


def _forget_program(device: SimulatedZcu104) -> None:
    """The kernel forgets what was loaded, as after a reset."""
    assert isinstance(device.board.kernel, ReferenceKernel)
    device.board.kernel.tables = None


FAULTS = {
    "stalled kernel": Fault(_set("stall_s", ENDLESS_S), r"no answer in [\d.]+ s: kernel CTRL 0x1 \(AP_START\)"),
    "hung kernel": Fault(
        _set("kernel_hangs", 1), r"no answer in [\d.]+ s: kernel CTRL 0x1 \(AP_START\), STATUS 0, MM2S DMASR"
    ),
    "lost doorbell": Fault(_set("lost_starts", 1), r"no answer in [\d.]+ s: kernel CTRL 0x4 \(AP_IDLE\)"),
    "doubled doorbell": Fault(_set("doubled_starts", 1), r"is done and has started again unasked: kernel CTRL 0x1"),
    "DMA error on the way in": Fault(
        _set("mm2s_error", AxiDma.DECODE), r"DMA reports decode error.*MM2S DMASR 0x1041 \(halted"
    ),
    "DMA error on the way out": Fault(
        _set("s2mm_error", AxiDma.SLAVE), r"DMA reports slave error.*S2MM DMASR 0x1021 \(halted"
    ),
    "slow DMA": Fault(_set("dma_delay_s", ENDLESS_S), r"the kernel is done, but the DMA is not in [\d.]+ s"),
    "short output": Fault(_set("short_packets", 1), r"the kernel sent \d+ bytes, but \d+ were expected"),
    "unseen memory": Fault(
        _set("unseen_packets", 1),
        r"the DMA has sent \d+ bytes to 0x[0-9a-f]+, but the processor does not see them there",
    ),
    "corrupt word": Fault(_set("corrupt_words", 1), ""),
    "no memory": Fault(
        _set("allocations", 1), r"no contiguous memory for a buffer of \d+ bytes .*smaller max_batch_bytes"
    ),
    "program lost": Fault(_forget_program, "refused RUN with status 7: no program was loaded"),
    "lost board": Fault(
        _set("lost_accesses", 2), r"the board does not answer any more \(the way to the board is gone\)"
    ),
    "interrupted call": Fault(_set("interrupts", 1), "KeyboardInterrupt"),
    "wrong part": Fault(_another_part, f"is for {ZCU104.part}, but the board has {ANOTHER_PART}", at_open=True),
    "wrong fingerprint": Fault(
        _result("FINGERPRINT_LO", 7), r"built for model [0-9a-f]{8}00000007, but the run holds", at_open=True
    ),
    "wrong identity": Fault(
        _result("IDENTITY", 0xDEADBEEF), "identity 0xdeadbeef, but a dsODENet kernel answers", at_open=True
    ),
    "refused program": Fault(
        _result("STATUS", 8), "refused IDENTIFY with status 8: the program does not fit", at_open=True
    ),
}


@dataclass(frozen=True)
class Trial:
    """What a fault did to one call (or to opening), and whether the call after it was right."""

    fault: str
    exception: str  # its type; empty when none was raised
    text: str
    seconds: float  # until it was raised, or the call returned
    wrong_logits: int  # in the answer of the call with the fault
    next_call_right: bool
    buffers_left: int  # allocations that closing left behind


def trial(name: str, params: Params, timeout_s: float, count: int = 40, wait: str = POLL) -> Trial:
    """Inject one fault into a simulated board of its own, and make two calls of `count` images.

    timeout_s: seconds after which a command fails. wait: how the host waits for the kernel.
    """
    fault = FAULTS[name]
    device = SimulatedZcu104(ReferenceKernel(params))
    images = random_images(params.spec, count, 3)
    expected = Reference(params, 1).predict(images)
    logits, exception, text = expected, "", ""

    def opened() -> Accelerator:
        return Accelerator(params, "zcu104-sim", device=device, timeout_s=timeout_s, wait=wait)

    accelerator = None if fault.at_open else opened()
    if accelerator is not None:
        accelerator.predict(images[:1])
    fault.inject(device)
    start = time.perf_counter()
    try:
        accelerator = accelerator or opened()
        logits = accelerator.predict(images)
    except (Exception, KeyboardInterrupt) as error:
        exception, text = type(error).__name__, str(error) or type(error).__name__
        text = re.sub(r"\S*/(?=\w+\.bit)", "", text)  # the temporary folder of a simulated board says nothing
    seconds = time.perf_counter() - start
    device.board.faults, device.part = Faults(), ZCU104.part
    with accelerator or opened() as accelerator:
        right = bool((accelerator.predict(images) == expected).all())
    return Trial(name, exception, text, seconds, int(np.sum(logits != expected)), right, len(device.board.ddr.live))
