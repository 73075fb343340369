"""A simulated ZCU104 below pynq: what its address map holds, the kernel's register file, and faults.

Everything happens inside the register write that starts it. Faults are injected by a test, through Board.faults.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dsodenet.contract import (
    ADDRESS_BITS,
    AP_DONE,
    AP_IDLE,
    AP_READY,
    AP_START,
    DMA_VLNV,
    KERNEL_VLNVS,
    REGISTERS,
    Command,
    Status,
)
from dsodenet.errors import DeviceError
from dsodenet.runtime.simulated.faults import Faults
from dsodenet.runtime.simulated.kernels import SimulatedKernel, get, put
from dsodenet.runtime.simulated.memory import PAGE_BYTES, AxiDma, BusError, Ddr

# Processor registers that pynq touches when it loads an overlay: clocks, port widths.
PROCESSOR_WINDOWS = (
    0xFF5E0000,
    0xFD1A0000,
    0xFD615000,
    0xFF419000,
    *range(0xFD360000, 0xFD3C0000, 0x10000),
    0xFF9B0000,
)
CTRL, GIER, IER, ISR = (REGISTERS[name].offset for name in ("CTRL", "GIER", "IP_IER", "IP_ISR"))
# Clocks of the processor (UG1087): two PLLs, and the source and dividers of the fabric's clock.
PLL_CTRLS, PL0_CTRL = {"IOPLL": (0xFF5E0020, 0), "RPLL": (0xFF5E0030, 2)}, 0xFF5E00C0


@dataclass(frozen=True)
class Boot:
    """How the boot image left the clocks: the PLL of the fabric, what each multiplies the reference with, dividers."""

    source: str = "IOPLL"
    factors: tuple[tuple[str, int], ...] = (("IOPLL", 45), ("RPLL", 45))
    divisors: tuple[int, int] = (15, 1)

    def registers(self) -> dict[int, int]:
        found = {PLL_CTRLS[name][0]: factor << 8 for name, factor in self.factors}
        first, second = self.divisors
        return found | {PL0_CTRL: 1 << 24 | second << 16 | first << 8 | PLL_CTRLS[self.source][1]}


class Model(Protocol):
    """An IP behind a register window."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...

    def step(self) -> None: ...


class KernelIp:
    """ap_ctrl_hs block control and register file around a kernel; a command ends when its output has left."""

    def __init__(self, board: Board, kernel: SimulatedKernel) -> None:
        self.board, self.kernel = board, kernel
        self.words = np.zeros((1 << ADDRESS_BITS) // 4, np.uint32)
        self.running = self.hung = self.done = self.written_while_busy = False
        self.output: bytes | None = None  # waits for the DMA to take it
        self.stalled_until = 0.0

    def read(self, offset: int) -> int:
        self.board.faults.before_read(offset)
        forced = self.board.faults.read_as(offset)
        if forced is not None:
            return forced
        if offset != CTRL:
            return int(self.words[offset // 4])
        if self.stalled_until:
            self.board.step()
        value = (AP_START if self.running else AP_IDLE) | (AP_READY | AP_DONE) * self.done
        self.done = False  # both clear on read
        return value

    def write(self, offset: int, value: int) -> None:
        if offset == CTRL:
            if value & AP_START and not self.running and not self.board.faults.happens("lost_starts"):
                self.running, self.done = True, False
                self.hung, stall_s = self.board.faults.happens("kernel_hangs"), self.board.faults.spent("stall_s")
                self.stalled_until = time.monotonic() + stall_s if stall_s else 0.0
                if self.board.faults.happens("false_interrupts"):
                    self.board.interrupt.come()
                self._interrupt()
                self.board.step()
        elif offset in (GIER, IER):
            self.words[offset // 4] = value
        elif offset == ISR:  # a 1 turns a bit over
            self.words[offset // 4] ^= np.uint32(value)
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
            data = dma.to_kernel.popleft() if needs_input else b""
            self.output = self.board.faults.damaged(self.kernel.command(self.words, data, dma.room))
        if self.output and not dma.armed:
            return
        if self.output:
            dma.from_kernel.append(self.output)
        if self.written_while_busy:
            put(self.words, "STATUS", Status.WRITE_WHILE_BUSY)
        self.running, self.done = self.board.faults.happens("doubled_starts"), True
        self.written_while_busy, self.output = False, None
        self.words[ISR // 4] |= self.words[IER // 4]
        self._interrupt()

    def _interrupt(self) -> None:
        """It is a level: one that was not cleared comes again as soon as it is let in."""
        if self.words[GIER // 4] and self.words[ISR // 4] and not self.board.faults.happens("lost_interrupts"):
            self.board.interrupt.come()


class Uio:
    """The kernel's interrupt as Linux hands it out: a write of 1 lets it come once, and each one is four bytes to read.

    It comes within a register access, so that it must be let in before the command is started.
    """

    def __init__(self) -> None:
        self._far: socket.socket | None = None
        self._count = 0

    def open(self) -> int:
        """The program's end, a descriptor that the program closes."""
        self.close()
        near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._far.setblocking(False)
        return near.detach()

    def come(self) -> None:
        """Tell the program, if it has let the interrupt in since the last one."""
        if self._far is None:
            return
        let_in = False
        with contextlib.suppress(BlockingIOError):
            while written := self._far.recv(4):
                let_in = int.from_bytes(written, "little") == 1
        if let_in:
            self._count += 1
            with contextlib.suppress(OSError):  # the program has closed its end
                self._far.send(self._count.to_bytes(4, "little"))

    def close(self) -> None:
        if self._far is not None:
            self._far.close()
        self._far = None


class Board:
    """DDR, the processor's own registers, and what the current configuration puts into the fabric."""

    def __init__(self, kernel: SimulatedKernel, memory_bytes: int, boot: Boot) -> None:
        self.kernel, self.faults, self.ddr = kernel, Faults(), Ddr(memory_bytes)
        self.processor, self.interrupt = boot.registers(), Uio()
        self.windows: list[tuple[int, int, Model]] = []
        self.accesses: list[tuple[str, int, int]] | None = None  # ("r" or "w", address, value), when a test wants them
        self.dma: AxiDma

    def configure(self, ip_dict: dict[str, Any]) -> None:
        """A new configuration from a parsed .hwh: every register starts afresh."""
        makers: dict[str, Callable[[dict[str, Any]], Model]] = {
            DMA_VLNV: lambda parameters: AxiDma(self, parameters),
            KERNEL_VLNVS[self.kernel.kind]: lambda parameters: KernelIp(self, self.kernel),
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
        if self.faults.happens("lost_accesses"):
            raise OSError("the way to the board is gone")

    def _find(self, address: int) -> tuple[Model | None, int]:
        for base, size, model in self.windows:
            if base <= address < base + size:
                return model, address - base
        if any(base <= address < base + PAGE_BYTES for base in PROCESSOR_WINDOWS):
            return None, address
        raise BusError(f"a register access to {address:#x}, where nothing answers")
