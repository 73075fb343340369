"""cocotb tests of the contract, the same for both kernels.

Handshakes, packet boundaries, errors and what follows them.
"""

from __future__ import annotations

from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from dsodenet.bench.studies.ladder_grid import saturated_words
from dsodenet.contract.registers import BEAT_BYTES, COEFF, IDENTITY, REGISTERS, Command, Status, state_text
from dsodenet.spec.synthetic import random_images
from tests.bus.bench import AUTO_RESTART, DONE, IDLE, KERNEL, POLLS, READY, START, started, stream
from tests.bus.contract_cases import FAULTS, FRAMES, TESTS, FaultName
from tests.models import model

MODEL = KERNEL.params


def contract(timeout_ms: float, **parameters: list):
    """A test of this kernel, if TESTS says so; every value of a parameter makes a test of its own."""

    def decorate(test):
        if KERNEL.name not in TESTS[test.__name__].kernels:
            return test
        if parameters:
            test = cocotb.parametrize(**parameters)(test)
        return cocotb.test(timeout_time=timeout_ms, timeout_unit="ms")(test)

    return decorate


@contract(20)
async def frames_without_a_pause(dut) -> None:
    bench = await started(dut)
    await bench.load(MODEL)
    await bench.check_run(MODEL, frames=4)
    if KERNEL.counts:
        assert await bench.read("STALLS_OUT") < 8  # the sink is ready in nearly every cycle
    await bench.check_run(MODEL, frames=1, seed=2)


@contract(40, idle=[0.0, 0.6], back_pressure=[0.0, 0.8])
async def stalled_streams(dut, idle: float, back_pressure: float) -> None:
    bench = await started(dut, idle=idle, back_pressure=back_pressure)
    await bench.load(MODEL)
    if KERNEL.counts:  # the engine also waits from AP_START until the driver sends: 20 to 30 cycles
        assert (await bench.read("STALLS_IN") > 60) == (idle > 0)
    await bench.check_run(MODEL, frames=3)
    if KERNEL.counts:
        assert (await bench.read("STALLS_OUT") > 3) == (back_pressure > 0)


@contract(40, cycles=[3, 40, 200, 700, 1500])
async def reset_in_the_middle(dut, cycles: int) -> None:
    """At moments in load, image, computation and output; then everything works as after the first reset."""
    bench = await started(dut)
    await bench.load(MODEL)
    bench.back_pressure = 1.0 if cycles == 1500 else 0.0
    await bench.write("COMMAND", Command.RUN)
    await bench.write("CTRL", START)
    task = cocotb.start_soon(bench.send(stream(MODEL, 1)))
    await ClockCycles(dut.clk, cycles)
    place = state_text(await bench.read("STATE"))  # readable while a command runs
    assert (place != "idle") == KERNEL.counts
    assert place.startswith("computing, ") == (KERNEL.counts and 200 <= cycles < 1500), place
    task.cancel()
    dut.s_axis_tvalid.value = 0
    bench.back_pressure = 0.0
    await bench.reset()
    assert not int(dut.m_axis_tvalid.value)
    assert await bench.read("CTRL") == IDLE
    assert await bench.read("FRAMES") == 0
    assert await bench.read("STATE") == 0
    assert await bench.command(Command.IDENTIFY) == Status.OK
    assert await bench.read("IDENTITY") == IDENTITY
    if KERNEL.forgets:
        await bench.arguments(MODEL, 1)
        assert await bench.command(Command.RUN, stream(MODEL, 1)) == Status.NOT_LOADED
    await bench.load(MODEL)
    await bench.check_run(MODEL)


@contract(40, name=[name for name in FaultName if KERNEL.name in FAULTS[name.value].kernels])
async def fault(dut, name: FaultName) -> None:
    """The command ends with its code, a faulty image has no logits, and the next good run is right."""
    fault = FAULTS[name.value]
    bench = await started(dut, idle=0.1, back_pressure=0.2)
    await bench.load(MODEL)
    await bench.arguments(MODEL, FRAMES)
    for register, value in fault.registers.items():
        await bench.write(register, value)
    good = {"": b"", "images": stream(MODEL, FRAMES), "program": KERNEL.program(MODEL)}[fault.packet]
    beats = len(good) // BEAT_BYTES + fault.beats if fault.keep is None else fault.keep
    sent = good.ljust(beats * BEAT_BYTES, b"\x55")[: beats * BEAT_BYTES]
    assert await bench.command(fault.command, sent, fault.tlast) == fault.status
    done = await bench.read("FRAMES_DONE")
    assert done < FRAMES
    bench.check_received(MODEL, FRAMES, done=done)
    if fault.command == Command.LOAD:
        assert await bench.command(Command.RUN, stream(MODEL, FRAMES)) == Status.NOT_LOADED
        await bench.load(MODEL)
    await bench.check_run(MODEL, frames=FRAMES)


