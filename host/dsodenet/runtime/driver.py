"""The one driver of every kernel, whatever carries its registers and streams: identify, load, run, and errors in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import (
    COEFF,
    COEFFS_PER_BLOCK,
    CONTRACT_VERSION,
    IDENTITY,
    REGISTERS,
    Command,
    Kind,
    Status,
    bias_program,
    coefficient_words,
    fingerprint_words,
    image_bytes,
    logits_bytes,
    pack_images,
    unpack_logits,
)
from dsodenet.errors import DeviceError, InputError
from dsodenet.runtime.stages import Stages
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
}


class Transport(Protocol):
    """What carries registers and streams to a kernel. After an error the next command starts afresh, or raises DeviceError."""

    kind: str  # of its times: "simulated" or "measured"
    max_bytes: int  # in each direction of one command
    clock_mhz: float | None  # of the fabric, where there is one
    stages: Stages  # of the last predict: `command` laps what it knows apart, the driver the rest

    def input(self, num_bytes: int) -> NDArray[np.uint8]:
        """The memory (num_bytes,) from which the next command sends; fill it before `command`."""

    def write(self, offset: int, value: int) -> None:
        """Set an argument register."""

    def read(self, offset: int) -> int:
        """A result register of the last command."""

    def command(self, in_bytes: int, out_bytes: int, max_cycles: int) -> tuple[int, NDArray[np.uint8]]:
        """Run what the arguments say: (STATUS, the out_bytes received, valid until the next command).

        DeviceError when the kernel does not end in time or, with STATUS OK, sends another number of bytes.
        """

    def close(self) -> None:
        """Give everything back; called once, and nothing after it."""


@dataclass(frozen=True)
class Identity:
    """What IDENTIFY says about the kernel behind a transport."""

    kind: Kind
    fingerprint: tuple[int, int]  # low, high word
    max_channels: int
    max_pixels: int
    max_steps: int
    lanes: tuple[int, int, int, int]  # pixel, depthwise, input, output; zeros for hls

    @classmethod
    def read(cls, transport: Transport) -> Identity:
        """Read the registers that IDENTIFY filled; DeviceError when something else answers."""

        def word(name: str) -> int:
            return transport.read(REGISTERS[name].offset)

        if (identity := word("IDENTITY")) != IDENTITY:
            raise DeviceError(
                f"the device answers identity {identity:#010x}, but a dsODENet kernel answers {IDENTITY:#010x}"
            )
        kind, version = divmod(word("VERSION"), 1 << 16)
        if version != CONTRACT_VERSION:
            raise DeviceError(f"the kernel has contract version {version}, but this package has {CONTRACT_VERSION}")
        if kind not in list(Kind):
            known = ", ".join(f"{k.value} {k.name.lower()}" for k in Kind)
            raise DeviceError(f"the kernel is of kind {kind}, but this package knows {known}")
        lanes = word("CAP_LANES").to_bytes(4, "big")
        return cls(
            Kind(kind),
            (word("FINGERPRINT_LO"), word("FINGERPRINT_HI")),
            word("CAP_CHANNELS"),
            word("CAP_PIXELS"),
            word("CAP_STEPS"),
            (lanes[0], lanes[1], lanes[2], lanes[3]),
        )

    def check(self, params: Params) -> None:
        """DeviceError unless this kernel can run this model. (An rtl kernel takes any model that fits: no fingerprint.)"""
        low, high = fingerprint_words(params.model_fingerprint)
        if self.kind is Kind.HLS and self.fingerprint != (low, high):
            raise DeviceError(
                f"the kernel was built for model {self.fingerprint[1]:08x}{self.fingerprint[0]:08x}, "
                f"but the run holds model {high:08x}{low:08x}; build the kernel from this run"
            )
        network = params.spec.network
        pixels = max(height * width for height, width in map(network.map_size, range(len(network.channels))))
        for what, needed, limit in (
            ("channels", max(network.channels), self.max_channels),
            ("pixels in a map", pixels, self.max_pixels),
            ("solver steps", max(params.spec.solver.n_steps), self.max_steps),
        ):
            if needed > limit:
                raise DeviceError(f"the model needs {needed} {what}, but the kernel takes at most {limit}")


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

    def __init__(
        self,
        transport: Transport,
        params: Params,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        clean_up: Callable[[], None] = lambda: None,
        rails: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """clean_up runs after the transport has closed; rails looks for the power rails of the board.

        The transport is closed where the kernel cannot be opened.
        """
        try:
            self._open(transport, params, max_batch_bytes)
        except BaseException:
            transport.close()
            raise
        self._clean_up, self.power_rails = clean_up, rails

    def _open(self, transport: Transport, params: Params, max_batch_bytes: int) -> None:
        self.transport, self.params, self.kind = transport, params, transport.kind
        network = params.spec.network
        largest = max(image_bytes(network), logits_bytes(network))
        self.frames_per_batch = min(max_batch_bytes, transport.max_bytes) // largest
        if self.frames_per_batch < 1:
            raise InputError(
                f"one image takes {largest} bytes, but max_batch_bytes is {max_batch_bytes} "
                f"and the device moves at most {transport.max_bytes} at once"
            )
        self.max_cycles = sum(macs(params.spec).values())
        self.batches = 0  # of the last predict
        self.cycles: int | None = None  # of the last predict, where the kernel counts them
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
        """images: uint8 (N, channels, height, width) -> int32 logits (N, num_classes). DeviceError when the kernel fails."""
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
