"""What the cocotb tests of the contract share.

Drivers and monitors of the kernels' ports, and what differs between the kernels.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from dsodenet.contract.registers import (
    BEAT_BYTES,
    COEFF,
    COEFFS_PER_BLOCK,
    REGISTERS,
    Command,
    Status,
    coefficient_words,
)
from dsodenet.contract.streams import bias_program, image_bytes, pack_images, unpack_logits
from dsodenet.reference import Reference
from dsodenet.rtl.builder import program
from dsodenet.rtl.engine import Engine
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import tableau
from dsodenet.spec.synthetic import random_images
from tests.models import model, on, saturating

SEED = int(os.environ.get("DSODENET_SEED", "1"))
POLLS = 40_000  # of AP_DONE, before a test says that the kernel hangs
START, DONE, IDLE, READY, AUTO_RESTART = 1, 2, 4, 8, 0x80


@dataclass(frozen=True)
class Kernel:
    """The kernel under test and the model that it runs."""

    name: str
    params: Params
    saturated: Params  # a model, the same one where there can be only one, whose state saturates
    program: Callable[[Params], bytes]
    counts: bool  # has cycle and stall counters
    forgets: bool  # a reset takes the program away


def under_test() -> Kernel:
    """As test_rtl_bus.py and test_hls_bus.py say in the environment.

    The lanes of an engine, or the run folder of a lowered model.
    """
    if run := os.environ.get("DSODENET_RUN"):
        params = Params.load(Path(run))
        return Kernel("hls", params, params, bias_program, counts=False, forgets=False)
    params = on(
        model("bus", "heun", 2, channels=(5,), height=6, width=7, time="bias", num_classes=6),
        os.environ["DSODENET_LANES"],
    )
    return Kernel("rtl", params, saturating(params), _rtl_program, counts=True, forgets=True)


def _rtl_program(params: Params) -> bytes:
    return program(params, Engine.of(params.spec.kernel))


KERNEL = under_test()


def pauses(seed: int, share: float) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < share


class Bench:
    """Drivers and monitors; the stream monitor holds the kernel to AXI: what is offered stays until it is taken."""

    def __init__(self, dut, idle: float = 0.0, back_pressure: float = 0.0) -> None:
        self.dut, self.rng = dut, random.Random(SEED)
        self.idle, self.back_pressure = idle, back_pressure
        self.received: list[tuple[bytes, bool]] = []
        for name in ("axi", "axil", "s_axi_control"):
            logging.getLogger(f"cocotb.{dut._name}.{name}").setLevel(logging.WARNING)
        cocotb.start_soon(Clock(dut.clk, 5, unit="ns").start())
        self.axil = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.clk, dut.rst_n, reset_active_level=False
        )
        if idle or back_pressure:
            for i, channel in enumerate(
                (self.axil.write_if.aw_channel, self.axil.write_if.w_channel, self.axil.write_if.b_channel,
                 self.axil.read_if.ar_channel, self.axil.read_if.r_channel)
            ):  # fmt: skip
                channel.set_pause_generator(pauses(SEED + i, 0.4))
        dut.s_axis_tvalid.value = dut.s_axis_tlast.value = dut.s_axis_tdata.value = 0
        dut.m_axis_tready.value = 0
        cocotb.start_soon(self._monitor())

    async def reset(self) -> None:
        self.dut.rst_n.value = 0
        await ClockCycles(self.dut.clk, 5)
        self.dut.rst_n.value = 1
        await ClockCycles(self.dut.clk, 2)
        self.received.clear()

    async def _monitor(self) -> None:
        dut, offered = self.dut, None
        while True:
            await RisingEdge(dut.clk)
            in_reset, ready = not int(dut.rst_n.value), int(dut.m_axis_tready.value)
            now = None
            if int(dut.m_axis_tvalid.value) and not in_reset:
                now = (int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value))
            if offered is not None and not in_reset:
                assert now == offered, "an offered beat changed or went away before it was taken"
            if now is not None and ready:
                self.received.append((now[0].to_bytes(BEAT_BYTES, "little"), bool(now[1])))
            offered = now if not ready else None
            await Timer(1, "ns")
            dut.m_axis_tready.value = self.rng.random() >= self.back_pressure

    async def send(self, data: bytes, tlast: bool = True) -> None:
        """Send whole beats, with TLAST on the last one or on none. Gives up when a beat is not taken."""
        for at in range(0, len(data), BEAT_BYTES):
            while self.rng.random() < self.idle:
                await RisingEdge(self.dut.clk)
            self.dut.s_axis_tdata.value = int.from_bytes(data[at : at + BEAT_BYTES], "little")
            self.dut.s_axis_tlast.value = tlast and at + BEAT_BYTES == len(data)
            self.dut.s_axis_tvalid.value = 1
            for _ in range(POLLS):
                await ReadOnly()
                taken = int(self.dut.s_axis_tready.value)
                await RisingEdge(self.dut.clk)
                if taken:
                    break
            else:
                raise AssertionError(f"the beat at byte {at} was not taken")
            self.dut.s_axis_tvalid.value = 0

    async def write(self, name: str, value: int) -> None:
        await self.axil.write_dword(REGISTERS[name].offset, value & 0xFFFFFFFF)

    async def read(self, name: str) -> int:
        return await self.axil.read_dword(REGISTERS[name].offset)

    async def wait_done(self) -> Status:
        for _ in range(POLLS):
            if await self.read("CTRL") & DONE:
                return Status(await self.read("STATUS"))
        raise AssertionError("the kernel hangs")

    async def command(self, command: int, data: bytes = b"", tlast: bool = True) -> Status:
        await self.write("COMMAND", command)
        await self.write("CTRL", START)
        if data:
            await self.send(data, tlast)
        return await self.wait_done()

    async def arguments(self, params: Params, frames: int) -> None:
        method = tableau(params.spec.solver.method)
        await self.write("NUM_STAGES", method.num_stages)
        await self.write("FRAMES", frames)
        for block, n_steps in enumerate(params.spec.solver.n_steps):
            await self.write(f"N_STEPS_{block + 1}", n_steps)
            for i, word in enumerate(
                coefficient_words(method, params.spec.coefficients(block)), block * COEFFS_PER_BLOCK
            ):
                await self.axil.write_dword(COEFF.offset + 4 * i, word & 0xFFFFFFFF)

    async def load(self, params: Params) -> None:
        """Arguments of a run of one frame, and the program."""
        await self.arguments(params, 1)
        assert await self.command(Command.LOAD, KERNEL.program(params)) == Status.OK

    async def check_run(self, params: Params, frames: int = 1, seed: int = 1) -> None:
        """A good run gives the right logits, and TLAST on the last beat only."""
        await self.arguments(params, frames)
        self.received.clear()
        assert await self.command(Command.RUN, stream(params, frames, seed)) == Status.OK
        assert await self.read("FRAMES_DONE") == frames
        self.check_received(params, frames, seed)

    def check_received(self, params: Params, frames: int, seed: int = 1, done: int | None = None) -> None:
        """The logits of a run's images have come, or of the first `done` of them.

        TLAST ends a whole run and nothing else.
        """
        data = np.frombuffer(b"".join(beat for beat, _ in self.received), np.uint8)
        expected = Reference(params, threads=1).predict(random_images(params.spec, frames, seed))
        np.testing.assert_array_equal(unpack_logits(data, params.spec.network), expected[:done])
        beats = range(len(self.received))
        assert [last for _, last in self.received] == [done is None and i + 1 == len(beats) for i in beats]


def stream(params: Params, frames: int, seed: int = 1) -> bytes:
    """The images of a run, as stream bytes."""
    out = np.zeros(frames * image_bytes(params.spec.network), np.uint8)
    pack_images(random_images(params.spec, frames, seed), out)
    return out.tobytes()


async def started(dut, **options: float) -> Bench:
    bench = Bench(dut, **options)
    await bench.reset()
    return bench
