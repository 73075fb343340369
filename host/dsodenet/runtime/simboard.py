"""A simulated ZCU104 below pynq: DDR apart from the host's copy, AXI DMA in simple mode (PG021), and the kernel's register file.

Everything happens inside the register write that starts it. Faults are injected by a test, through Board.faults.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import DeviceError
from dsodenet.registers import ADDRESS_BITS, AP_DONE, AP_IDLE, AP_READY, AP_START, BEAT_BYTES, REGISTERS, Command, Status
from dsodenet.runtime.design import DMA_VLNV, KERNEL_VLNVS
from dsodenet.runtime.engines import Engine, get, put

DDR_BASE = 0x8_0000_0000  # the high window of the processor's memory map: addresses need both words
PAGE_BYTES = 4096
STALE = 0xA5  # what fresh DDR holds: a missing flush sends it, a missing invalidate hides what came
# Processor registers that pynq touches when it loads an overlay: clocks, port widths.
PROCESSOR_WINDOWS = (0xFF5E0000, 0xFD1A0000, 0xFD615000, 0xFF419000, *range(0xFD360000, 0xFD3C0000, 0x10000), 0xFF9B0000)
IO_PLL_CTRL, IO_PLL_X45 = 0xFF5E0020, 0x2D00


class BusError(DeviceError):
    """An access that hangs or kills the processor on a real board."""


@dataclass
class Faults:
    """What goes wrong from now on; counts are used up."""

    allocations: int = 0  # next allocations fail
    busy_reads: int = 0  # next reads of CTRL still find the kernel running
    late_idle_reads: int = 0  # next reads of a DMA status do not show idle yet
    kernel_hangs: int = 0  # next commands never end; only a new configuration ends them
    mm2s_error: int = 0  # DMASR error bits of the next transfer to the kernel ...
    s2mm_error: int = 0  # ... and from it
    short_packets: int = 0  # next output packets end one beat early
    corrupt_words: int = 0  # next output packets have one bit of one word wrong
    stall_s: float = 0.0  # the next command ends this much later
    dma_delay_s: float = 0.0  # the next output packet reaches memory this much after the kernel is done
    interrupts: int = 0  # next reads of CTRL raise KeyboardInterrupt, as Ctrl-C during a wait does
    lost_accesses: int = 0  # next register accesses fail, as when the way to the board is gone
    results: dict[str, int] = field(default_factory=dict)  # result registers that read as this value


class Ddr:
    """Physical memory as the fabric sees it. Accesses outside an allocation raise: a real DMA would corrupt it silently."""

    def __init__(self, size: int) -> None:
        self.memory = np.full(size, STALE, np.uint8)
        self.free = [(DDR_BASE, size)]
        self.live: dict[int, int] = {}

    def allocate(self, size: int) -> int:
        size = max(-(-size // PAGE_BYTES), 1) * PAGE_BYTES
        for i, (base, room) in enumerate(self.free):
            if room >= size:
                self.free[i] = (base + size, room - size)
                self.live[base] = size
                self.memory[base - DDR_BASE :][:size] = STALE
                return base
        raise MemoryError(f"the simulated board has no {size} bytes of contiguous memory left")

    def return_pointer(self, base: int) -> None:
        """Free an allocation (PynqBuffer calls it by this name) and join it with its free neighbours."""
        self.free.append((base, self.live.pop(base)))
        joined: list[tuple[int, int]] = []
        for start, size in sorted(part for part in self.free if part[1]):
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + size)
            else:
                joined.append((start, size))
        self.free = joined

    def view(self, address: int, size: int) -> NDArray[np.uint8]:
        for base, room in self.live.items():
            if base <= address and address + size <= base + room:
                return self.memory[address - DDR_BASE :][:size]
        raise BusError(f"the fabric accessed {size} bytes at {address:#x}, outside every allocation")


class Model(Protocol):
    """An IP behind a register window."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...

    def step(self) -> None: ...


