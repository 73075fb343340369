"""cocotb tests of the engine's interfaces: handshakes, packet boundaries, errors and what follows them. Run by test_rtl_bus.py."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from runtime_models import model
from test_rtl import on

from dsodenet.engine import Engine
from dsodenet.params import Params
from dsodenet.program import program
from dsodenet.reference import Reference
from dsodenet.registers import COEFF, COEFFS_PER_BLOCK, REGISTERS, Command, Status, coefficient_words
from dsodenet.runtime.packing import image_bytes, pack_images, unpack_logits
from dsodenet.solvers import tableau
from dsodenet.synthetic import random_images

LANES = os.environ.get("DSODENET_LANES", "1x4x8")
SEED = int(os.environ.get("DSODENET_SEED", "1"))
POLLS = 40_000  # of AP_DONE, before a test says that the engine hangs
START, DONE, IDLE, READY, AUTO_RESTART = 1, 2, 4, 8, 0x80
MODEL = on(model("bus", "heun", 2, channels=(5,), height=6, width=7, time="bias", num_classes=6), LANES)
OTHER = on(model("other", "euler", 3, channels=(3, 6), height=5, width=4, in_channels=2, num_classes=3), LANES)


def pauses(seed: int, share: float) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < share


class Bench:
    """Drivers and monitors; the stream monitor holds the engine to AXI: what is offered stays until it is taken."""

    def __init__(self, dut, idle: float = 0.0, back_pressure: float = 0.0) -> None:
        self.dut, self.rng = dut, random.Random(SEED)
        self.idle, self.back_pressure = idle, back_pressure
        self.received: list[tuple[bytes, bool]] = []
        for name in ("axi", "axil"):
            logging.getLogger(f"cocotb.dsodenet_engine.{name}").setLevel(logging.WARNING)
        logging.getLogger("cocotb.dsodenet_engine.s_axi_control").setLevel(logging.WARNING)
        cocotb.start_soon(Clock(dut.clk, 5, unit="ns").start())
        self.axil = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.clk, dut.rst_n, reset_active_level=False)
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
                self.received.append((now[0].to_bytes(16, "little"), bool(now[1])))
            offered = now if not ready else None
            await Timer(1, "ns")
            dut.m_axis_tready.value = self.rng.random() >= self.back_pressure

    async def send(self, data: bytes, last: int | None = -1) -> None:
        """Send whole beats; `last` is the index of the beat with TLAST (None: no beat has it). Gives up when not taken."""
        beats = len(data) // 16
        last = beats + last if last is not None and last < 0 else last
        for i in range(beats):
            while self.rng.random() < self.idle:
                await RisingEdge(self.dut.clk)
            self.dut.s_axis_tdata.value = int.from_bytes(data[16 * i : 16 * i + 16], "little")
            self.dut.s_axis_tlast.value = i == last
            self.dut.s_axis_tvalid.value = 1
            for _ in range(POLLS):
                await ReadOnly()
                taken = int(self.dut.s_axis_tready.value)
                await RisingEdge(self.dut.clk)
                if taken:
                    break
            else:
                raise AssertionError(f"beat {i} was not taken")
            self.dut.s_axis_tvalid.value = 0

    async def write(self, name: str, value: int) -> None:
        await self.axil.write_dword(REGISTERS[name].offset, value & 0xFFFFFFFF)

    async def read(self, name: str) -> int:
        return await self.axil.read_dword(REGISTERS[name].offset)

    async def wait_done(self) -> Status:
        for _ in range(POLLS):
            if await self.read("CTRL") & DONE:
                return Status(await self.read("STATUS"))
        raise AssertionError("the engine hangs")

    async def command(self, command: int, data: bytes = b"", last: int | None = -1) -> Status:
        await self.write("COMMAND", command)
        await self.write("CTRL", START)
        if data:
            await self.send(data, last)
        return await self.wait_done()

    async def arguments(self, params: Params, frames: int) -> None:
        method = tableau(params.spec.solver.method)
        await self.write("NUM_STAGES", method.num_stages)
        await self.write("FRAMES", frames)
        for block, n_steps in enumerate(params.spec.solver.n_steps):
            await self.write(f"N_STEPS_{block + 1}", n_steps)
            for i, word in enumerate(coefficient_words(method, params.spec.coefficients(block)), block * COEFFS_PER_BLOCK):
                await self.axil.write_dword(COEFF.offset + 4 * i, word & 0xFFFFFFFF)

    async def load(self, params: Params) -> None:
        assert await self.command(Command.LOAD, program(params, Engine.of(params.spec.kernel))) == Status.OK

    async def check_run(self, params: Params, frames: int = 1, seed: int = 1, arguments: bool = True) -> None:
        """A good run gives the right logits, and TLAST on the last beat only."""
        if arguments:
            await self.arguments(params, frames)
        self.received.clear()
        assert await self.command(Command.RUN, stream(params, frames, seed)) == Status.OK
        assert await self.read("FRAMES_DONE") == frames
        self.check_received(params, frames, seed)

    def check_received(self, params: Params, frames: int, seed: int) -> None:
        data = np.frombuffer(b"".join(beat for beat, _ in self.received), np.uint8)
        expected = Reference(params, threads=1).predict(random_images(params.spec, frames, seed))
        np.testing.assert_array_equal(unpack_logits(data, params.spec.network), expected)
        lasts = [last for _, last in self.received]
        assert lasts == [False] * (len(lasts) - 1) + [True]


def stream(params: Params, frames: int, seed: int = 1) -> bytes:
    """The images of a run, as stream bytes."""
    out = np.zeros(frames * image_bytes(params.spec.network), np.uint8)
    pack_images(random_images(params.spec, frames, seed), out)
    return out.tobytes()


async def started(dut, **options: float) -> Bench:
    bench = Bench(dut, **options)
    await bench.reset()
    return bench


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def frames_without_a_pause(dut) -> None:
    bench = await started(dut)
    await bench.load(MODEL)
    await bench.check_run(MODEL, frames=4)
    assert await bench.read("STALLS_OUT") < 8  # the sink is ready in nearly every cycle
    await bench.check_run(MODEL, frames=1, seed=2)


@cocotb.test(timeout_time=40, timeout_unit="ms")
@cocotb.parametrize(idle=[0.0, 0.6], back_pressure=[0.0, 0.8])
async def stalled_streams(dut, idle: float, back_pressure: float) -> None:
    bench = await started(dut, idle=idle, back_pressure=back_pressure)
    await bench.load(MODEL)
    # The engine also waits from AP_START until the driver sends: 20 to 30 cycles.
    assert (await bench.read("STALLS_IN") > 60) == (idle > 0)
    await bench.check_run(MODEL, frames=3)
    assert (await bench.read("STALLS_OUT") > 3) == (back_pressure > 0)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def programs_reloaded_between_frames(dut) -> None:
    bench = await started(dut, idle=0.2, back_pressure=0.2)
    for params in (MODEL, OTHER, MODEL, MODEL):
        await bench.load(params)
        await bench.check_run(params, frames=2)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def reset_in_the_middle(dut) -> None:
    """At moments in load, image, computation and output; then everything works as after the first reset."""
    bench = await started(dut)
    for cycles in (3, 40, 200, 700, 1500):
        await bench.load(MODEL)
        await bench.arguments(MODEL, 1)
        bench.back_pressure = 1.0 if cycles == 1500 else 0.0
        await bench.write("COMMAND", Command.RUN)
        await bench.write("CTRL", START)
        task = cocotb.start_soon(bench.send(stream(MODEL, 1)))
        await ClockCycles(dut.clk, cycles)
        task.cancel()
        dut.s_axis_tvalid.value = 0
        bench.back_pressure = 0.0
        await bench.reset()
        assert not int(dut.m_axis_tvalid.value)
        assert await bench.read("CTRL") == IDLE
        assert await bench.read("IDENTITY") == 0x64734F44
        assert await bench.read("FRAMES") == 0
        await bench.arguments(MODEL, 1)
        assert await bench.command(Command.RUN, stream(MODEL, 1)) == Status.NOT_LOADED
        await bench.load(MODEL)
        await bench.check_run(MODEL)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def early_tlast(dut) -> None:
    bench = await started(dut, idle=0.2)
    await bench.load(MODEL)
    await bench.arguments(MODEL, 2)
    data = stream(MODEL, 2)
    beats = len(data) // 16
    for last in (0, beats // 2 - 1, beats // 2, beats - 2):
        assert await bench.command(Command.RUN, data[: 16 * (last + 1)]) == Status.SHORT_INPUT
    assert await bench.command(Command.LOAD, program(MODEL, Engine.of(MODEL.spec.kernel))[:-16]) == Status.SHORT_INPUT
    await bench.load(MODEL)
    await bench.check_run(MODEL, frames=2)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def late_or_missing_tlast(dut) -> None:
    bench = await started(dut)
    await bench.load(MODEL)
    await bench.arguments(MODEL, 1)
    data = stream(MODEL, 1)
    for extra in (16, 160, 3200):
        bench.received.clear()
        assert await bench.command(Command.RUN, data + bytes(extra)) == Status.LONG_INPUT
        assert not bench.received
        await bench.check_run(MODEL)
    # No TLAST, and nothing after it: the engine gives up waiting.
    assert await bench.command(Command.RUN, data, last=None) == Status.LONG_INPUT
    await bench.check_run(MODEL)
    # No TLAST, and the rest comes when the command is long over: it is thrown away.
    assert await bench.command(Command.RUN, data, last=None) == Status.LONG_INPUT
    await bench.send(data)
    await bench.check_run(MODEL)
    assert await bench.command(Command.LOAD, program(MODEL, Engine.of(MODEL.spec.kernel)) + bytes(16)) == Status.LONG_INPUT
    assert await bench.command(Command.RUN, data) == Status.NOT_LOADED


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def bad_arguments(dut) -> None:
    bench = await started(dut)
    data = stream(MODEL, 1)
    await bench.load(MODEL)
    for name, value, status in (
        ("COMMAND", 7, Status.BAD_COMMAND),
        ("FRAMES", 0, Status.BAD_FRAMES),
        ("NUM_STAGES", 0, Status.BAD_STAGES),
        ("NUM_STAGES", 5, Status.BAD_STAGES),
        ("N_STEPS_1", 0, Status.BAD_STEPS),
        ("N_STEPS_1", 65, Status.BAD_STEPS),
        ("N_STEPS_1", 1, Status.NOT_LOADED),
    ):
        await bench.arguments(MODEL, 1)
        if name != "COMMAND":
            await bench.write(name, value)
        # The packet comes with the command, long after it, or not at all.
        assert await bench.command(value if name == "COMMAND" else Command.RUN, data) == status
        assert await bench.command(value if name == "COMMAND" else Command.RUN) == status
        await bench.send(data)
        await bench.check_run(MODEL)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def bad_programs(dut) -> None:
    bench = await started(dut)
    good = program(MODEL, Engine.of(MODEL.spec.kernel))
    await bench.arguments(MODEL, 1)
    for place in (0, 4, 8, 16, 21, 23, 25, 27, 29, 32, 50, len(good) // 2, len(good) - 1):
        broken = bytearray(good)
        broken[place] ^= 0x40
        assert await bench.command(Command.LOAD, bytes(broken)) == Status.BAD_PROGRAM, place
        assert await bench.command(Command.RUN, stream(MODEL, 1)) == Status.NOT_LOADED
    await bench.load(MODEL)
    await bench.check_run(MODEL)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def writes_while_running(dut) -> None:
    """An argument written during a command is ignored and reported; the command itself ends well."""
    bench = await started(dut)
    await bench.load(MODEL)
    for name, value in (("FRAMES", 5), ("N_STEPS_1", 0), ("COMMAND", 9), ("COEFF", 12345)):
        await bench.arguments(MODEL, 1)
        before = await bench.read(name) if name != "COMMAND" else int(Command.RUN)
        bench.received.clear()
        await bench.write("COMMAND", Command.RUN)
        await bench.write("CTRL", START)
        task = cocotb.start_soon(bench.send(stream(MODEL, 1)))
        await ClockCycles(dut.clk, 20)
        await bench.write(name, value)
        await task
        assert await bench.wait_done() == Status.WRITE_WHILE_BUSY
        bench.check_received(MODEL, 1, 1)
        assert await bench.read(name) == before
        await bench.check_run(MODEL, arguments=False)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def registers(dut) -> None:
    """Arguments hold what is written, results cannot be written, unknown addresses read 0, strobes select bytes."""
    bench = await started(dut, idle=0.1)
    known = {r.offset + 4 * i for r in REGISTERS.values() for i in range(r.words)}
    for register in REGISTERS.values():
        if register.offset < REGISTERS["COMMAND"].offset:
            continue
        for i in range(register.words):
            before = await bench.axil.read_dword(register.offset + 4 * i)
            await bench.axil.write_dword(register.offset + 4 * i, 0xA5000000 + register.offset + i)
            after = await bench.axil.read_dword(register.offset + 4 * i)
            assert after == (0xA5000000 + register.offset + i if register.access == "rw" else before), register.name
    for address in sorted(set(range(0x10, 0x200, 4)) - known):
        await bench.axil.write_dword(address, 0xFFFFFFFF)
        assert await bench.axil.read_dword(address) == 0, hex(address)
    await bench.write("FRAMES", 0x11223344)
    await bench.axil.write(REGISTERS["FRAMES"].offset + 1, b"\x99")
    assert await bench.read("FRAMES") == 0x11229944


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def block_control(dut) -> None:
    """AP_DONE is cleared by reading, AP_IDLE falls while a command runs, the interrupt is masked, AUTO_RESTART repeats."""
    bench = await started(dut)
    assert await bench.read("CTRL") == IDLE
    await bench.load(MODEL)
    await bench.arguments(MODEL, 1)
    await bench.write("COMMAND", Command.RUN)
    await bench.write("GIER", 1)
    await bench.write("IP_IER", 1)
    await bench.write("CTRL", START)
    assert await bench.read("CTRL") == START
    assert not int(dut.interrupt.value)
    await bench.send(stream(MODEL, 1))
    for _ in range(POLLS):
        await RisingEdge(dut.clk)
        if int(dut.interrupt.value):
            break
    else:
        raise AssertionError("no interrupt")
    assert await bench.read("IP_ISR") == 1
    await bench.write("IP_ISR", 1)
    await ClockCycles(dut.clk, 2)
    assert not int(dut.interrupt.value)
    assert await bench.read("CTRL") == DONE | IDLE | READY
    assert await bench.read("CTRL") == IDLE
    await bench.write("CTRL", START | AUTO_RESTART)
    for seed in (1, 2):
        bench.received.clear()
        await bench.send(stream(MODEL, 1, seed))
        assert await bench.wait_done() == Status.OK
        bench.check_received(MODEL, 1, seed)
    await bench.write("CTRL", 0)
    bench.received.clear()
    await bench.send(stream(MODEL, 1))  # what had been restarted ends
    assert await bench.wait_done() == Status.OK
    await ClockCycles(dut.clk, 10)
    assert await bench.read("CTRL") == IDLE


@cocotb.test(timeout_time=80, timeout_unit="ms")
@cocotb.parametrize(method=["euler", "rk4_38"], n_steps=[1, 32])
async def solver_steps(dut, method: str, n_steps: int) -> None:
    bench = await started(dut, back_pressure=0.3)
    params = on(model("steps", method, n_steps, channels=(3,), height=4, width=4, time="bias"), LANES)
    await bench.load(params)
    await bench.check_run(params)
