"""One command on the ZCU104, prepared: memory, addresses and registers are looked up once, and used at every call.

The DMA is started through its registers, since pynq's own transfer and wait take at least 20 register accesses for a
round trip, and wait has no time-out. A run here takes three writes (two lengths, AP_START) and four reads (CTRL,
STATUS, DMA status, bytes received).
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import AP_DONE, AP_START, CTRL_FIELDS, REGISTERS, state_text
from dsodenet.errors import DeviceError, DsodenetError
from dsodenet.runtime.interrupt import InterruptLine
from dsodenet.runtime.native_call import DONE, LAYOUT, Run
from dsodenet.runtime.pacing import SPIN_S, Pace
from dsodenet.runtime.stages import Stages
from dsodenet.runtime.transport import Form

MM2S, S2MM = 0x00, 0x30  # channels of the DMA, and its registers in each (PG021)
DMACR, DMASR, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
DMACR_RESET = 4
DMASR_IDLE = 2
DMASR_ERRORS = {0x10: "internal error", 0x20: "slave error", 0x40: "decode error, no memory at that address"}
DMASR_ERROR_MASK = sum(DMASR_ERRORS)
DMASR_BITS = {1: "halted", DMASR_IDLE: "idle", **DMASR_ERRORS, 0x1000: "interrupt on completion"}
RESET_TIMEOUT_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 20e-6, 2e-3  # between questions, after a while of asking without a pause
UNSEEN = 1 << 31  # no logit: an accumulator is never so low; and padding is 0
LOOK_S = 0.1  # a kernel that is waited for by its interrupt is asked this often, since an error may keep that away

# Words of the register files.
CTRL_WORD, STATUS_WORD, STATE_WORD = (REGISTERS[name].offset // 4 for name in ("CTRL", "STATUS", "STATE"))
GIER_WORD, IER_WORD, ISR_WORD = (REGISTERS[name].offset // 4 for name in ("GIER", "IP_IER", "IP_ISR"))
ISR_DONE = 1  # in IP_IER and IP_ISR: the end of a command; writing it to IP_ISR clears it there (UG1399, s_axilite)
SENT_LENGTH, SENT_STATUS = (MM2S + LENGTH) // 4, (MM2S + DMASR) // 4
RECEIVED_LENGTH, RECEIVED_STATUS = (S2MM + LENGTH) // 4, (S2MM + DMASR) // 4

try:
    from grpc import RpcError
except ImportError:  # only PYNQ 4 and later reach boards over a network
    LOST: tuple[type[Exception], ...] = (OSError, RuntimeError)
else:
    LOST = (OSError, RuntimeError, RpcError)


class Registers(Protocol):
    """A register file by words."""

    def item(self, word: int, /) -> int: ...

    def __setitem__(self, word: int, value: int, /) -> None: ...


class RemoteRegisters:
    """Registers that are no memory of this process: a simulated board's, or those of a board over a network."""

    def __init__(self, mmio: Any) -> None:
        self._mmio = mmio

    def item(self, word: int, /) -> int:
        return int(self._mmio.read(4 * word))

    def __setitem__(self, word: int, value: int, /) -> None:
        self._mmio.write(4 * word, int(value))


def registers(mmio: Any) -> Registers:
    """The registers behind a pynq.MMIO.

    Mapped ones are its uint32 array: one aligned load or store for each access. A slice, a memoryview or ctypes would
    copy by memcpy, which may read twice, and reading CTRL clears AP_DONE.
    """
    mapped: Registers = mmio.array
    return mapped if isinstance(mapped, np.ndarray) and mapped.dtype == np.uint32 else RemoteRegisters(mmio)


def addresses(registers: Registers) -> tuple[int, int]:
    """Where mapped registers are written and read: at one place, except on a board that answers by itself."""
    assert isinstance(registers, np.ndarray), registers
    return registers.ctypes.data, getattr(registers, "answers", registers).ctypes.data


def lost_board(error: Exception) -> DeviceError:
    """What pynq raises when a board or the way to it is gone, in words."""
    reason = (str(error) or type(error).__name__).strip().splitlines()[0]
    return DeviceError(f"the board does not answer any more ({reason})")


