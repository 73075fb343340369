"""A kernel compiled into a shared library, called by ctypes.

It is the C simulation of the hls kernel or the Verilator model of the rtl engine. Both have this interface:

    void *dsodenet_open(void);
    void dsodenet_close(void *);
    int dsodenet_command(void *, uint32_t *registers, const uint8_t *in, uint64_t in_bytes,
                         uint8_t *out, uint64_t out_bytes, uint64_t *written, uint64_t max_cycles);

`registers` is the whole register file: arguments in, results out. `in` is whole beats, with TLAST on the last. A result
other than 0 means that the command did not end in max_cycles. A library may also have

    const char *dsodenet_message(void *);    why the last command did not end
    const char *dsodenet_activity(void *);   what each stream carried in the last command, as JSON
"""

from __future__ import annotations

import ctypes
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import ADDRESS_BITS, REGISTERS
from dsodenet.errors import DeviceError, ToolError
from dsodenet.outside import guard
from dsodenet.runtime.stages import Stages
from dsodenet.runtime.transport import Form

REGISTER_WORDS = (1 << ADDRESS_BITS) // 4
STATUS_WORD = REGISTERS["STATUS"].offset // 4
_U8 = np.ctypeslib.ndpointer(np.uint8, 1, flags="C_CONTIGUOUS")
_U32 = np.ctypeslib.ndpointer(np.uint32, 1, shape=(REGISTER_WORDS,), flags="C_CONTIGUOUS")


_idle: dict[tuple[str, int, int], list[ctypes.CDLL]] = {}  # loaded copies that nobody uses now


class KernelLibrary:
    """One simulated kernel, in its own copy of the library.

    The C simulation keeps its bias tables in static memory, so two users of one copy would silently compute with each
    other's. A copy is used again, since Python cannot unload it. A command that did not end leaves the kernel in an
    unknown state, so the next one starts on a fresh instance.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with guard(path, "the library of a simulated dsODENet kernel", ToolError):
            stat = path.stat()
            self._key = (str(path.resolve()), stat.st_ino, stat.st_mtime_ns)
            idle = _idle.setdefault(self._key, [])
            self._bind(idle.pop() if idle else _load_copy(path))
        self._handle: int | None = None
        self.failure = ""  # all that the kernel says of the last command that did not end; an error may cut it short

    def _bind(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._open, self._close, self._command = (library[f"dsodenet_{name}"] for name in ("open", "close", "command"))
        self._open.restype, self._open.argtypes = ctypes.c_void_p, []
        self._close.restype, self._close.argtypes = None, [ctypes.c_void_p]
        u64 = ctypes.c_uint64
        self._command.restype = ctypes.c_int
        self._command.argtypes = [ctypes.c_void_p, _U32, _U8, u64, _U8, u64, ctypes.POINTER(u64), u64]

    def _text(self, name: str) -> str:
        """What a library that says more than others answers; empty from the others."""
        function = getattr(self._library, f"dsodenet_{name}", None)
        if function is None:
            return ""
        function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        return str(function(self._handle).decode())

    def activity(self) -> dict[str, Any]:
        """What the processes and streams of the last command did, from a library that counts them; else empty.

        processes: path and runs of each. streams: path, depth and fullest state in words, words written and read, and
        the paths of the processes at its ends.
        """
        text = self._text("activity")
        return dict(json.loads(text)) if text else {}

    def command(
        self, registers: NDArray[np.uint32], data: NDArray[np.uint8], out: NDArray[np.uint8], max_cycles: int
    ) -> int:
        """Run what `registers` says on `data`, and put the results into `registers` and `out`.

        Returns the number of bytes written to `out`. DeviceError when the command does not end in max_cycles.
        """
        if self._handle is None:
            self._handle = self._open()
            if not self._handle:
                self._handle = None
                raise DeviceError(f"{self.path}: the simulated kernel could not be opened")
        written = ctypes.c_uint64()
        result = self._command(
            self._handle, registers, data, data.size, out, out.size, ctypes.byref(written), max_cycles
        )
        if result:
            reason = self.failure = self._text("message")
            self._end()
            if hasattr(self._library, "dsodenet_message"):
                self._bind(_load_copy(self.path))  # a C simulation keeps its state in static memories: they are lost
            detail = f": {reason}" if reason else f" in {max_cycles} cycles"
            raise DeviceError(f"{self.path}: the simulated kernel did not end{detail}")
        return written.value

    def close(self) -> None:
        """Give the copy back; called once, and nothing after it."""
        self._end()
        _idle[self._key].append(self._library)

    def _end(self) -> None:
        if self._handle is not None:
            self._close(self._handle)
            self._handle = None


def _load_copy(path: Path) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="dsodenet-") as folder:
        return ctypes.CDLL(shutil.copy(path, folder))


class LibraryExchange:
    """A command of a simulated kernel, which computes in `finish`."""

    def __init__(self, transport: LibraryTransport, in_bytes: int, out_bytes: int, max_cycles: int, slot: int) -> None:
        self.input, self.output = transport.memory("in", in_bytes, slot), transport.memory("out", out_bytes, slot)
        self._transport, self._max_cycles = transport, max_cycles

    def start(self) -> None:
        """Nothing yet."""

    def native(self, form: Form) -> None:
        """A simulation takes so long that nothing is gained."""

    def finish(self, control: int = 0) -> int:
        library, registers = self._transport.library, self._transport.registers
        written = library.command(registers, self.input, self.output, self._max_cycles)
        if self._transport.stages.on:
            self._transport.stages.lap("compute")
        status = int(registers[STATUS_WORD])
        if status == 0 and written != self.output.size:
            raise DeviceError(
                f"{library.path}: the simulated kernel sent {written} bytes, but {self.output.size} were expected"
            )
        return status


class LibraryTransport:
    """The driver's transport straight into a library: no bus, no DMA."""

    kind = "simulated"
    works_alone = False
    max_bytes = 1 << 30
    clock_mhz: float | None = None

    def __init__(self, path: Path) -> None:
        self.stages = Stages()
        self.library = KernelLibrary(path)
        self.registers = np.zeros(REGISTER_WORDS, np.uint32)
        self._memory: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def memory(self, direction: str, num_bytes: int, slot: int) -> NDArray[np.uint8]:
        """Memory (num_bytes,) that exchanges of this direction and slot share, where it is large enough."""
        if self._memory.get((direction, slot), np.zeros(0)).size < num_bytes:
            self._memory[direction, slot] = np.zeros(num_bytes, np.uint8)
        return self._memory[direction, slot][:num_bytes] if num_bytes else np.zeros(0, np.uint8)

    def write(self, offset: int, value: int) -> None:
        self.registers[offset // 4] = value

    def read(self, offset: int) -> int:
        return int(self.registers[offset // 4])

    def exchange(self, in_bytes: int, out_bytes: int, max_cycles: int, slot: int = 0) -> LibraryExchange:
        return LibraryExchange(self, in_bytes, out_bytes, max_cycles, slot)

    def close(self) -> None:
        self.library.close()
