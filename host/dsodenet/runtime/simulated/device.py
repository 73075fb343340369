"""A simulated ZCU104 as a pynq.Device: the unpatched Overlay, DefaultIP, MMIO, DMA and allocate of pynq run on it.

It is no probed device: pynq never picks it by itself, only code that makes one and passes it on.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynq.pl_server.embedded_device import DEFAULT_XCLBIN, BitfileHandler, EmbeddedDevice, parse_bit_header
from pynq.pmbus import Rail, SysFSSensor

from dsodenet.contract import ZCU104
from dsodenet.errors import DeviceError
from dsodenet.runtime.hand_off import dma_windows
from dsodenet.runtime.simulated.board import Board, Boot
from dsodenet.runtime.simulated.kernels import SimulatedKernel

MEMORY_BYTES = 64 << 20
WATTS = {
    "12V (simulated)": 10.0,
    "INT (simulated)": 2.5,
}  # readings to try the software with; they follow nothing that runs


class _Handler(BitfileHandler):
    def get_xclbin_data(self) -> bytes:
        """pynq would call a Xilinx tool to describe the memories; its own default says what a ZCU104 has."""
        return DEFAULT_XCLBIN


def rail(folder: Path, name: str, watts: float | None) -> Rail:
    """A rail with a power sensor on a file of microwatts, FOLDER/<name>; without watts, with no sensor at all."""
    result = Rail(name)
    if watts is not None:
        (folder / name).write_text(str(round(1e6 * watts)))
        result.power = SysFSSensor(str(folder / name), "W", f"{name}_power", 1e-6)
    return result


class SimulatedZcu104(Device):
    """One board with one kernel. `board.faults` and `board.accesses` are for tests.

    `rails` are pynq's own, on files as Linux shows regulators. A test may change or remove the files and the rails.
    """

    def __init__(
        self,
        kernel: SimulatedKernel,
        memory_bytes: int = MEMORY_BYTES,
        part: str = ZCU104.part,
        boot: Boot | None = None,
    ) -> None:
        super().__init__("simulated_zcu104")
        self.name, self.arch, self.part = "ZCU104 (simulated)", "aarch64", part
        self.capabilities = {"REGISTER_RW": True}
        self.timestamp = ""
        self.board = Board(kernel, memory_bytes, boot or Boot())
        self._hwmon = tempfile.TemporaryDirectory(prefix="dsodenet-")
        self.rails = {name: rail(Path(self._hwmon.name), name, watts) for name, watts in WATTS.items()}

    def open_interrupt(self, number: int) -> int:
        """The descriptor of what stands for the UIO device of the kernel's interrupt, the only one."""
        return self.board.interrupt.open()

    def close(self) -> None:
        self.board.interrupt.close()
        self.board.kernel.close()
        self._hwmon.cleanup()

    def read_registers(self, address: int, length: int) -> bytes:
        return b"".join(self.board.read(address + i).to_bytes(4, "little") for i in range(0, length, 4))

    def write_registers(self, address: int, data: Any) -> None:
        for i, word in enumerate(np.frombuffer(bytes(data), "<u4")):
            self.board.write(address + 4 * i, int(word))

    def allocate(self, shape: Any, dtype: Any = "u4", cacheable: int = 0) -> PynqBuffer:
        """Memory of the host with a twin in DDR, which only flush and invalidate copy.

        Memory that is not cacheable is DDR itself.
        """
        if self.board.faults.happens("allocations"):
            raise MemoryError("allocation failure injected by a test")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self.board.ddr.allocate(size)
        ddr = None if cacheable else self.board.ddr.view(address, size)
        buffer = PynqBuffer(shape, dtype, buffer=ddr, device=self, device_address=address, bo=address, coherent=False)
        if cacheable:
            buffer[...] = 0
        # The fields by which PynqBuffer frees itself, explicitly or when it is collected; `freed` keeps it from munmap.
        buffer.memory, buffer.pointer, buffer.return_to, buffer.freed = self, address, self.board.ddr, True
        return buffer

    def flush(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        self.board.ddr.view(bo + offset, nbytes)[:] = np.frombuffer(ctypes.string_at(vaddr, nbytes), np.uint8)

    def invalidate(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        ctypes.memmove(vaddr, self.board.ddr.view(bo + offset, nbytes).tobytes(), nbytes)

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        return _Handler(bitfile_name).get_parser(partial=partial)

    def download(self, bitstream: Any, parser: Any = None) -> None:
        part = parse_bit_header(Path(bitstream.bitfile_name).read_bytes())["part"]
        if part != self.part:
            raise DeviceError(f"{bitstream.bitfile_name} is for {part}, but the board has {self.part}")
        EmbeddedDevice.set_axi_port_width(self, parser)
        self.board.configure(parser.ip_dict)
        self.board.ddr.windows = dma_windows(Path(bitstream.bitfile_name).with_suffix(".hwh"))
        self.post_download(bitstream, parser, self.name)
