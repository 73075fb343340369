"""What a call costs outside the kernel, step by step.

Accesses are counted on the simulated board. Time is taken on a board whose registers are ordinary memory and whose
kernel is done at once, so that nothing but our own work is left: pynq's classes and the driver are those of a board.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynq.buffer import PynqBuffer

from dsodenet.bench.published import A53_PYTHON_FACTOR, BUS_US, CLEAN_US, FLUSH_US
from dsodenet.contract import (
    AP_DONE,
    AP_IDLE,
    REGISTERS,
    Kind,
    Status,
    block_design,
    image_bytes,
    logits_bytes,
    pack_logits,
    unpack_images,
)
from dsodenet.runtime import POLL, Accelerator, PreparedRun
from dsodenet.runtime.simulated import ReferenceKernel, SimulatedZcu104, Words, get, put
from dsodenet.spec import Params

CALLS_AT_ONCE = 20  # timed together; the shortest of many repeats counts, since others use the machine, too
CACHE_LINE_BYTES = 64  # of a Cortex-A53
WARM_UP_WAITS = 10
CTRL_WORD = REGISTERS["CTRL"].offset // 4
DMASR_WORDS, RECEIVED_LENGTH_WORD = (0x04 // 4, 0x34 // 4), 0x58 // 4  # of the AXI DMA (PG021)
DMA_IDLE = 2
# What stands for the interrupt of a slow kernel.
INTERRUPT = """
import socket, sys, time
line = socket.socket(fileno=int(sys.argv[1]))
while let_in := line.recv(4):
    time.sleep(float(sys.argv[2]))
    line.send(let_in)
"""


class InstantKernel(ReferenceKernel):
    """Answers quickly, with sums of pixels that tell every image and every order of its bytes apart."""

    def _run(self, words: Words, steps: object, stages: int, data: bytes) -> tuple[Status, bytes]:
        put(words, "FRAMES_DONE", get(words, "FRAMES"))
        return Status.OK, pack_logits(
            pixel_sums(unpack_images(np.frombuffer(data, np.uint8), self.network), self.network.num_classes)
        )


def pixel_sums(images: NDArray[np.uint8], classes: int) -> NDArray[np.int32]:
    """uint8 (N, channels, height, width) -> int32 (N, classes): weighted sums, exact in float64."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    weights = np.random.default_rng(classes).integers(-99, 100, (pixels.shape[1], classes))
    return (pixels @ weights).astype(np.int32)


def open_instant(params: Params) -> tuple[SimulatedZcu104, Accelerator]:
    device = SimulatedZcu104(InstantKernel(params))
    return device, Accelerator(params, "zcu104-sim", device=device)


