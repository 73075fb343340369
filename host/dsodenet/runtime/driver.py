"""The one driver of every kernel, whatever carries its registers and streams.

It identifies the kernel, loads its program, runs it, and puts its errors into words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import (
    COEFF,
    COEFFS_PER_BLOCK,
    REGISTERS,
    Command,
    Kind,
    Status,
    bias_program,
    coefficient_words,
    image_bytes,
    logits_bytes,
    pack_images,
    unpack_logits,
)
from dsodenet.errors import DeviceError, InputError
from dsodenet.runtime.transport import Identity, Transport
from dsodenet.spec import Params, macs, tableau

Result = TypeVar("Result")
MAX_BATCH_BYTES = 4 << 20
STARTUP_CYCLES = 1 << 20  # on top of one MAC per cycle, the slowest kernel that is still waited for
STATUS_TEXT = {
    Status.BAD_COMMAND: "it does not know the command",
    Status.BAD_STEPS: "the number of solver steps is 0 or over its limit",
    Status.BAD_STAGES: "the number of solver stages is 0 or over its limit",
    Status.BAD_FRAMES: "the number of frames is 0",
    Status.SHORT_INPUT: "its input ended before the last beat",
    Status.LONG_INPUT: "its input did not end on the last beat",
    Status.NOT_LOADED: "no program was loaded",
    Status.BAD_PROGRAM: "the program does not fit this kernel or this model",
    Status.WRITE_WHILE_BUSY: "a register was written while it ran",
    Status.WATCHDOG: "it stood still for longer than any program takes, and gave up its program",
}


def _hls_program(params: Params, identity: Identity) -> bytes:
    return bias_program(params)


def _rtl_program(params: Params, identity: Identity) -> bytes:
    from dsodenet.rtl import Engine, program

    engine = Engine.of(params.spec.kernel)
    lanes = tuple(engine.lanes_word.to_bytes(4, "big"))
    if lanes != identity.lanes:
        raise DeviceError(
            f"the kernel has {identity.lanes} pixel, depthwise, input and output lanes, but the spec says {lanes}"
        )
    data: bytes = program(params, engine)
    return data


ProgramBytes = Callable[[Params, Identity], bytes]  # empty: no LOAD needed
PROGRAMS: dict[Kind, ProgramBytes] = {Kind.HLS: _hls_program, Kind.RTL: _rtl_program}


class KernelDriver:
    """Runs one model on one kernel: the backend of everything but the cpu and torch.

    Registers are written only when their value changes; large batches are split.
    """

    survives_fork = False  # two processes would write the registers of one kernel

    def __init__(
        self,
        transport: Transport,
        params: Params,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        clean_up: Callable[[], None] = lambda: None,
        rails: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Open the kernel behind a transport. A transport whose kernel cannot be opened stays open: it is the caller's.

        max_batch_bytes: bytes of the images or logits of one command.
        clean_up: what `close` calls after the transport has closed.
        rails: looks for the power rails of the board.
        """
        self.transport, self.params, self.kind = transport, params, transport.kind
        self._clean_up, self.power_rails = clean_up, rails
        network = params.spec.network
        largest = max(image_bytes(network), logits_bytes(network))
        self.frames_per_batch = min(max_batch_bytes, transport.max_bytes) // largest
        if self.frames_per_batch < 1:
            raise InputError(
                f"one image takes {largest} bytes, but max_batch_bytes is {max_batch_bytes} "
                f"and the device moves at most {transport.max_bytes} at once"
            )
        self.max_cycles = sum(macs(params.spec).values())
        self.batches = 0  # commands of the last predict
        self.cycles: int | None = None  # cycles of the last predict, where the kernel counts them
        self.identity: Identity | None = None
        self._written: dict[int, int] = {}  # argument registers that the kernel is known to hold
        self._ready = False
        self._guarded(self._prepare)

    def set_solver(self, params: Params) -> None:
        """Run the same integers under another solver from the next batch on."""
        if self.identity is not None:
            self.identity.check(params)
        self.params, self._ready = params, False
        self.max_cycles = sum(macs(params.spec).values())

    @property
    def clock_mhz(self) -> float | None:
        """Clock of the fabric, where there is one."""
        return self.transport.clock_mhz

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of the last predict by stage: pack, registers, flush, start, compute, finish, invalidate, unpack.

        The simulated board computes inside the register write that starts it, so there the kernel's time is in
        `start`.
        """
        return self.transport.stages.seconds

    def kernel_kind(self) -> Kind:
        """Which kernel answers; DeviceError when none does or it does not fit the model."""
        return self._guarded(self._identify).kind

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """images: uint8 (N, channels, height, width) -> int32 logits (N, num_classes).

        DeviceError when the kernel fails.
        """
        return self._guarded(lambda: self._predict(images))

    def close(self) -> None:
        self.transport.close()
        self._clean_up()

    def forget(self) -> None:
        """Take nothing about the kernel's state for granted: the next call identifies it and loads its program."""
        self._written.clear()
        self.identity, self._ready = None, False

    def _predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        network = self.params.spec.network
        self.transport.stages.start()
        if not self._ready:
            self._prepare()
        assert self.identity is not None
        logits = np.empty((len(images), network.num_classes), np.int32)
        starts = range(0, len(images), self.frames_per_batch)
        cycles = 0
        lap = self.transport.stages.lap
        lap("registers")
        for start in starts:
            batch = images[start : start + self.frames_per_batch]
            count = len(batch)
            in_bytes, out_bytes = count * image_bytes(network), count * logits_bytes(network)
            pack_images(batch, self.transport.input(in_bytes))
            lap("pack")
            self._write("COMMAND", Command.RUN)
            self._write("FRAMES", count)
            lap("registers")
            received = self._command(in_bytes, out_bytes, count)
            logits[start : start + count] = unpack_logits(received, network)
            lap("unpack")
            if self.identity.kind is Kind.RTL:  # the hls kernel has no counter, and a register read costs microseconds
                cycles += self.transport.read(REGISTERS["CYCLES"].offset)
                lap("registers")
        self.batches, self.cycles = len(starts), cycles if self.identity.kind is Kind.RTL else None
        return logits

    def _prepare(self) -> None:
        """Identify the kernel unless that is done, write the solver's arguments, load the program."""
        self.identity = self._identify()
        solver = self.params.spec.solver
        method = tableau(solver.method)
        self._write("NUM_STAGES", method.num_stages)
        for block, n_steps in enumerate(solver.n_steps):
            self._write(f"N_STEPS_{block + 1}", n_steps)
            words = coefficient_words(method, self.params.spec.coefficients(block))
            for i, word in enumerate(words, start=block * COEFFS_PER_BLOCK):
                self._write_offset(COEFF.offset + 4 * i, word & 0xFFFFFFFF)
        if program := PROGRAMS[self.identity.kind](self.params, self.identity):
            if len(program) > self.transport.max_bytes:
                raise DeviceError(
                    f"the program has {len(program)} bytes, but the device moves {self.transport.max_bytes} at once"
                )
            self.transport.input(len(program))[:] = np.frombuffer(program, np.uint8)
            self._write("COMMAND", Command.LOAD)
            self._command(len(program), 0, 1)
        self._ready = True

    def _identify(self) -> Identity:
        if self.identity is not None:
            return self.identity
        self._write("COMMAND", Command.IDENTIFY)
        self._command(0, 0, 1)
        identity = Identity.read(self.transport)
        identity.check(self.params)
        return identity

    def _guarded(self, work: Callable[[], Result]) -> Result:
        """After any failure, an interrupt included, nothing about the kernel's state is taken for granted."""
        try:
            return work()
        except BaseException:
            self.forget()
            raise

    def _command(self, in_bytes: int, out_bytes: int, frames: int) -> NDArray[np.uint8]:
        status, received = self.transport.command(in_bytes, out_bytes, STARTUP_CYCLES + frames * self.max_cycles)
        if status != Status.OK:
            command = Command(self._written[REGISTERS["COMMAND"].offset]).name
            text = STATUS_TEXT[Status(status)] if status in list(Status) else "this package does not know that status"
            raise DeviceError(f"the kernel refused {command} with status {status}: {text}")
        return received

    def _write(self, name: str, value: int) -> None:
        self._write_offset(REGISTERS[name].offset, value)

    def _write_offset(self, offset: int, value: int) -> None:
        if self._written.get(offset) != value:
            self.transport.write(offset, value)
            self._written[offset] = value
