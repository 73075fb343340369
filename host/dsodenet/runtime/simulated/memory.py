"""Memory and AXI DMA of the simulated ZCU104: DDR apart from the host's copy, and the DMA in simple mode (PG021)."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import BEAT_BYTES
from dsodenet.errors import DeviceError
from dsodenet.runtime.hand_off import Windows, reached, windows_text
from dsodenet.runtime.simulated.faults import Faults

DDR_BASE = 0x6000_0000  # where Linux keeps contiguous memory: low DDR
HIGH_BASE = 0x8_0000_0000  # where XRT 2.17 puts small buffers: over what a DMA with 32-bit windows reaches
PAGE_BYTES = 4096
STALE = 0xA5  # what fresh DDR holds: a missing flush sends it, a missing invalidate hides what came


class BusError(DeviceError):
    """An access that hangs or kills the processor on a real board."""


class Ddr:
    """Physical memory as the fabric sees it. The host holds only what is allocated.

    As XRT 2.17 does, it puts buffers of a page and less over 4 GiB. `windows` is what the design reaches. An access
    outside an allocation raises: a real DMA would corrupt memory silently.
    """

    def __init__(self, size: int, base: int = DDR_BASE) -> None:
        self.free = [(base, size), (HIGH_BASE, size)]
        self.windows: Windows = ()
        self.live: dict[int, NDArray[np.uint8]] = {}  # address -> content

    def allocate(self, size: int) -> int:
        size = max(-(-size // PAGE_BYTES), 1) * PAGE_BYTES
        high = size <= PAGE_BYTES or all(base >= HIGH_BASE for base, _ in self.free)
        for i, (base, room) in enumerate(self.free):
            if room >= size and (base >= HIGH_BASE) == high:
                self.free[i] = (base + size, room - size)
                self.live[base] = np.full(size, STALE, np.uint8)
                return base
        raise MemoryError(f"the simulated board has no {size} bytes of contiguous memory left")

    def return_pointer(self, base: int) -> None:
        """Free an allocation (PynqBuffer calls it by this name) and join it with its free neighbours."""
        self.free.append((base, self.live.pop(base).size))
        joined: list[tuple[int, int]] = []
        for start, size in sorted(part for part in self.free if part[1]):
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + size)
            else:
                joined.append((start, size))
        self.free = joined

    def reach(self, address: int, size: int) -> NDArray[np.uint8]:
        """What the DMA sees at an address."""
        if not reached(self.windows, address, size):
            raise BusError(f"the fabric accessed {address:#x}, but its design reaches {windows_text(self.windows)}")
        return self.view(address, size)

    def view(self, address: int, size: int) -> NDArray[np.uint8]:
        for base, content in self.live.items():
            if base <= address and address + size <= base + content.size:
                return content[address - base :][:size]
        raise BusError(f"the fabric accessed {size} bytes at {address:#x}, outside every allocation")


class Fabric(Protocol):
    """What the DMA needs of the board."""

    ddr: Ddr
    faults: Faults

    def step(self) -> None:
        """Let everything go on that can."""


class AxiDma:
    """The AXI DMA in direct register mode, as PG021 describes it.

    Bits of DMACR: run/stop 0, reset 2. Bits of DMASR: halted 0, idle 1, errors 6:4, IOC 12, which a written 1 clears.
    """

    MM2S, S2MM = 0x00, 0x30
    CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
    HALTED, IDLE, INTERNAL, SLAVE, DECODE, IOC = 1, 2, 0x10, 0x20, 0x40, 0x1000

    def __init__(self, board: Fabric, parameters: dict[str, Any]) -> None:
        self.board = board
        self.length_mask = (1 << int(parameters["c_sg_length_width"])) - 1
        self.reset()

    def reset(self) -> None:
        """Reset both channels, whichever asked for it."""
        self.words = {channel + self.STATUS: self.HALTED for channel in (self.MM2S, self.S2MM)}
        self.to_kernel: deque[bytes] = deque()
        self.from_kernel: deque[bytes] = deque()
        self.sending = self.armed = False
        self.delayed_until = 0.0

    def read(self, offset: int) -> int:
        if self.delayed_until:
            self.board.step()
        if offset % self.S2MM == self.STATUS and self.board.faults.happens("late_idle_reads"):
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
            if error := self.board.faults.spent("mm2s_error"):
                self._fail(channel, error)
                return
            try:
                self.to_kernel.append(self.board.ddr.reach(address, length).tobytes())
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
            if delay_s := self.board.faults.spent("dma_delay_s"):
                self.delayed_until = time.monotonic() + delay_s
            if time.monotonic() < self.delayed_until:
                return
            packet, self.armed = self.from_kernel.popleft(), False
            address, length = self._transfer(self.S2MM)
            error = self.board.faults.spent("s2mm_error")
            if error or len(packet) > length:
                self._fail(self.S2MM, error or self.INTERNAL)
                return
            try:
                memory = self.board.ddr.reach(address, len(packet))
                if not self.board.faults.happens("unseen_packets"):
                    memory[:] = np.frombuffer(packet, np.uint8)
            except BusError:
                self._fail(self.S2MM, self.DECODE)
                return
            self.words[self.S2MM + self.LENGTH] = len(packet)
            self.words[self.S2MM + self.STATUS] |= self.IDLE | self.IOC

    def _transfer(self, channel: int) -> tuple[int, int]:
        low, high, length = (
            self.words.get(channel + register, 0) for register in (self.ADDRESS, self.ADDRESS_MSB, self.LENGTH)
        )
        return high << 32 | low, length

    def _fail(self, channel: int, bits: int) -> None:
        """An error halts the channel; only a reset ends it."""
        self.words[channel + self.STATUS] |= bits | self.HALTED
        self.words[channel + self.CONTROL] = self.words.get(channel + self.CONTROL, 0) & ~1