class Bus:
    """The registers of kernel and DMA, and what is known of their state.

    make_ready: called before a command after a failure, or when is_loaded says that this overlay is gone. It sets the
        device running again, or raises.
    line: the kernel's interrupt, where commands that take long are waited for by it.
    """

    def __init__(
        self,
        kernel: Registers,
        dma: Registers,
        timeout_s: float,
        is_loaded: Callable[[], bool],
        make_ready: Callable[[], None],
        line: InterruptLine | None = None,
    ) -> None:
        self.run: Run | None = None  # native code for a whole call; the registers are mapped then
        self.kernel, self.dma, self.timeout_s, self.line = kernel, dma, timeout_s, line
        self.is_loaded, self.make_ready = is_loaded, make_ready
        self.stages = Stages()
        self.addresses: dict[int, int] = {}  # what each channel of the DMA holds
        self.owner: BoardExchange | None = None  # whose addresses they are
        self.paces: defaultdict[tuple[int, int], Pace] = defaultdict(Pace)  # by the size of a command
        self.broken = True  # until the first command resets the DMA and sets it running

    def hand_over(self, owner: BoardExchange, addresses: dict[int, int]) -> None:
        """Tell the DMA where the transfers of an exchange are; it keeps what does not change."""
        self.owner = None
        for channel, address in addresses.items():
            if self.addresses.get(channel) != address:
                self.dma[(channel + ADDRESS) // 4] = address & 0xFFFFFFFF
                self.dma[(channel + ADDRESS_MSB) // 4] = address >> 32
                self.addresses[channel] = address
        self.owner = owner

    def enable_interrupt(self) -> None:
        """Have the kernel raise its interrupt at the end of each command, from now on."""
        if self.line is not None:
            self.kernel[GIER_WORD] = 1
            self.kernel[IER_WORD] = ISR_DONE
            self.kernel[ISR_WORD] = self.kernel.item(ISR_WORD)  # writing a 1 turns it into a 0

    def reset_dma(self) -> bool:
        """Stop both channels; whether the DMA did so in time."""
        self.addresses.clear()
        self.owner = None
        self.dma[(MM2S + DMACR) // 4] = DMACR_RESET
        deadline = monotonic() + RESET_TIMEOUT_S
        while self.dma.item((MM2S + DMACR) // 4) & DMACR_RESET:
            if monotonic() > deadline:
                return False
        return True

    def give_up(self) -> None:
        """After a failure: no transfer may go on into memory that is reused."""
        self.broken = True
        with contextlib.suppress(*LOST):  # a board that is gone: the first error says so
            self.reset_dma()

    def raise_dma_errors(self) -> None:
        for channel in (MM2S, S2MM):
            value = self.dma.item((channel + DMASR) // 4)
            if errors := [text for bit, text in DMASR_ERRORS.items() if value & bit]:
                raise DeviceError(f"the DMA reports {', '.join(errors)}: {self.describe()}")

    def describe(self) -> str:
        """The state of kernel and DMA in words."""
        bits = {1 << field.bit: field.name for field in CTRL_FIELDS}
        parts = [
            f"kernel CTRL {decode(self.kernel.item(CTRL_WORD), bits)}",
            f"STATUS {self.kernel.item(STATUS_WORD)}",
        ]
        if state := self.kernel.item(STATE_WORD):
            parts.append(f"STATE {state:#x} ({state_text(state)})")
        for name, channel in (("MM2S", MM2S), ("S2MM", S2MM)):
            parts.append(f"{name} DMASR {decode(self.dma.item((channel + DMASR) // 4), DMASR_BITS)}")
        return ", ".join(parts)


def decode(value: int, bits: dict[int, str]) -> str:
    names = [name for bit, name in bits.items() if value & bit]
    return f"{value:#x} ({', '.join(names) or 'no bit set'})"


class Memory(Protocol):
    """Memory that the DMA reaches."""

    view: NDArray[np.uint8]
    address: int
    flush: Callable[[], None]  # the processor's cache to memory; also orders it before the doorbell
    invalidate: Callable[[], None] | None  # None where the processor does not cache it


class BoardExchange:
    """A command that sends the first in_bytes of one memory and receives out_bytes into another."""

    def __init__(self, bus: Bus, sent: Memory | None, received: Memory | None, in_bytes: int, out_bytes: int) -> None:
        nothing = np.zeros(0, np.uint8)
        self.input: NDArray[np.uint8] = sent.view[:in_bytes] if sent else nothing
        self.output: NDArray[np.uint8] = received.view[:out_bytes] if received else nothing
        self._bus, self._in_bytes, self._out_bytes = bus, in_bytes, out_bytes
        self._addresses = {S2MM: received.address} if received else {}
        self._addresses |= {MM2S: sent.address} if sent else {}
        self._flush, self._invalidate = sent.flush if sent else None, received.invalidate if received else None
        # Written before a run and looked at after it, it tells whether the processor sees what the DMA wrote. In cached
        # memory it would do harm: its line may be written back over the logits.
        seen_at_once = received is not None and received.invalidate is None
        self._last = self.output[-4:].view(np.uint32) if seen_at_once else None
        self._pace, self._started, self._by_interrupt = bus.paces[in_bytes, out_bytes], 0.0, False

    def native(self, form: Form) -> Callable[[NDArray[np.uint8], NDArray[np.int32]], int] | None:
        """Only small logits, which are not cached: large ones take long anyway."""
        bus, pace, run = self._bus, self._pace, self._bus.run
        if run is None or self._invalidate is not None or not self._out_bytes:
            return None
        (kernel_writes, kernel_reads), (dma_writes, dma_reads) = addresses(bus.kernel), addresses(bus.dma)
        fixed = (
            *(kernel_writes + 4 * CTRL_WORD, dma_writes + 4 * RECEIVED_LENGTH, dma_writes + 4 * SENT_LENGTH),
            *(kernel_reads + 4 * CTRL_WORD, kernel_reads + 4 * STATUS_WORD),
            *(dma_reads + 4 * RECEIVED_STATUS, dma_reads + 4 * RECEIVED_LENGTH),
            *(self.input.ctypes.data, self.output.ctypes.data, self._in_bytes, self._out_bytes),
            *(form.images, form.pixels, form.channels, form.classes, form.planar),
        )
        short, long = (LAYOUT.pack(*fixed, wait_ns) for wait_ns in (round(1e9 * SPIN_S), 0))

        def call(images: NDArray[np.uint8], logits: NDArray[np.int32]) -> int:
            try:
                if bus.broken or bus.owner is not self or not bus.is_loaded():
                    self._take_bus()
                spins = not pace.sleep_s
                control = run(short if spins else long, images, logits)
                if control != DONE:
                    self._started = monotonic() - spins * SPIN_S
                return control
            except BaseException as error:
                self._failed(error)
                raise

        return call

    def _take_bus(self) -> None:
        """Have the device run, with this exchange's transfers in the DMA."""
        bus = self._bus
        if bus.broken or not bus.is_loaded():
            bus.make_ready()
        if bus.owner is not self:
            bus.hand_over(self, self._addresses)

    def start(self) -> None:
        """Ring the doorbells; the kernel computes from now on."""
        bus = self._bus
        try:
            self._take_bus()
            timed, dma = bus.stages.on, bus.dma
            if bus.line is not None:
                self._by_interrupt = self._pace.expected_s > SPIN_S
                if self._by_interrupt:
                    bus.line.enable()
            self._started = monotonic()
            if self._last is not None:
                self._last[0] = UNSEEN
            if self._out_bytes:
                dma[RECEIVED_LENGTH] = self._out_bytes
            bus.kernel[CTRL_WORD] = AP_START
            if self._flush is not None:
                if timed:
                    bus.stages.lap("start")
                self._flush()
                if timed:
                    bus.stages.lap("flush")
                dma[SENT_LENGTH] = self._in_bytes
            if timed:
                bus.stages.lap("start")
        except BaseException as error:
            self._failed(error)
            raise

    def finish(self, control: int = 0) -> int:
        """Wait for the kernel and what it sends: STATUS, and with Status.OK `output` is there."""
        bus, pace = self._bus, self._pace
        try:
            timed, kernel, dma = bus.stages.on, bus.kernel, bus.dma
            if control:
                pass  # it is done
            elif self._by_interrupt:
                control = self._wait_interrupt()
            else:
                if pace.sleep_s:
                    time.sleep(max(0.0, self._started + min(pace.sleep_s, bus.timeout_s) - monotonic()))
                control = kernel.item(CTRL_WORD)
                if not control & AP_DONE:
                    control = self._wait_done()
                elif pace.sleep_s:
                    pace.done_at_once()
            if bus.line is not None:
                kernel[ISR_WORD] = ISR_DONE
            if control & AP_START:  # it would take the next call's images under this call's arguments
                raise DeviceError(f"the kernel is done and has started again unasked: {bus.describe()}")
            if timed:
                bus.stages.lap("compute")
            if status := kernel.item(STATUS_WORD):
                # The kernel has drained its input, but the receiving channel still waits.
                bus.broken = bus.broken or self._out_bytes > 0
            # The kernel is done, the DMA a few clocks later: after a run its write to memory, after a load its read.
            elif self._out_bytes:
                if not dma.item(RECEIVED_STATUS) & DMASR_IDLE:
                    self._wait_idle(RECEIVED_STATUS)
                if (count := dma.item(RECEIVED_LENGTH)) != self._out_bytes:
                    raise DeviceError(f"the kernel sent {count} bytes, but {self._out_bytes} were expected")
                if timed:
                    bus.stages.lap("finish")
                if self._invalidate is not None:
                    self._invalidate()
                    if timed:
                        bus.stages.lap("invalidate")
                elif self._last is not None and self._last.item(0) == UNSEEN:
                    raise DeviceError(
                        f"the DMA has sent {count} bytes to {self._addresses[S2MM]:#x}, but the processor does not see "
                        f"them there: {bus.describe()}"
                    )
            elif self._in_bytes and not dma.item(SENT_STATUS) & DMASR_IDLE:
                self._wait_idle(SENT_STATUS)
        except BaseException as error:
            self._failed(error)
            raise
        return status

    def _failed(self, error: BaseException) -> None:
        """An interrupt too."""
        self._bus.give_up()
        if isinstance(error, LOST) and not isinstance(error, DsodenetError):
            raise lost_board(error) from error

    def _wait_done(self) -> int:
        """CTRL when the kernel is done.

        Spin for a short while, then sleep between questions: each is a register read, which costs microseconds.
        """
        bus = self._bus
        now = monotonic()
        deadline, spin_until, pause = self._started + bus.timeout_s, now + SPIN_S, FIRST_PAUSE_S
        while not (control := bus.kernel.item(CTRL_WORD)) & AP_DONE:
            now = monotonic()
            if now < spin_until and now < deadline:
                continue
            bus.raise_dma_errors()
            if now > deadline:
                raise DeviceError(f"no answer in {bus.timeout_s:g} s: {bus.describe()}")
            time.sleep(pause)
            pause = min(2 * pause, max(LONGEST_PAUSE_S, self._pace.pause_s))
        self._pace.done_later(monotonic() - self._started)
        return int(control)

    def _wait_interrupt(self) -> int:
        """CTRL when the kernel is done: it says so itself, and is asked now and then all the same."""
        bus = self._bus
        assert bus.line is not None
        deadline = self._started + bus.timeout_s
        while not bus.line.wait(min(LOOK_S, deadline - monotonic())) and monotonic() < deadline:
            if (control := bus.kernel.item(CTRL_WORD)) & AP_DONE:  # the interrupt is lost
                break
            bus.raise_dma_errors()
        else:
            control = bus.kernel.item(CTRL_WORD)
        if not control & AP_DONE:
            return self._wait_done()
        self._pace.done_later(monotonic() - self._started)
        return int(control)

    def _wait_idle(self, status_word: int) -> None:
        """As long as the command may take; the DMA is a few clocks behind the kernel, so it is asked at once."""
        bus, pause = self._bus, 0.0
        while not (value := bus.dma.item(status_word)) & DMASR_IDLE:
            if value & DMASR_ERROR_MASK:
                bus.raise_dma_errors()
            if monotonic() - self._started > bus.timeout_s:
                raise DeviceError(f"the kernel is done, but the DMA is not in {bus.timeout_s:g} s: {bus.describe()}")
            time.sleep(pause)
            pause = FIRST_PAUSE_S
