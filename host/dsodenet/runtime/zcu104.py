"""The ZCU104 through pynq, on the board or over PYNQ.remote: Overlay, allocate, and a DefaultIP for the kernel.

The DMA is started through its registers. pynq's own transfer and wait take at least 20 register accesses for a round
trip, and wait has no time-out. A batch here takes three writes (two lengths, AP_START) and four reads (CTRL, STATUS,
DMA status, bytes received).
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pynq
from numpy.typing import NDArray
from pynq.pl_server.embedded_device import parse_bit_header

from dsodenet.contract import (
    AP_DONE,
    AP_IDLE,
    AP_START,
    BEAT_BYTES,
    CTRL_FIELDS,
    DMA_VLNV,
    KERNEL_VLNVS,
    REGISTERS,
    ZCU104,
    Status,
    state_text,
)
from dsodenet.errors import DeviceError, DsodenetError
from dsodenet.outside import guard
from dsodenet.runtime.pacing import Pace
from dsodenet.runtime.stages import Stages

CTRL, STATUS, STATE, COMMAND, FRAMES = (
    REGISTERS[name].offset for name in ("CTRL", "STATUS", "STATE", "COMMAND", "FRAMES")
)
MM2S, S2MM = 0x00, 0x30  # channels of the DMA, and its registers in each (PG021)
DMACR, DMASR, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
DMACR_RUN, DMACR_RESET = 1, 4
DMASR_IDLE = 2
DMASR_ERRORS = {0x10: "internal error", 0x20: "slave error", 0x40: "decode error, no memory at that address"}
DMASR_ERROR_MASK = sum(DMASR_ERRORS)
DMASR_BITS = {1: "halted", DMASR_IDLE: "idle", **DMASR_ERRORS, 0x1000: "interrupt on completion"}
RESET_TIMEOUT_S = 0.5
FIRST_POLL_S, LONGEST_POLL_S, SHORTEST_SLEEP_S = 20e-6, 2e-3, 100e-6
SMALLEST_BUFFER_BYTES = 4096

try:
    from grpc import RpcError
except ImportError:  # only PYNQ 4 and later reach boards over a network
    LOST: tuple[type[Exception], ...] = (OSError, RuntimeError)
else:
    LOST = (OSError, RuntimeError, RpcError)


class DsodenetKernel(pynq.DefaultIP):
    """The kernel as pynq binds it: `overlay.kernel_0` with its register map."""

    bindto: ClassVar[list[str]] = list(KERNEL_VLNVS.values())


class BufferPool:
    """Cacheable buffers in sizes of a power of two, which are kept.

    A flush on the board takes the whole buffer, so small calls get small ones. All of them together are smaller than
    twice the largest.
    """

    def __init__(self, device: pynq.Device) -> None:
        self._device = device
        self._buffers: dict[int, Any] = {}

    def get(self, num_bytes: int) -> Any:
        """A uint8 PynqBuffer of at least num_bytes; DeviceError when memory is short."""
        size = max(SMALLEST_BUFFER_BYTES, 1 << (num_bytes - 1).bit_length())
        if size not in self._buffers:
            try:
                self._buffers[size] = pynq.allocate((size,), np.uint8, target=self._device, cacheable=1)
            except (RuntimeError, MemoryError, OSError) as error:
                raise DeviceError(
                    f"no contiguous memory for a buffer of {size} bytes ({error}); a smaller max_batch_bytes needs less"
                ) from None
        return self._buffers[size]

    def close(self) -> None:
        for buffer in self._buffers.values():
            buffer.freebuffer()
        self._buffers.clear()


class Zcu104Transport:
    """One overlay on one pynq device. `timeout_s` bounds every command."""

    def __init__(self, bitfile: Path, device: pynq.Device, kind: str, timeout_s: float) -> None:
        self.kind, self.timeout_s, self.bitfile, self.stages = kind, timeout_s, bitfile, Stages()
        check_files(bitfile)
        # pynq parses the .hwh as it loads the overlay, and its drivers read parameters of their IPs from it.
        with guard(f"{bitfile} and its .hwh", "an overlay that pynq can load", DeviceError):
            self._overlay = pynq.Overlay(str(bitfile.resolve()), device=device)
            self._kernel = self._one_ip("dsODENet kernel", tuple(KERNEL_VLNVS.values())).mmio
            dma = self._one_ip("AXI DMA", (DMA_VLNV,))
            self._dma = dma.mmio
            self.max_bytes = int(dma.buffer_max_size) // BEAT_BYTES * BEAT_BYTES
            self.clock_mhz: float | None = float(pynq.Clocks.fclk0_mhz)  # as the processor's registers have it now
        self._inputs, self._outputs = BufferPool(device), BufferPool(device)
        self._addresses: dict[int, int] = {}  # what each channel of the DMA holds
        self._paces: defaultdict[tuple[int, int], Pace] = defaultdict(Pace)  # by the size of a command
        self._broken = True  # until the first command resets the DMA and sets it running

    def input(self, num_bytes: int) -> NDArray[np.uint8]:
        view: NDArray[np.uint8] = self._inputs.get(num_bytes)[:num_bytes].view(
            np.ndarray
        )  # a slice of PynqBuffer is slow
        return view

    def write(self, offset: int, value: int) -> None:
        with _lost_board_in_words():
            self._check_loaded()
            self._recover()
            if offset not in (COMMAND, FRAMES):
                self._paces.clear()  # another solver takes another time
            self._kernel.write(offset, int(value))

    def read(self, offset: int) -> int:
        with _lost_board_in_words():
            return int(self._kernel.read(offset))

    def command(self, in_bytes: int, out_bytes: int, max_cycles: int) -> tuple[int, NDArray[np.uint8]]:
        """max_cycles is for simulators that count cycles; here timeout_s bounds the command."""
        with _lost_board_in_words():
            self._check_loaded()
            self._recover()
            try:
                return self._command(in_bytes, out_bytes)
            except BaseException:  # an interrupt too: no transfer may go on into memory that is reused
                self._broken = True
                with contextlib.suppress(*LOST):  # a board that is gone: the first error says so
                    self._reset_dma()
                raise

    def memory_round_trip(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (N,) -> the same as it comes back from the memory that the fabric sees, past the processor's cache."""
        buffer = self._inputs.get(data.size)
        buffer[: data.size] = data
        buffer.flush()
        buffer.invalidate()
        return np.array(buffer[: data.size])

    def close(self) -> None:
        """Stop the DMA, then free its buffers. A board that is gone holds nothing that could be given back."""
        with contextlib.suppress(*LOST):
            if self._overlay.is_loaded():
                self._reset_dma()
        for pool in (self._inputs, self._outputs):
            with contextlib.suppress(*LOST):
                pool.close()

    def _command(self, in_bytes: int, out_bytes: int) -> tuple[int, NDArray[np.uint8]]:
        start = time.monotonic()
        received: Any = np.zeros(0, np.uint8)
        if out_bytes:
            received = self._outputs.get(out_bytes)[:out_bytes]
            self._transfer(S2MM, received)
        self._kernel.write(CTRL, AP_START)
        if in_bytes:
            sent = self._inputs.get(in_bytes)[:in_bytes]
            sent.flush()
            self.stages.lap("flush")
            self._transfer(MM2S, sent)
        self.stages.lap("start")
        self._wait_done(start, (in_bytes, out_bytes))
        self.stages.lap("compute")
        status = self.read(STATUS)
        if status != Status.OK:
            self._broken = bool(out_bytes)  # the kernel has drained its input, but the receiving channel still waits
        # The kernel is done, the DMA a few clocks later: after a run its write to memory, after a load its last read.
        elif out_bytes:
            self._wait_idle(start, S2MM)
            if (count := int(self._dma.read(S2MM + LENGTH))) != out_bytes:
                raise DeviceError(f"the kernel sent {count} bytes, but {out_bytes} were expected")
            self.stages.lap("finish")
            self._outputs.get(
                out_bytes
            ).invalidate()  # the whole buffer: through PYNQ.remote a part of one cannot be read
            self.stages.lap("invalidate")
        elif in_bytes:
            self._wait_idle(start, MM2S)
        return status, received.view(np.ndarray)

    def _transfer(self, channel: int, buffer: Any) -> None:
        """Start a transfer; the address registers keep their value, so a buffer used again costs one write."""
        address = int(buffer.physical_address)
        if self._addresses.get(channel) != address:
            self._dma.write(channel + ADDRESS, address & 0xFFFFFFFF)
            self._dma.write(channel + ADDRESS_MSB, address >> 32)
            self._addresses[channel] = address
        self._dma.write(channel + LENGTH, buffer.nbytes)

    def _wait_done(self, start: float, size: tuple[int, int]) -> None:
        """Sleep as long as a command of this size takes, then poll.

        A read costs microseconds, and the budget is small.
        """
        pace = self._paces[size]
        pause = max(FIRST_POLL_S, pace.pause_s)
        if pace.sleep_s > SHORTEST_SLEEP_S:
            time.sleep(max(0.0, start + min(pace.sleep_s, self.timeout_s) - time.monotonic()))
        polls = 0
        while not self._kernel.read(CTRL) & AP_DONE:
            polls += 1
            if polls > 2:
                self._raise_dma_errors()
            if time.monotonic() - start > self.timeout_s:
                raise DeviceError(f"no answer in {self.timeout_s:g} s: {self._describe()}")
            time.sleep(pause)
            pause = min(2 * pause, max(LONGEST_POLL_S, pace.pause_s))
        if polls:
            pace.done_later(time.monotonic() - start)
        else:
            pace.done_at_once()

    def _wait_idle(self, start: float, channel: int) -> None:
        while not (value := int(self._dma.read(channel + DMASR))) & DMASR_IDLE:
            if value & DMASR_ERROR_MASK:
                self._raise_dma_errors()
            if time.monotonic() - start > self.timeout_s:
                raise DeviceError(f"the kernel is done, but the DMA is not in {self.timeout_s:g} s: {self._describe()}")
            time.sleep(FIRST_POLL_S)

    def _raise_dma_errors(self) -> None:
        for channel in (MM2S, S2MM):
            value = int(self._dma.read(channel + DMASR))
            if errors := [text for bit, text in DMASR_ERRORS.items() if value & bit]:
                raise DeviceError(f"the DMA reports {', '.join(errors)}: {self._describe()}")

    def _describe(self) -> str:
        """The state of kernel and DMA in words."""
        control = int(self._kernel.read(CTRL))
        bits = {1 << field.bit: field.name for field in CTRL_FIELDS}
        parts = [f"kernel CTRL {_decode(control, bits)}", f"STATUS {int(self._kernel.read(STATUS))}"]
        if state := int(self._kernel.read(STATE)):
            parts.append(f"STATE {state:#x} ({state_text(state)})")
        for name, channel in (("MM2S", MM2S), ("S2MM", S2MM)):
            parts.append(f"{name} DMASR {_decode(int(self._dma.read(channel + DMASR)), DMASR_BITS)}")
        return ", ".join(parts)

    def _recover(self) -> None:
        """After a failure: reset the DMA; a kernel that is still running needs a new configuration."""
        if not self._broken:
            return
        if not self._reset_dma() or not self._kernel.read(CTRL) & AP_IDLE:
            self._overlay.download()
            if not self._reset_dma() or not self._kernel.read(CTRL) & AP_IDLE:
                raise DeviceError(f"the device does not come back after a new configuration: {self._describe()}")
        for channel in (MM2S, S2MM):
            self._dma.write(channel + DMACR, DMACR_RUN)
        self._broken = False

    def _reset_dma(self) -> bool:
        """Stop both channels; whether the DMA did so in time."""
        self._addresses.clear()
        self._dma.write(MM2S + DMACR, DMACR_RESET)
        deadline = time.monotonic() + RESET_TIMEOUT_S
        while self._dma.read(MM2S + DMACR) & DMACR_RESET:
            if time.monotonic() > deadline:
                return False
        return True

    def _check_loaded(self) -> None:
        if not self._overlay.is_loaded():
            raise DeviceError(f"another overlay was loaded over {self.bitfile}: close this one and open it again")

    def _one_ip(self, what: str, vlnvs: tuple[str, ...]) -> Any:
        names = [name for name, ip in self._overlay.ip_dict.items() if ip["type"] in vlnvs]
        if len(names) != 1:
            found = ", ".join(f"{name} ({ip['type']})" for name, ip in self._overlay.ip_dict.items())
            raise DeviceError(
                f"{self.bitfile} has {len(names)} {what}s ({' or '.join(vlnvs)}), but needs one; it has {found}"
            )
        return getattr(self._overlay, names[0])


@contextlib.contextmanager
def _lost_board_in_words() -> Iterator[None]:
    """What pynq raises when a board or the way to it is gone, as DeviceError."""
    try:
        yield
    except DsodenetError:
        raise
    except LOST as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise DeviceError(f"the board does not answer any more ({reason})") from error


def check_files(bitfile: Path) -> None:
    """DeviceError unless the .bit has its .hwh and is for this board's part.

    The speed grade does not matter for loading.
    """
    if not bitfile.with_suffix(".hwh").is_file():
        raise DeviceError(f"{bitfile.with_suffix('.hwh')}: no such file; pynq needs it beside {bitfile.name}")
    with guard(bitfile, "a .bit file", DeviceError):  # pynq's parser does not check what it indexes
        part = parse_bit_header(bitfile.read_bytes())["part"]
        if part.removeprefix("xc").split("-")[:2] != ZCU104.part.removeprefix("xc").split("-")[:2]:
            raise DeviceError(f"{bitfile} is for {part}, but the ZCU104 has {ZCU104.part}")


def _decode(value: int, bits: dict[int, str]) -> str:
    names = [name for bit, name in bits.items() if value & bit]
    return f"{value:#x} ({', '.join(names) or 'no bit set'})"
