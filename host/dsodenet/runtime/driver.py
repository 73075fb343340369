"""The one driver of every kernel, whatever carries its registers and streams.

It identifies the kernel, loads its program, runs it, and puts its errors into words.
"""

from __future__ import annotations

import contextlib
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
    coefficient_words,
    image_bytes,
    logits_bytes,
)
from dsodenet.errors import DeviceError, InputError
from dsodenet.runtime.pixels import NCHW
from dsodenet.runtime.prepared import Pending, PreparedRun
from dsodenet.runtime.programs import PROGRAMS, Program, Programs
from dsodenet.runtime.transport import Identity, Transport
from dsodenet.spec import Params, macs, tableau

Result = TypeVar("Result")
MAX_BATCH_BYTES = 4 << 20
MAX_PREPARED = 64  # runs of different sizes that are kept
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


class KernelDriver:
    """Runs one model on one kernel: the backend of everything but the cpu and torch.

    Registers are written only when their value changes; large batches are split. What depends on the size of a batch
    alone is prepared when that size is first seen.
    """

    survives_fork = False  # two processes would write the registers of one kernel

    def __init__(
        self,
        transport: Transport,
        params: Params,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        clean_up: Callable[[], None] = lambda: None,
        rails: Callable[[], Mapping[str, Any]] = dict,
        images_at_once: int | None = None,
    ) -> None:
        """Open the kernel behind a transport. A transport whose kernel cannot be opened stays open: it is the caller's.

        max_batch_bytes: bytes of the images or logits of one command.
        clean_up: what `close` calls after the transport has closed.
        rails: looks for the power rails of the board.
        images_at_once: small images that the rtl kernel computes as one; by default as many as pay for a batch.
        """
        self.transport, self.kind, self.max_batch_bytes = transport, transport.kind, max_batch_bytes
        self._clean_up, self.power_rails = clean_up, rails
        self._take(params)
        self.batches = 0  # commands of the last predict
        self.identity: Identity | None = None
        self._images_at_once = images_at_once
        self._programs: Programs | None = None  # made when the kernel is known, for the solver that is set
        self._loaded: Program | None = None
        self._written: dict[int, int] = {}  # argument registers that the kernel is known to hold
        self._ready = False
        self._armed_for = 0  # frames of the run that AP_START would start now; 0: it would start something else
        self._runs: dict[tuple[int, str, int, int], PreparedRun] = {}  # by images, layout, slot, images of a frame
        self._steady: dict[tuple[int, str], PreparedRun] = {}  # those that need nothing but images, by these and layout
        self._pending: Pending | None = None  # the run under way
        self._slot = 0  # of the memory that no run under way uses
        self._cycles: int | None = None
        self._cycles_unread = False
        self._guarded(self._prepare)

    def set_model(self, params: Params) -> None:
        """Run another model, for images of the same shape, from the next batch on.

        DeviceError where the kernel has other weights built in. The solver and the bias tables of f may always change.
        """
        if self.identity is not None:
            self.identity.check(params)
        self.settle()
        self._read_cycles()
        self._take(params)
        self._ready, self._programs = False, None
        self._runs.clear()
        self._steady.clear()

    def _take(self, params: Params) -> None:
        """Note a model, and how many of its images one command moves."""
        network = params.spec.network
        largest = max(image_bytes(network), logits_bytes(network))
        frames = min(self.max_batch_bytes, self.transport.max_bytes) // largest
        if frames < 1:
            raise InputError(
                f"one image takes {largest} bytes, but max_batch_bytes is {self.max_batch_bytes} "
                f"and the device moves at most {self.transport.max_bytes} at once"
            )
        self.params, self.frames_per_batch, self.max_cycles = params, frames, sum(macs(params.spec).values())

    @property
    def clock_mhz(self) -> float | None:
        """Clock of the fabric, where there is one."""
        return self.transport.clock_mhz

    @property
    def timed(self) -> bool:
        """Whether calls are timed by stage, which takes some microseconds of each."""
        return self.transport.stages.on

    @timed.setter
    def timed(self, on: bool) -> None:
        self.transport.stages.on, self.transport.stages.seconds = on, {}
        self._steady.clear()

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of the last predict by stage: pack, registers, flush, start, compute, finish, invalidate, unpack.

        Empty unless `timed`. The simulated board computes inside the register write that starts it, so there the
        kernel's time is in `start`.
        """
        return self.transport.stages.seconds

    @property
    def cycles(self) -> int | None:
        """Cycles of the last predict, where the kernel counts them. Asked for after a call, they cost one access."""
        self._read_cycles()
        return self._cycles

    def kernel_kind(self) -> Kind:
        """Which kernel answers; DeviceError when none does or it does not fit the model."""
        return self._guarded(self._identify).kind

    def predict(self, images: NDArray[np.uint8], layout: str = NCHW) -> NDArray[np.int32]:
        """images: uint8 (N, channels, height, width), or (N, height, width, channels) for layout nhwc.

        Returns int32 logits (N, num_classes). DeviceError when the kernel fails.
        """
        try:
            run = self._steady.get((len(images), layout))
            if run is None:
                return self._predict(images, layout)
            if self._armed_for != run.frames:
                self._arm(run)
            status, logits = run.call(images)
            if logits is None:
                raise self._refused(status)
            self.batches, self._cycles_unread = 1, True
            return logits
        except BaseException:
            self.forget()
            raise

    @property
    def works_alone(self) -> bool:
        """Whether the kernel computes while this process does something else."""
        return self.transport.works_alone

    def begin(self, images: NDArray[np.uint8], layout: str = NCHW) -> Pending:
        """Start a run and return while the kernel works; more images than one command takes are done at once.

        The images are packed while the run before them is under way; its logits are unpacked while this one is.
        DeviceError when it cannot be started. What the run before came to is in its own Pending.
        """
        try:
            if len(images) > self.frames_per_batch:
                done = Pending(None, len(images))
                done.logits = self._predict(images, layout)
                return done
            self._steady.clear()
            if not self._ready:
                self.settle()
                self._prepare()
            program = self._program_for(len(images))
            if program is not self._loaded:
                self.settle()
                self._load(program)
            self._slot ^= 1
            run = self._run(program, len(images), layout, self._slot)
            run.pack(images)
            before = self._finish()
            if not self._ready:  # the run before failed
                self._prepare()
                self._load(program)
                run.pack(images)  # again: the program may have come through the same memory
            self._arm(run)
            run.exchange.start()
            self._pending = Pending(run, len(images))
            if before is not None:
                before.unpack()
            return self._pending
        except BaseException:
            self.forget()
            raise

    def result(self, pending: Pending) -> NDArray[np.int32]:
        """The logits of a run that `begin` started; what it failed with is raised."""
        if pending is self._pending:
            self.settle()
        if pending.error is not None:
            raise pending.error
        assert pending.logits is not None
        return pending.logits

    def settle(self) -> None:
        """Wait for the run under way, if there is one, and keep its logits: another command comes, or none."""
        try:
            if (pending := self._finish()) is not None:
                pending.unpack()
        except BaseException:
            self.forget()
            raise

    def prepared(self, count: int, layout: str = NCHW) -> PreparedRun:
        """The run of so many images, ready to be started: for measurements of its steps."""
        self.settle()
        if not self._ready:
            self._prepare()
        assert self._loaded is not None
        run = self._run(self._loaded, count, layout, 0)
        self._arm(run)
        return run

    def close(self) -> None:
        with contextlib.suppress(DeviceError):
            self.settle()
            self._read_cycles()
        self._runs.clear()
        self._steady.clear()
        self._pending, self._cycles_unread = None, False
        self.transport.close()
        self._clean_up()

    def forget(self) -> None:
        """Take nothing about the kernel's state for granted: the next call identifies it and loads its program."""
        self._written.clear()
        self._steady.clear()
        self._cycles_unread = False
        self.identity, self._ready, self._loaded = None, False, None

    def _predict(self, images: NDArray[np.uint8], layout: str) -> NDArray[np.int32]:
        """A call with laps, of a new size, or of several batches."""
        stages = self.transport.stages
        self.settle()
        if stages.on:
            stages.start()
        if not self._ready:
            self._prepare()
        assert self.identity is not None
        logits = np.empty((len(images), self.params.spec.network.num_classes), np.int32)
        counts_cycles = self.identity.kind is Kind.RTL
        starts, cycles = range(0, len(images), self.frames_per_batch), 0
        for start in starts:
            batch = images[start : start + self.frames_per_batch]
            program = self._program_for(len(batch))
            if program is not self._loaded:
                self._load(program)
            run = self._run(program, len(batch), layout, 0)
            self._lap("registers")
            run.pack(batch)
            self._lap("pack")
            self._arm(run)
            self._lap("registers")
            run.exchange.start()
            if status := run.exchange.finish():
                raise self._refused(status)
            logits[start : start + len(batch)] = run.unpack()
            self._lap("unpack")
            if counts_cycles and len(starts) > 1:
                cycles += self.transport.read(REGISTERS["CYCLES"].offset)
                self._lap("registers")
        self.batches, self._cycles, self._cycles_unread = len(starts), cycles, len(starts) == 1
        if not counts_cycles:  # the hls kernel has no counter
            self._cycles = None
        if len(starts) == 1 and not stages.on and program is self._best(len(images)):
            self._steady[len(images), layout] = run
        return logits

    def _lap(self, name: str) -> None:
        if self.transport.stages.on:
            self.transport.stages.lap(name)

    def _best(self, images: int) -> Program:
        assert self._programs is not None
        return self._programs.best(images)

    def _program_for(self, images: int) -> Program:
        """What to run so many images with: perhaps another program than the loaded one."""
        assert self._programs is not None
        assert self._loaded is not None
        return self._programs.choose(images, self._loaded)

    def _run(self, program: Program, count: int, layout: str, slot: int) -> PreparedRun:
        key = count, layout, slot, program.images
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= MAX_PREPARED:
                self._runs.clear()
                self._steady.clear()
            frames = -(-count // program.images)
            exchange = self.transport.exchange(
                frames * image_bytes(program.network),
                frames * logits_bytes(program.network),
                STARTUP_CYCLES + frames * program.images * self.max_cycles,
                slot,
            )
            run = self._runs[key] = PreparedRun(exchange, program, count, layout)
        return run

    def _arm(self, run: PreparedRun) -> None:
        """Have AP_START start this run."""
        self._write("COMMAND", Command.RUN)
        self._write("FRAMES", run.frames)
        self._armed_for = run.frames

    def _finish(self) -> Pending | None:
        """Wait for the run under way; its failure is its own, and everything is set up afresh after it."""
        pending, self._pending = self._pending, None
        if pending is not None and pending.run is not None:
            try:
                if status := pending.run.exchange.finish():
                    raise self._refused(status)
                self.batches, self._cycles_unread = 1, True
            except BaseException as error:
                pending.error = error
                self.forget()
                if not isinstance(error, Exception):
                    raise
        return pending

    def _read_cycles(self) -> None:
        """Of the last run, while its register still holds them."""
        if self._cycles_unread and self._pending is None and self.identity is not None:
            self._cycles_unread = False
            counts = self.identity.kind is Kind.RTL  # the hls kernel has no counter
            self._cycles = self.transport.read(REGISTERS["CYCLES"].offset) if counts else None

    def _prepare(self) -> None:
        """Identify the kernel unless that is done, write the solver's arguments, load the program."""
        self._armed_for, self._cycles_unread = 0, False
        self.identity = self._identify()
        solver = self.params.spec.solver
        method = tableau(solver.method)
        self._write("NUM_STAGES", method.num_stages)
        for block, n_steps in enumerate(solver.n_steps):
            self._write(f"N_STEPS_{block + 1}", n_steps)
            words = coefficient_words(method, self.params.spec.coefficients(block))
            for i, word in enumerate(words, start=block * COEFFS_PER_BLOCK):
                self._write_offset(COEFF.offset + 4 * i, word & 0xFFFFFFFF)
        if self._programs is None:
            self._programs = PROGRAMS[self.identity.kind](self.params, self.identity, self._images_at_once)
        self._load(self._programs.plain)
        self._ready = True

    def _load(self, program: Program) -> None:
        self._read_cycles()
        self._armed_for, self._loaded = 0, None
        self._steady.clear()
        if size := len(program.data):
            if size > self.transport.max_bytes:
                raise DeviceError(
                    f"the program has {size} bytes, but the device moves {self.transport.max_bytes} at once"
                )
            self._command(Command.LOAD, program.data)
        self._loaded = program

    def _identify(self) -> Identity:
        if self.identity is not None:
            return self.identity
        self._command(Command.IDENTIFY)
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

    def _command(self, command: Command, data: bytes = b"") -> None:
        exchange = self.transport.exchange(len(data), 0, STARTUP_CYCLES + self.max_cycles)
        exchange.input[:] = np.frombuffer(data, np.uint8)
        self._write("COMMAND", command)
        exchange.start()
        if status := exchange.finish():
            raise self._refused(status)

    def _refused(self, status: int) -> DeviceError:
        command = Command(self._written[REGISTERS["COMMAND"].offset]).name
        text = STATUS_TEXT[Status(status)] if status in list(Status) else "this package does not know that status"
        return DeviceError(f"the kernel refused {command} with status {status}: {text}")

    def _write(self, name: str, value: int) -> None:
        self._write_offset(REGISTERS[name].offset, value)

    def _write_offset(self, offset: int, value: int) -> None:
        if self._written.get(offset) != value:
            self.transport.write(offset, value)
            self._written[offset] = value
