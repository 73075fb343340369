"""The ZCU104 through pynq, on the board or over PYNQ.remote: Overlay, allocate, and a DefaultIP for the kernel."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pynq
from numpy.typing import NDArray
from pynq.pl_server.embedded_device import parse_bit_header

from dsodenet.contract import AP_IDLE, BEAT_BYTES, BOARDS, DMA_VLNV, KERNEL_VLNVS, REGISTERS, Board, Command
from dsodenet.errors import DeviceError, DsodenetError, InputError, ToolError
from dsodenet.outside import guard
from dsodenet.runtime.exchange import (
    CTRL_WORD,
    DMACR,
    DMASR_IDLE,
    LOOK_S,
    LOST,
    MM2S,
    S2MM,
    BoardExchange,
    Bus,
    lost_board,
    registers,
)
from dsodenet.runtime.hand_off import Windows, dma_windows, kernel_interrupt, reached, windows_text
from dsodenet.runtime.interrupt import INTERRUPT, POLL, InterruptLine, open_uio
from dsodenet.runtime.native_call import Run, load
from dsodenet.runtime.stages import Stages

COMMAND, FRAMES = (REGISTERS[name].offset for name in ("COMMAND", "FRAMES"))
DMACR_RUN = 1
CLOCK_TOLERANCE = 0.005
SOURCES = {0: "IOPLL", 2: "RPLL", 3: "DPLL"}  # PL0_REF_CTRL.SRCSEL (UG1087)
SMALLEST_BUFFER_BYTES = 8192  # XRT 2.17 puts buffers of 4 KiB and less over 4 GiB, where no HP window is
UNCACHED_BYTES = 8192  # logits of at most this size are read past the cache: invalidating it costs more


class DsodenetKernel(pynq.DefaultIP):
    """The kernel as pynq binds it: `overlay.kernel_0` with its register map."""

    bindto: ClassVar[list[str]] = list(KERNEL_VLNVS.values())


class Buffer:
    """A uint8 PynqBuffer as plain numbers, since its own slices and properties cost tens of microseconds."""

    def __init__(self, device: pynq.Device, size: int, cacheable: bool, windows: Windows) -> None:
        try:
            self._buffer = pynq.allocate((size,), np.uint8, target=device, cacheable=int(cacheable))
        except (RuntimeError, MemoryError, OSError) as error:
            raise DeviceError(
                f"no contiguous memory for a buffer of {size} bytes ({error}); a smaller max_batch_bytes needs less"
            ) from None
        self.view: NDArray[np.uint8] = self._buffer.view(np.ndarray)
        self.address = int(self._buffer.physical_address)
        if not reached(windows, self.address, size):
            self._buffer.freebuffer()
            raise DeviceError(
                f"a buffer of {size} bytes lies at {self.address:#x}, but the DMA of this overlay reaches "
                f"{windows_text(windows)}: give Linux contiguous memory there (cma= of the kernel)"
            )
        # Always the whole buffer: XRT does so anyway, and through PYNQ.remote a part of one cannot be read.
        self.flush = self._buffer.flush
        self.invalidate = self._buffer.invalidate if cacheable else None
        if isinstance(self._buffer, pynq.buffer.PynqBuffer):
            about = (self._buffer.bo, self._buffer.offset, self._buffer.virtual_address, self._buffer.nbytes)
            self.flush = partial(device.flush, *about)
            self.invalidate = partial(device.invalidate, *about) if cacheable else None

    def free(self) -> None:
        self._buffer.freebuffer()


class BufferPool:
    """Buffers in sizes of a power of two, which are kept. `slot` tells apart those that are in use at once.

    A flush on the board takes the whole buffer, so small calls get small ones. All of one slot together are smaller
    than twice the largest.
    """

    def __init__(self, device: pynq.Device, windows: Windows, uncached_bytes: int = 0) -> None:
        """windows: the memory that the DMA reaches.

        uncached_bytes: buffers of at most this size are not cached, where the device has such memory.
        """
        self._device, self._windows = device, windows
        self._uncached_bytes = 0 if device.has_capability("REMOTE") else uncached_bytes
        self._buffers: dict[tuple[int, int], Buffer] = {}

    def get(self, num_bytes: int, slot: int = 0) -> Buffer:
        """A buffer of at least num_bytes; DeviceError when memory is short."""
        size = max(SMALLEST_BUFFER_BYTES, 1 << (num_bytes - 1).bit_length())
        if (size, slot) not in self._buffers:
            self._buffers[size, slot] = Buffer(self._device, size, size > self._uncached_bytes, self._windows)
        return self._buffers[size, slot]

    def close(self) -> None:
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers.clear()


class Zcu104Transport:
    """One overlay on one pynq device."""

    works_alone = True

    def __init__(
        self,
        bitfile: Path,
        device: pynq.Device,
        kind: str,
        timeout_s: float,
        wait: str = POLL,
        open_interrupt: Callable[[int], int] = open_uio,
        native: bool | None = None,
    ) -> None:
        """timeout_s: bounds every command.

        wait: how to wait for the kernel, POLL or INTERRUPT.
        open_interrupt: the number of an interrupt of the processor -> the descriptor of its UIO device.
        native: whether native code may make calls; None: where it can be compiled.
        """
        if native and wait == INTERRUPT:
            raise InputError(
                "native calls ask whether the kernel is done: native=True and wait='interrupt' exclude each other"
            )
        self.kind, self.bitfile = kind, bitfile
        check_files(bitfile)
        # pynq parses the .hwh as it loads the overlay, and its drivers read parameters of their IPs from it.
        with guard(f"{bitfile} and its .hwh", "an overlay that pynq can load", DeviceError):
            forget_other_clocks(device)
            self._overlay = pynq.Overlay(str(bitfile.resolve()), device=device)
            kernel = self._one_ip("dsODENet kernel", tuple(KERNEL_VLNVS.values()))
            dma = self._one_ip("AXI DMA", (DMA_VLNV,))
            self.max_bytes = int(dma.buffer_max_size) // BEAT_BYTES * BEAT_BYTES
            timed_mhz = float(self._overlay.clock_dict[0]["frequency"])
            self.clock_mhz: float | None = float(pynq.Clocks.fclk0_mhz)  # as the processor's registers have it now
        check_clock(self.clock_mhz, timed_mhz, bitfile)
        self._line = self._interrupt_line(open_interrupt) if wait == INTERRUPT else None
        self._bus = Bus(
            registers(kernel.mmio),
            registers(dma.mmio),
            timeout_s,
            self._overlay.is_loaded,
            self._make_ready,
            self._line,
        )
        if self._line is None and native is not False:
            self._bus.run = self._native_code(bool(native))
        windows = dma_windows(bitfile.with_suffix(".hwh"))
        self._inputs, self._outputs = BufferPool(device, windows), BufferPool(device, windows, UNCACHED_BYTES)

    @property
    def stages(self) -> Stages:
        return self._bus.stages

    def write(self, offset: int, value: int) -> None:
        bus = self._bus
        try:
            if bus.broken or not bus.is_loaded():
                self._make_ready()
            if offset not in (COMMAND, FRAMES):
                bus.paces.clear()  # another solver takes another time
            bus.kernel[offset // 4] = value
        except DsodenetError:
            raise
        except LOST as error:
            raise lost_board(error) from error

    def read(self, offset: int) -> int:
        try:
            return self._bus.kernel.item(offset // 4)
        except LOST as error:
            raise lost_board(error) from error

    def exchange(self, in_bytes: int, out_bytes: int, max_cycles: int, slot: int = 0) -> BoardExchange:
        """max_cycles is for simulators that count cycles; here timeout_s bounds the command."""
        sent = self._inputs.get(in_bytes, slot) if in_bytes else None
        received = self._outputs.get(out_bytes, slot) if out_bytes else None
        return BoardExchange(self._bus, sent, received, in_bytes, out_bytes)

    def memory_round_trip(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (N,) -> the same as it comes back from the memory that the fabric sees, past the processor's cache."""
        buffer = self._inputs.get(data.size)
        buffer.view[: data.size] = data
        buffer.flush()
        if buffer.invalidate is not None:
            buffer.invalidate()
        return buffer.view[: data.size].copy()

    def interrupt_comes(self) -> bool | None:
        """Whether the kernel's interrupt comes at the end of a command; None where this transport does not use it."""
        if self._line is None:
            return None
        self.write(COMMAND, Command.IDENTIFY)
        self._line.enable()
        exchange = self.exchange(0, 0, 0)
        exchange.start()
        exchange.finish()
        return self._line.wait(LOOK_S)

    def close(self) -> None:
        """Stop the DMA, then free its buffers. A board that is gone holds nothing that could be given back."""
        with contextlib.suppress(*LOST):
            if self._overlay.is_loaded():
                self._bus.reset_dma()
        for pool in (self._inputs, self._outputs):
            with contextlib.suppress(*LOST):
                pool.close()
        if self._line is not None:
            self._line.close()

    def _make_ready(self) -> None:
        """After a failure: reset the DMA; a kernel that is still running needs a new configuration."""
        bus = self._bus
        if not bus.is_loaded():
            raise DeviceError(f"another overlay was loaded over {self.bitfile}: close this one and open it again")
        if not bus.reset_dma() or not bus.kernel.item(CTRL_WORD) & AP_IDLE:
            self._overlay.download()
            if not bus.reset_dma() or not bus.kernel.item(CTRL_WORD) & AP_IDLE:
                raise DeviceError(f"the device does not come back after a new configuration: {bus.describe()}")
        for channel in (MM2S, S2MM):
            bus.dma[(channel + DMACR) // 4] = DMACR_RUN
        bus.enable_interrupt()
        bus.broken = False

    def _interrupt_line(self, open_interrupt: Callable[[int], int]) -> InterruptLine:
        """DeviceError where the kernel's interrupt does not reach this program."""
        if self._overlay.device.has_capability("REMOTE"):
            raise DeviceError("a board over a network gives no interrupts; wait='poll' works without them")
        if (number := kernel_interrupt(self.bitfile.with_suffix(".hwh"))) is None:
            raise DeviceError(
                f"{self.bitfile} was built without the kernel's interrupt on the processor's first line, "
                "but wait='interrupt' needs it; wait='poll' works without"
            )
        return InterruptLine(open_interrupt(number))

    def _native_code(self, needed: bool) -> Run | None:
        """The code that makes calls, or None where there is none; needed: ToolError then, which says why."""
        try:
            if not all(isinstance(found, np.ndarray) for found in (self._bus.kernel, self._bus.dma)):
                raise ToolError("the registers of this board are not mapped into this process, as native calls need")
            return load(DMASR_IDLE)
        except ToolError:
            if needed:
                raise
            return None

    def _one_ip(self, what: str, vlnvs: tuple[str, ...]) -> Any:
        names = [name for name, ip in self._overlay.ip_dict.items() if ip["type"] in vlnvs]
        if len(names) != 1:
            found = ", ".join(f"{name} ({ip['type']})" for name, ip in self._overlay.ip_dict.items())
            raise DeviceError(
                f"{self.bitfile} has {len(names)} {what}s ({' or '.join(vlnvs)}), but needs one; it has {found}"
            )
        return getattr(self._overlay, names[0])


def check_clock(running_mhz: float, timed_mhz: float, bitfile: Path) -> None:
    """DeviceError where the fabric runs faster than it was timed for, a warning where it runs slower.

    pynq sets the dividers, but leaves the PLL that the boot image chose; see its Clocks.set_pl_clk, which writes
    SRC_FIELD for SRCSEL. So the clock may be one that the PLL does not divide to.
    """
    if abs(running_mhz - timed_mhz) <= CLOCK_TOLERANCE * timed_mhz:
        return
    source, pll_mhz = pll_of_fabric()
    why = f"the boot image clocks it from {source} at {pll_mhz:g} MHz"
    if running_mhz > timed_mhz:
        slower = pll_mhz / math.ceil(pll_mhz / timed_mhz)
        raise DeviceError(
            f"the fabric runs at {running_mhz:g} MHz, but {bitfile.name} meets timing at {timed_mhz:g} MHz: {why}; "
            f"publish it for a clock of that PLL: dsodenet overlay RUN --from FOLDER --clock {slower:.3f}"
        )
    note = f"the fabric runs at {running_mhz:g} MHz, slower than the {timed_mhz:g} MHz of {bitfile.name}: {why}"
    warnings.warn(note, RuntimeWarning, stacklevel=3)


def forget_other_clocks(device: pynq.Device) -> None:
    """Let pynq read the clocks of this device: it keeps the registers of the first one that a process has opened."""
    if pynq.Clocks.device is not device and "_real_instance" in vars(pynq.Clocks):
        del pynq.Clocks._real_instance


def pll_of_fabric() -> tuple[str, float]:
    """Name and MHz of the PLL that clocks the fabric now."""
    clocks = pynq.Clocks._instance
    source = int(clocks.PL_CLK_CTRLS[0].SRCSEL)
    return SOURCES.get(source, f"source {source}"), float(clocks._get_src_clk_mhz(source))


def check_files(bitfile: Path, boards: Collection[Board] = tuple(BOARDS.values())) -> None:
    """DeviceError unless the .bit has its .hwh and is for the part of one of the boards.

    The speed grade does not matter for loading.
    """
    if not bitfile.with_suffix(".hwh").is_file():
        raise DeviceError(f"{bitfile.with_suffix('.hwh')}: no such file; pynq needs it beside {bitfile.name}")
    with guard(bitfile, "a .bit file", DeviceError):  # pynq's parser does not check what it indexes
        part = parse_bit_header(bitfile.read_bytes())["part"]
        device = part.removeprefix("xc").split("-")[:2]
        if device not in [board.part.removeprefix("xc").split("-")[:2] for board in boards]:
            known = ", the ".join(f"{board.title} has {board.part}" for board in boards)
            raise DeviceError(f"{bitfile} is for {part}, but the {known}")