class AxiDma:
    """PG021 direct register mode: DMACR run/stop 0, reset 2; DMASR halted 0, idle 1, errors 6:4, IOC 12 (write 1 to clear)."""

    MM2S, S2MM = 0x00, 0x30
    CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
    HALTED, IDLE, INTERNAL, SLAVE, DECODE, IOC = 1, 2, 0x10, 0x20, 0x40, 0x1000

    def __init__(self, board: Board, parameters: dict[str, Any]) -> None:
        self.board = board
        self.length_mask = (1 << int(parameters["c_sg_length_width"])) - 1
        self.reset()

    def reset(self) -> None:
        """Of both channels, whichever asked for it."""
        self.words = {channel + self.STATUS: self.HALTED for channel in (self.MM2S, self.S2MM)}
        self.to_kernel: deque[bytes] = deque()
        self.from_kernel: deque[bytes] = deque()
        self.sending = self.armed = False
        self.delayed_until = 0.0

    def read(self, offset: int) -> int:
        if self.delayed_until:
            self.board.step()
        if offset % self.S2MM == self.STATUS and self.board.faults.late_idle_reads:
            self.board.faults.late_idle_reads -= 1
            return self.words[offset] & ~self.IDLE
        return self.words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        channel, register = (self.S2MM if offset >= self.S2MM else self.MM2S), offset % self.S2MM
        status = channel + self.STATUS
        if register == self.CONTROL:
            if value & 4:
                self.reset()
                return
            self.words[offset] = value
            self.words[status] = self.words[status] & ~self.HALTED | (0 if value & 1 else self.HALTED)
        elif register == self.STATUS:
            self.words[status] &= ~(value & 0x7000)
        else:
            self.words[offset] = value & (self.length_mask if register == self.LENGTH else 0xFFFFFFFF)
            if register == self.LENGTH and (self.armed if channel else self.sending):
                raise BusError(f"DMA register {offset:#x} written while the transfer before it runs")
            if register == self.LENGTH and not self.words[status] & self.HALTED:
                self.words[status] &= ~self.IDLE
                self._start(channel)

    def _start(self, channel: int) -> None:
        address, length = self._transfer(channel)
        if not length or address % BEAT_BYTES:
            self._fail(channel, self.INTERNAL)
        elif channel == self.S2MM:
            self.armed = True
        else:
            error, self.board.faults.mm2s_error = self.board.faults.mm2s_error, 0
            if error:
                self._fail(channel, error)
                return
            try:
                self.to_kernel.append(self.board.ddr.view(address, length).tobytes())
                self.sending = True
            except BusError:
                self._fail(channel, self.DECODE)
        self.board.step()

    @property
    def room(self) -> int:
        """Bytes that the receiving channel waits for."""
        return self.words.get(self.S2MM + self.LENGTH, 0) if self.armed else 0

    def step(self) -> None:
        if self.sending and not self.to_kernel:
            self.sending = False
            self.words[self.MM2S + self.STATUS] |= self.IDLE | self.IOC
        if self.armed and self.from_kernel:
            delay_s, self.board.faults.dma_delay_s = self.board.faults.dma_delay_s, 0.0
            if delay_s:
                self.delayed_until = time.monotonic() + delay_s
            if time.monotonic() < self.delayed_until:
                return
            packet, self.armed = self.from_kernel.popleft(), False
            address, length = self._transfer(self.S2MM)
            error, self.board.faults.s2mm_error = self.board.faults.s2mm_error, 0
            if error or len(packet) > length:
                self._fail(self.S2MM, error or self.INTERNAL)
                return
            try:
                self.board.ddr.view(address, len(packet))[:] = np.frombuffer(packet, np.uint8)
            except BusError:
                self._fail(self.S2MM, self.DECODE)
                return
            self.words[self.S2MM + self.LENGTH] = len(packet)
            self.words[self.S2MM + self.STATUS] |= self.IDLE | self.IOC

    def _transfer(self, channel: int) -> tuple[int, int]:
        low, high, length = (self.words.get(channel + register, 0) for register in (self.ADDRESS, self.ADDRESS_MSB, self.LENGTH))
        return high << 32 | low, length

    def _fail(self, channel: int, bits: int) -> None:
        """An error halts the channel; only a reset ends it."""
        self.words[channel + self.STATUS] |= bits | self.HALTED
        self.words[channel + self.CONTROL] = self.words.get(channel + self.CONTROL, 0) & ~1