@contract(40)
async def rest_of_a_packet_without_tlast(dut) -> None:
    """It comes when the command is long over, and is thrown away."""
    bench = await started(dut)
    await bench.load(MODEL)
    for registers, command, status in (
        ({}, Command.RUN, Status.LONG_INPUT),
        ({"FRAMES": 0}, Command.RUN, Status.BAD_FRAMES),
        ({}, 7, Status.BAD_COMMAND),
    ):
        await bench.arguments(MODEL, 1)
        for name, value in registers.items():
            await bench.write(name, value)
        first = stream(MODEL, 1) if status is Status.LONG_INPUT else b""
        assert await bench.command(command, first, tlast=False) == status
        await bench.send(stream(MODEL, 1))
        await bench.check_run(MODEL)


@contract(80, method=["euler", "rk4_38"], n_steps=[1, 32])
async def solver_steps(dut, method: str, n_steps: int) -> None:
    """Solver and number of steps are arguments; the time table goes with them."""
    bench = await started(dut, back_pressure=0.3)
    params = MODEL.with_solver(method, n_steps)
    await bench.load(params)
    await bench.check_run(params)


@contract(40)
async def saturation(dut) -> None:
    """States at both limits of their format."""
    bench = await started(dut)
    params = KERNEL.saturated.with_solver("euler", 4)
    assert saturated_words(params, random_images(params.spec, 2, 1)) > 0
    await bench.load(params)
    await bench.check_run(params, frames=2)


@contract(40)
async def programs_reloaded_between_frames(dut) -> None:
    bench = await started(dut, idle=0.2, back_pressure=0.2)
    other = model("other", "euler", 3, channels=(3, 6), height=5, width=4, in_channels=2, num_classes=3)
    other = replace(other, spec=replace(other.spec, kernel=MODEL.spec.kernel))
    for params in (MODEL, other, MODEL, MODEL):
        await bench.load(params)
        await bench.check_run(params, frames=2)


@contract(40)
async def bad_programs(dut) -> None:
    bench = await started(dut)
    good = KERNEL.program(MODEL)
    await bench.arguments(MODEL, 1)
    for place in (0, 4, 8, 16, 21, 23, 25, 27, 29, 32, 50, len(good) // 2, len(good) - 1):
        broken = bytearray(good)
        broken[place] ^= 0x40
        assert await bench.command(Command.LOAD, bytes(broken)) == Status.BAD_PROGRAM, place
        assert await bench.command(Command.RUN, stream(MODEL, 1)) == Status.NOT_LOADED
    await bench.load(MODEL)
    await bench.check_run(MODEL)


@contract(40)
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
        bench.check_received(MODEL, 1)
        assert await bench.read(name) == before
        await bench.check_run(MODEL)


@contract(20)
async def registers(dut) -> None:
    """Arguments hold what is written, results cannot be written, unknown addresses read 0, strobes select bytes."""
    bench = await started(dut, idle=0.1)
    for register in REGISTERS.values():
        if register.offset < REGISTERS["COMMAND"].offset:
            continue
        for i in range(register.words):
            before = await bench.axil.read_dword(register.offset + 4 * i)
            value = 0x05000000 + register.offset + i
            await bench.axil.write_dword(register.offset + 4 * i, value)
            after = await bench.axil.read_dword(register.offset + 4 * i)
            assert after == (value if register.access == "rw" else before), register.name
    # The upper words of scalars and the end of the memory of coefficients are left to the kernel.
    for address in range(COEFF.offset + (1 << (4 * COEFF.words - 1).bit_length()), 0x200, 4):
        await bench.axil.write_dword(address, 0xFFFFFFFF)
        assert await bench.axil.read_dword(address) == 0, hex(address)
    await bench.write("FRAMES", 0x11223344)
    await bench.axil.write(REGISTERS["FRAMES"].offset + 1, b"\x99")
    assert await bench.read("FRAMES") == 0x11229944


@contract(20)
async def block_control(dut) -> None:
    """Reading clears AP_DONE, AP_IDLE falls while a command runs, AUTO_RESTART repeats, the interrupt is masked."""
    bench = await started(dut)
    assert await bench.read("CTRL") == IDLE
    await bench.load(MODEL)
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
