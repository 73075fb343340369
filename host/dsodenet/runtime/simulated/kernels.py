"""What computes inside the simulated board, one entry of SIMULATED_KERNELS each.

It is the integer reference, or a kernel in a shared library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import (
    BEAT_BYTES,
    COEFF,
    COEFFS_PER_BLOCK,
    CONTRACT_VERSION,
    IDENTITY,
    REGISTERS,
    Command,
    Kind,
    Status,
    beats,
    fingerprint_words,
    image_bytes,
    logits_bytes,
    pack_logits,
    unpack_images,
)
from dsodenet.errors import InputError
from dsodenet.reference import OdeBlock, Reference
from dsodenet.runtime.driver import STARTUP_CYCLES
from dsodenet.runtime.library import KernelLibrary
from dsodenet.spec import MAX_STAGES, MAX_STEPS, Params, all_layers, sections

Words = NDArray[np.uint32]  # the register file


class SimulatedKernel(Protocol):
    """One kernel: arguments and results in `words`, one input packet, one output packet."""

    kind: Kind

    def command(self, words: Words, data: bytes, room: int) -> bytes:
        """Run what `words` says on `data`; returns its output.

        room: bytes that the receiver has asked for, or 0 when it has not yet. A simulation that is given memory for its
        output needs to know.
        """

    def close(self) -> None: ...


def get(words: Words, name: str) -> int:
    return int(words[REGISTERS[name].offset // 4])


def put(words: Words, name: str, value: int) -> None:
    words[REGISTERS[name].offset // 4] = value


class ReferenceKernel:
    """The hls kernel's contract in Python, on the integer reference.

    Solver and bias tables come from the host, as in hardware.
    """

    kind = Kind.HLS

    def __init__(self, params: Params) -> None:
        self.params = params
        self.network = params.spec.network
        self.reference = Reference(params, threads=1)
        self.blocks: list[OdeBlock] = [part for section, part in self.reference.parts if section.kind == "f"]
        self.tables: list[NDArray[np.int32]] | None = None  # what LOAD brought

    def command(self, words: Words, data: bytes, room: int = 0) -> bytes:
        put(words, "FRAMES_DONE", 0)
        status, out = self._dispatch(words, data)
        put(words, "STATUS", status)
        return out

    def close(self) -> None:
        """Nothing to give back."""

    def _dispatch(self, words: Words, data: bytes) -> tuple[Status, bytes]:
        command = get(words, "COMMAND")
        if command == Command.IDENTIFY:
            self._identify(words)
            return Status.OK, b""
        if command not in (Command.LOAD, Command.RUN):
            return Status.BAD_COMMAND, b""
        steps = [get(words, f"N_STEPS_{block + 1}") for block in range(len(self.blocks))]
        if not all(1 <= n_steps <= MAX_STEPS for n_steps in steps):
            return Status.BAD_STEPS, b""
        stages = get(words, "NUM_STAGES")
        if not 1 <= stages <= MAX_STAGES:
            return Status.BAD_STAGES, b""
        if command == Command.LOAD:
            return self._load([stages * n_steps for n_steps in steps], data), b""
        return self._run(words, steps, stages, data)

    def _identify(self, words: Words) -> None:
        low, high = fingerprint_words(self.params.kernel_fingerprint)
        height, width = self.network.map_size(0)
        for name, value in (
            ("IDENTITY", IDENTITY),
            ("VERSION", self.kind << 16 | CONTRACT_VERSION),
            ("FINGERPRINT_LO", low),
            ("FINGERPRINT_HI", high),
            ("CAP_CHANNELS", max(self.network.channels)),
            ("CAP_PIXELS", height * width),
            ("CAP_STEPS", MAX_STEPS),
        ):
            put(words, name, value)

    def _load(self, evaluations: Sequence[int], data: bytes) -> Status:
        if not self.network.has_time_table:
            return Status.BAD_PROGRAM
        self.tables = None
        sizes = [count * channels for count, channels in zip(evaluations, self.network.channels)]
        if status := _length_status(data, beats(4 * sum(sizes)) * BEAT_BYTES):
            return status
        parts = np.split(np.frombuffer(data, "<i4")[: sum(sizes)], np.cumsum(sizes)[:-1])
        self.tables = [
            part.reshape(-1, channels).astype(np.int32) for part, channels in zip(parts, self.network.channels)
        ]
        return Status.OK

    def _run(self, words: Words, steps: Sequence[int], stages: int, data: bytes) -> tuple[Status, bytes]:
        tables = self._constant_tables(steps, stages) if not self.network.has_time_table else self.tables
        if tables is None or [len(table) for table in tables] != [stages * n_steps for n_steps in steps]:
            return Status.NOT_LOADED, b""  # a table for another number of evaluations is none for this
        frames = get(words, "FRAMES")
        if not frames:
            return Status.BAD_FRAMES, b""
        if status := _length_status(data, frames * image_bytes(self.network)):
            return status, b""
        for index, (block, n_steps, table) in enumerate(zip(self.blocks, steps, tables)):
            block.set_solver(n_steps, self._rows(words, index, stages), table)
        images = unpack_images(np.frombuffer(data, np.uint8), self.network)
        logits = self.reference.predict(images)
        put(words, "FRAMES_DONE", frames)
        return Status.OK, pack_logits(logits)

    def _constant_tables(self, steps: Sequence[int], stages: int) -> list[NDArray[np.int32]]:
        """The bias that is in the bitstream of a model without time tables, for every evaluation."""
        names = [section.biased.name for section in sections(self.network) if section.kind == "f"]
        return [
            np.repeat(self.params.arrays[f"{name}.bias"][None], stages * n_steps, axis=0)
            for name, n_steps in zip(names, steps)
        ]

    def _rows(self, words: Words, block: int, stages: int) -> list[list[int]]:
        """The rows of Spec.coefficients from the COEFF registers: what registers.coefficient_words wrote."""
        first = COEFF.offset // 4 + block * COEFFS_PER_BLOCK
        values = [int(value) for value in words[first : first + COEFFS_PER_BLOCK].astype(np.int32)]
        rows, start = [], 0
        for i in range(MAX_STAGES):
            rows.append(values[start : start + i])
            start += i
        return [*rows[:stages], values[start : start + stages]]


def _length_status(data: bytes, expected: int) -> Status:
    if len(data) == expected:
        return Status.OK
    return Status.SHORT_INPUT if len(data) < expected else Status.LONG_INPUT


class LibraryKernel:
    """A kernel in a shared library, behind the simulated board's registers and DMA."""

    def __init__(self, path: Path, params: Params, kind: Kind) -> None:
        self.kind, self.params = kind, params
        self.library = KernelLibrary(path)

    def command(self, words: Words, data: bytes, room: int) -> bytes:
        network = self.params.spec.network
        # FRAMES may be wrong on purpose; what arrived bounds what can leave. Another model than `params` may be loaded.
        frames = min(get(words, "FRAMES"), len(data) // BEAT_BYTES + 1)
        own = min(frames, len(data) // image_bytes(network) + 1) * logits_bytes(network)
        out = np.zeros(max(own, room + BEAT_BYTES), np.uint8)  # a beat too much shall show
        steps = max(get(words, f"N_STEPS_{block + 1}") for block in range(len(network.channels)))
        evaluations = min(steps, MAX_STEPS) * min(get(words, "NUM_STAGES"), MAX_STAGES)
        layer_macs = sum(layer.macs for layer in all_layers(network))
        max_cycles = STARTUP_CYCLES + frames * max(evaluations, 1) * layer_macs
        written = self.library.command(words, np.frombuffer(data, np.uint8), out, max_cycles)
        return out[:written].tobytes()

    def close(self) -> None:
        self.library.close()


def csim_library(run: Path | None, library: str | Path | None) -> Path:
    """The C simulation to use; RunError when `dsodenet lower` has not made it or the run has changed since."""
    if library is not None:
        return Path(library)
    if run is None:
        raise InputError("the csim kernel needs a run folder, or library=..., when it is opened from Params")
    from dsodenet.hls import csim_library as lowered

    path: Path = lowered(run)
    return path


def concurrent_library(run: Path | None) -> Path:
    """The concurrent C simulation to use; RunError without a lowered kernel that fits the run."""
    if run is None:
        raise InputError("the csim-concurrent kernel needs a run folder; it cannot be opened from Params")
    from dsodenet.hls import concurrent_library as built

    path: Path = built(run)
    return path


def rtl_library(params: Params, library: str | Path | None) -> Path:
    """The compiled simulation of the engine with the lanes of the spec; built on first use."""
    if library is not None:
        return Path(library)
    from dsodenet.rtl import engine_library as built

    path: Path = built(params.spec.kernel)
    return path


def _reference_kernel(params: Params, run: Path | None, library: str | Path | None) -> SimulatedKernel:
    return ReferenceKernel(params)


def _csim_kernel(params: Params, run: Path | None, library: str | Path | None) -> SimulatedKernel:
    return LibraryKernel(csim_library(run, library), params, Kind.HLS)


def _concurrent_kernel(params: Params, run: Path | None, library: str | Path | None) -> SimulatedKernel:
    return LibraryKernel(concurrent_library(run), params, Kind.HLS)


def _rtl_kernel(params: Params, run: Path | None, library: str | Path | None) -> SimulatedKernel:
    return LibraryKernel(rtl_library(params, library), params, Kind.RTL)


SIMULATED_KERNELS: dict[str, Callable[[Params, Path | None, str | Path | None], SimulatedKernel]] = {
    "csim": _csim_kernel,
    "csim-concurrent": _concurrent_kernel,
    "rtl": _rtl_kernel,
    "reference": _reference_kernel,
}