class KernelIp:
    """ap_ctrl_hs block control and register file around an engine; a command ends when its output has left."""

    def __init__(self, board: Board, engine: Engine) -> None:
        self.board, self.engine = board, engine
        self.words = np.zeros((1 << ADDRESS_BITS) // 4, np.uint32)
        self.running = self.hung = self.done = self.written_while_busy = False
        self.output: bytes | None = None  # waits for the DMA to take it
        self.stalled_until = 0.0

    def read(self, offset: int) -> int:
        for name, value in self.board.faults.results.items():
            if offset == REGISTERS[name].offset:
                return value
        if offset == REGISTERS["CTRL"].offset:
            if self.stalled_until:
                self.board.step()
            if self.board.faults.interrupts:
                self.board.faults.interrupts -= 1
                raise KeyboardInterrupt
            if self.board.faults.busy_reads:
                self.board.faults.busy_reads -= 1
                return AP_START
            value = AP_START if self.running else AP_IDLE | AP_READY * self.done | AP_DONE * self.done
            self.done = False  # both clear on read
            return value
        return int(self.words[offset // 4])

    def write(self, offset: int, value: int) -> None:
        if offset == REGISTERS["CTRL"].offset:
            if value & AP_START and not self.running:
                self.running, self.done = True, False
                self.hung = self.board.faults.kernel_hangs > 0
                self.board.faults.kernel_hangs -= self.hung
                stall_s, self.board.faults.stall_s = self.board.faults.stall_s, 0.0
                self.stalled_until = time.monotonic() + stall_s if stall_s else 0.0
                self.board.step()
        elif self.running:
            self.written_while_busy = True
        else:
            self.words[offset // 4] = value

    def step(self) -> None:
        if not self.running or self.hung or time.monotonic() < self.stalled_until:
            return
        dma = self.board.dma
        if self.output is None:
            needs_input = get(self.words, "COMMAND") in (Command.LOAD, Command.RUN)
            if needs_input and not dma.to_kernel:
                return
            self.output = self.engine.command(self.words, dma.to_kernel.popleft() if needs_input else b"", dma.room)
            if self.board.faults.short_packets and self.output:
                self.board.faults.short_packets -= 1
                self.output = self.output[:-BEAT_BYTES]
            if self.board.faults.corrupt_words and self.output:
                self.board.faults.corrupt_words -= 1
                self.output = bytes([self.output[0] ^ 0x10]) + self.output[1:]
        if self.output and not dma.armed:
            return
        if self.output:
            dma.from_kernel.append(self.output)
        if self.written_while_busy:
            put(self.words, "STATUS", Status.WRITE_WHILE_BUSY)
        self.running, self.done, self.written_while_busy, self.output = False, True, False, None


class Board:
    """DDR, the processor's own registers, and what the current configuration puts into the fabric."""

    def __init__(self, engine: Engine, memory_bytes: int) -> None:
        self.engine, self.faults, self.ddr = engine, Faults(), Ddr(memory_bytes)
        self.processor = {IO_PLL_CTRL: IO_PLL_X45}
        self.windows: list[tuple[int, int, Model]] = []
        self.accesses: list[tuple[str, int, int]] | None = None  # ("r" or "w", address, value), when a test wants them
        self.dma: AxiDma

    def configure(self, ip_dict: dict[str, Any]) -> None:
        """A new configuration from a parsed .hwh: every register starts afresh."""
        makers: dict[str, Callable[[dict[str, Any]], Model]] = {
            DMA_VLNV: lambda parameters: AxiDma(self, parameters),
            KERNEL_VLNVS[self.engine.kind]: lambda parameters: KernelIp(self, self.engine),
        }
        self.windows = []
        for name, ip in ip_dict.items():
            if "phys_addr" not in ip:
                continue  # the processor itself
            if ip["type"] not in makers:
                raise DeviceError(f"{name} is a {ip['type']}, but the simulated board holds {', '.join(makers)}")
            model = makers[ip["type"]](ip["parameters"])
            if isinstance(model, AxiDma):
                self.dma = model
            self.windows.append((ip["phys_addr"], ip["addr_range"], model))

    def step(self) -> None:
        """Until nothing moves: input to the kernel, output to the DMA, its write to memory."""
        for _ in range(3):
            for *_, model in self.windows:
                model.step()

    def read(self, address: int) -> int:
        self._reach()
        model, offset = self._find(address)
        value = self.processor.get(address, 0) if model is None else model.read(offset)
        if self.accesses is not None:
            self.accesses.append(("r", address, value))
        return value

    def write(self, address: int, value: int) -> None:
        self._reach()
        model, offset = self._find(address)
        if self.accesses is not None:
            self.accesses.append(("w", address, value))
        if model is None:
            self.processor[address] = value
        else:
            model.write(offset, value)

    def _reach(self) -> None:
        if self.faults.lost_accesses:
            self.faults.lost_accesses -= 1
            raise OSError("the way to the board is gone")

    def _find(self, address: int) -> tuple[Model | None, int]:
        for base, size, model in self.windows:
            if base <= address < base + size:
                return model, address - base
        if any(base <= address < base + PAGE_BYTES for base in PROCESSOR_WINDOWS):
            return None, address
        raise BusError(f"a register access to {address:#x}, where nothing answers")