class MappedRegisters(np.ndarray[Any, np.dtype[np.uint32]]):
    """A mapped register file: what is written is kept, what is read comes from `answers`."""

    answers: NDArray[np.uint32]

    @classmethod
    def make(cls, num_bytes: int, answers: dict[int, int]) -> MappedRegisters:
        """answers: word -> what it reads as."""
        made = np.zeros(num_bytes // 4, np.uint32).view(cls)
        made.answers = np.zeros(num_bytes // 4, np.uint32)
        for word, value in answers.items():
            made.answers[word] = value
        made.item = made.answers.item  # type: ignore[method-assign]  # no Python between a read and its answer
        return made


class BusyRegisters(MappedRegisters):
    """Those of a kernel that is done `kernel_s` after AP_START."""

    kernel_s = 0.0
    _done_at = 0.0

    def __setitem__(self, word: Any, value: Any) -> None:
        if word == CTRL_WORD:
            self._done_at = time.perf_counter() + self.kernel_s
            self.item = self._item  # type: ignore[method-assign, assignment]

    def _item(self, word: int) -> int:
        if word == CTRL_WORD and time.perf_counter() < self._done_at:
            return 0
        return int(self.answers[word])


class MappedZcu104(SimulatedZcu104):
    """The board for times: mapped registers as on a ZCU104, a kernel that is done at once, no copy at a flush."""

    def __init__(self, params: Params, kernel_s: float = 0.0) -> None:
        """kernel_s: seconds that each command takes."""
        kernel = InstantKernel(params)
        super().__init__(kernel)
        kernel.command(words := np.zeros(128, np.uint32), b"")  # IDENTIFY
        answers = {word: int(value) for word, value in enumerate(words)} | {CTRL_WORD: AP_DONE | AP_IDLE}
        dma, registers = block_design("times", Kind.HLS, params.spec.kernel.clock_mhz).windows
        self._dma = MappedRegisters.make(dma.size, dict.fromkeys(DMASR_WORDS, DMA_IDLE))
        made = (BusyRegisters if kernel_s else MappedRegisters).make(registers.size, answers)
        if isinstance(made, BusyRegisters):
            made.kernel_s = kernel_s
        self._windows: dict[int, NDArray[np.uint32]] = {dma.base: self._dma, registers.base: made}
        self.capabilities = {"MEMORY_MAPPED": True, "REGISTER_RW": True}
        self._kernel_s = kernel_s
        self._interrupts: subprocess.Popen[bytes] | None = None
        self._output: NDArray[np.uint8] | None = None  # where logits come to, once there are any

    def mmap(self, base: int, length: int) -> Any:
        if base not in self._windows:  # registers of the processor, such as its clocks: what is written is read back
            self._windows[base] = np.frombuffer(self.read_registers(base, length), np.uint32).copy()
        return self._windows[base]

    def open_interrupt(self, number: int) -> int:
        """Of a process that sleeps as long as the kernel computes, from when the interrupt is let in."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-c", INTERRUPT, str(far.fileno()), str(self._kernel_s)]
        self._interrupts = subprocess.Popen(command, pass_fds=(far.fileno(),))
        far.close()
        return near.detach()

    def close(self) -> None:
        super().close()
        if self._interrupts is not None:
            self._interrupts.terminate()
            self._interrupts.wait()

    def expect(self, out_bytes: int) -> None:
        """What the DMA will say that it has received."""
        self._dma.answers[RECEIVED_LENGTH_WORD] = out_bytes
        self._end = out_bytes - 1

    def allocate(self, shape: Any, dtype: Any = "u4", cacheable: int = 0) -> PynqBuffer:
        buffer = super().allocate(shape, dtype, cacheable)
        if not cacheable:
            self._output = buffer.view(np.ndarray)
        return buffer

    def flush(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """pynq's way to XRT, without the system call; the kernel answers, in one byte of the last word."""
        if self._output is not None:
            self._output[self._end] = 0

    def invalidate(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """As flush."""


@dataclass(frozen=True)
class Waiting:
    """How a kernel of a known time is waited for."""

    kernel_us: float
    wait: str  # poll or interrupt
    late_us: float  # from its end to the return of `finish`, the median
    cpu: float  # share of the time in which the processor works


def waiting(params: Params, kernel_s: float, calls: int, wait: str = POLL) -> Waiting:
    """Measure commands of a kernel that takes kernel_s. wait: as Accelerator takes it."""
    device = MappedZcu104(params, kernel_s)
    device.expect(logits_bytes(params.spec.network))
    late = []
    with Accelerator(params, "zcu104-sim", device=device, wait=wait) as accelerator, accelerator.driver() as driver:
        exchange = driver.prepared(1).exchange
        for call in range(calls + WARM_UP_WAITS):
            if call == WARM_UP_WAITS:
                began, worked = time.perf_counter(), time.process_time()
            start = time.perf_counter()
            exchange.start()
            exchange.finish()
            late.append(time.perf_counter() - start - kernel_s)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
    return Waiting(1e6 * kernel_s, wait, 1e6 * float(np.median(late[WARM_UP_WAITS:])), worked / seconds)


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


def python_steps(work: Callable[[], object]) -> int:
    """Bytecode instructions that one call of `work` executes: a cost that does not depend on the machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def shortest_us(work: Callable[[], object], repeats: int) -> float:
    """Microseconds of one call: the shortest of `repeats` runs of some calls."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(CALLS_AT_ONCE):
            work()
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / CALLS_AT_ONCE


@dataclass(frozen=True)
class HostShare:
    """What a call costs outside the kernel."""

    batch: int
    layout: str
    accesses: int  # reads and writes of registers, in steady state
    python_steps: int  # bytecode instructions of a call
    steps_us: dict[str, float]  # microseconds on this processor by step; the last is the rest of the call
    native: bool  # made in native code
    image_bytes: int  # that the processor's cache gives to memory; few logits are not cached

    @property
    def us(self) -> float:
        """A call on this processor, the kernel's time left out."""
        return sum(self.steps_us.values())

    def a53_us(self, factor: float = A53_PYTHON_FACTOR[1]) -> float:
        """Estimate for a call on the ZCU104's processor: our work by a factor, the bus and the cache by their times."""
        clean_us = CLEAN_US * -(-self.image_bytes // CACHE_LINE_BYTES) + FLUSH_US * (not self.native)
        return factor * self.us + self.accesses * BUS_US + clean_us


def steps_of(accelerator: Accelerator, images: NDArray[np.uint8], layout: str, repeats: int) -> dict[str, float]:
    """Microseconds of the steps of a call on an open board, and of what is left of the whole call.

    On a board they include the kernel's time, under `wait` or in the native call.
    """
    accelerator.predict(images, layout)
    with accelerator.driver() as driver:
        run = driver.prepared(len(images), layout)
        if (native := run.native) is not None:
            logits = run.unpack()
            steps = {"native": shortest_us(lambda: native(images, logits), repeats)}
        else:
            steps = python_steps_of(run, images, repeats)
        driven = shortest_us(lambda: driver.predict(images, layout), repeats)
    accelerator.predict(images, layout)
    whole = shortest_us(lambda: accelerator.predict(images, layout), repeats)
    rest = max(0.0, driven - sum(steps.values()))
    return {"checks": max(0.0, whole - driven), **steps, "driver": rest}


def python_steps_of(run: PreparedRun, images: NDArray[np.uint8], repeats: int) -> dict[str, float]:
    """Microseconds of the steps of a run that Python makes."""

    def exchange() -> None:
        run.exchange.start()
        run.exchange.finish()

    pack, unpack = (shortest_us(work, repeats) for work in (lambda: run.pack(images), run.unpack))
    both = shortest_us(exchange, repeats)
    ring = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        run.exchange.start()
        ring = min(ring or 1.0, time.perf_counter() - start)
        run.exchange.finish()
    ring_us = min(1e6 * ring, both)
    return {"pack": pack, "doorbells": ring_us, "wait": both - ring_us, "unpack": unpack}


def host_share(
    params: Params, images: NDArray[np.uint8], repeats: int, layout: str = "nchw", native: bool | None = None
) -> HostShare:
    """Measure calls with these images, uint8 (N, channels, height, width), given to the library in `layout`.

    native: as Accelerator takes it; a large batch is never made in native code.
    """
    given = images if layout == "nchw" else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    device = MappedZcu104(params)
    device.expect(len(images) * logits_bytes(params.spec.network))
    with Accelerator(params, "zcu104-sim", device=device, native=native) as accelerator:
        steps = steps_of(accelerator, given, layout, repeats)
        count = python_steps(lambda: accelerator.predict(given, layout))
    sent = len(images) * image_bytes(params.spec.network)
    return HostShare(len(images), layout, accesses(params, images), count, steps, "native" in steps, sent)
