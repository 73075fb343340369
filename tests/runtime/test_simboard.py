"""The simulated ZCU104 itself: its overlay files through the real pynq, its memory, DMA and kernel models."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dsodenet.contract.registers import REGISTERS, Command, Kind, Status, beats
from dsodenet.contract.streams import bias_program, image_bytes, pack_images
from dsodenet.errors import DeviceError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.simulated.kernels import ReferenceKernel, get, put
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pynq = pytest.importorskip("pynq")

from dsodenet.contract import design  # noqa: E402
from dsodenet.runtime.simulated import hwh  # noqa: E402
from dsodenet.runtime.simulated.board import Boot  # noqa: E402
from dsodenet.runtime.simulated.device import SimulatedZcu104  # noqa: E402
from dsodenet.runtime.simulated.memory import PAGE_BYTES, STALE, BusError, Ddr  # noqa: E402
from dsodenet.runtime.zcu104 import DsodenetKernel  # noqa: E402

PARAMS = MODELS["time_bias"]
IMAGES = random_images(PARAMS.spec, 5, 3)


def open_device() -> SimulatedZcu104:
    return SimulatedZcu104(ReferenceKernel(PARAMS))


# the overlay files, as the real pynq reads them


@pytest.mark.parametrize("kind", Kind)
def test_pynq_reads_the_generated_hand_off(kind: Kind, tmp_path: Path) -> None:
    table = design.block_design("overlay", kind, 187.5)
    bit = hwh.write_overlay(table, "kernel_0", tmp_path)
    parser = open_device().get_bitfile_metadata(str(bit))
    for window in table.windows:
        ip = parser.ip_dict[window.instance]
        assert (ip["phys_addr"], ip["addr_range"]) == (window.base, window.size)
        assert ip["type"] == table.instance(window.instance).vlnv
    registers = parser.ip_dict["kernel_0"]["registers"]
    assert {name: entry["address_offset"] for name, entry in registers.items()} == {
        r.name: r.offset for r in REGISTERS.values()
    }
    assert registers["CTRL"]["fields"]["AP_IDLE"]["bit_offset"] == 2
    assert parser.ip_dict["axi_dma_0"]["parameters"]["c_sg_length_width"] == "26"
    assert parser.clock_dict[0]["enable"] == 1
    assert parser.clock_dict[0]["frequency"] == pytest.approx(187.5, rel=1e-4)
    slower = dataclasses.replace(table, pl_clock=table.board.clock(100.0))
    other = hwh.write_overlay(slower, "kernel_0", tmp_path / "other")
    assert bit.read_bytes() != other.read_bytes(), "pynq caches a parsed .hwh by its .bit"


def test_pynq_binds_its_classes(tmp_path: Path) -> None:
    bit = hwh.write_overlay(design.block_design("b", Kind.HLS, 200), "kernel_0", tmp_path)
    overlay = pynq.Overlay(str(bit), device=open_device())
    assert type(overlay.kernel_0) is DsodenetKernel
    assert type(overlay.axi_dma_0) is pynq.lib.dma.DMA
    assert overlay.axi_dma_0.buffer_max_size == (1 << 26) - 1
    assert overlay.kernel_0.register_map.CTRL.AP_IDLE == 1
    assert pynq.Clocks.fclk0_mhz == pytest.approx(187.5, rel=1e-4), "the fastest clock not over 200 MHz"


def test_every_interface_of_the_design_is_connected_once() -> None:
    table = design.block_design("b", Kind.RTL, 200)
    pins = [pin for bus in table.buses for pin in bus]
    assert len(set(pins)) == len(pins)
    assert set(pins) == {
        (instance.name, interface.name) for instance in table.instances for interface in instance.interfaces
    }
    for master, slave in table.buses:
        ends = [table.instance(name).interface(interface) for name, interface in (master, slave)]
        assert [end.master for end in ends] == [True, False]
        assert ends[0].protocol == ends[1].protocol


# clocks and buffers


def boots() -> dict[str, tuple[Boot, float, str, str]]:
    """name -> how the board boots, the clock that runs, and the text of an error or of a note."""
    ahead = (
        r"but overlay\.bit meets timing at 187\.498 MHz: the boot image clocks it from RPLL at 1199\.99 MHz; publish"
    )
    return {
        "IOPLL 1,500": (Boot(), 187.498125, "", ""),
        "other dividers": (Boot(divisors=(7, 3)), 187.498125, "", ""),
        "RPLL 1,500": (Boot("RPLL"), 187.498125, "", ""),
        "RPLL 1,200": (Boot("RPLL", (("IOPLL", 45), ("RPLL", 36))), 199.998, "runs at 199.998 MHz, " + ahead, ""),
        "RPLL 1,600": (
            Boot("RPLL", (("IOPLL", 45), ("RPLL", 48))),
            177.776,
            "",
            r"runs at 177\.776 MHz, slower than the 187\.498 MHz of overlay\.bit: .* from RPLL at 1599\.98 MHz",
        ),
    }


@pytest.mark.parametrize("name", boots())
def test_the_clock_that_runs_is_compared_with_the_one_that_was_timed(name: str, tmp_path: Path) -> None:
    """pynq divides by the nearest whole number, and leaves the PLL that the boot image chose."""
    boot, mhz, error, note = boots()[name]
    device = SimulatedZcu104(ReferenceKernel(PARAMS), boot=boot)
    bit = hwh.write_overlay(design.block_design("overlay", Kind.HLS, 187.5), "kernel_0", tmp_path)
    with (
        pytest.raises(DeviceError, match=error) if error else contextlib.nullcontext(),
        pytest.warns(RuntimeWarning, match=note) if note else contextlib.nullcontext(),
        Accelerator(PARAMS, "zcu104-sim", device=device, bitfile=bit) as accelerator,
    ):
        assert accelerator.clock_mhz == pytest.approx(mhz)
        np.testing.assert_array_equal(accelerator.predict(IMAGES), Reference(PARAMS).predict(IMAGES))
    assert pynq.Clocks.fclk0_mhz == pytest.approx(mhz)


def test_the_clock_that_an_error_advises_is_there(tmp_path: Path) -> None:
    """1,199.988 MHz over 7, which is what `--clock 171.427` then publishes."""
    device = SimulatedZcu104(ReferenceKernel(PARAMS), boot=boots()["RPLL 1,200"][0])
    bit = hwh.write_overlay(design.block_design("overlay", Kind.HLS, 187.5), "kernel_0", tmp_path)
    with pytest.raises(DeviceError, match=r"--clock 171\.427$"):
        Accelerator(PARAMS, "zcu104-sim", device=device, bitfile=bit)


def test_small_buffers_lie_where_no_dma_reaches_and_the_host_takes_none(tmp_path: Path) -> None:
    device = open_device()
    small = pynq.allocate((4096,), np.uint8, target=device, cacheable=1)
    assert small.physical_address >= 1 << 32
    assert pynq.allocate((8192,), np.uint8, target=device, cacheable=1).physical_address < 2 << 30
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        np.testing.assert_array_equal(accelerator.predict(IMAGES[:1]), Reference(PARAMS).predict(IMAGES[:1]))
        with pytest.raises(BusError, match=r"accessed 0x800000000, but its design reaches 0x0 to 0x7fffffff"):
            device.board.ddr.reach(small.physical_address, 16)


def test_memory_outside_the_windows_is_refused_before_the_dma_has_it() -> None:
    device = open_device()
    device.board.ddr.free = [(0x8_0000_0000, 64 << 20)]
    with pytest.raises(
        DeviceError,
        match=r"a buffer of \d+ bytes lies at 0x800000000, but the DMA of this overlay reaches 0x0 to 0x7fffffff: give",
    ):
        Accelerator(PARAMS, "zcu104-sim", device=device)
    assert not device.board.ddr.live


# the models of the board themselves


def test_memory_joins_what_is_freed_and_refuses_strangers() -> None:
    ddr = Ddr(8 * PAGE_BYTES)
    bases = [ddr.allocate(2 * PAGE_BYTES - 1) for _ in range(4)]
    with pytest.raises(MemoryError):
        ddr.allocate(PAGE_BYTES + 1)
    assert (ddr.view(bases[0], 16) == STALE).all()
    for base in (bases[2], bases[0], bases[3], bases[1]):
        ddr.return_pointer(base)
    base = ddr.allocate(8 * PAGE_BYTES)
    for address, size in ((base - 1, 1), (base + 8 * PAGE_BYTES - 8, 9)):
        with pytest.raises(BusError):
            ddr.view(address, size)


def _program(steps: int) -> bytes:
    return bias_program(PARAMS.with_solver("rk4", steps))


@pytest.mark.parametrize(
    ("command", "changes", "data", "status"),
    [
        (9, {}, "run", Status.BAD_COMMAND),
        (Command.RUN, {"N_STEPS_2": 0}, "run", Status.BAD_STEPS),
        (Command.RUN, {"N_STEPS_1": 65}, "run", Status.BAD_STEPS),
        (Command.RUN, {"NUM_STAGES": 5}, "run", Status.BAD_STAGES),
        (Command.RUN, {"FRAMES": 0}, "run", Status.BAD_FRAMES),
        (Command.RUN, {"FRAMES": 2}, "run", Status.SHORT_INPUT),
        (Command.RUN, {}, "run run", Status.LONG_INPUT),
        (Command.RUN, {"N_STEPS_1": 3}, "run", Status.NOT_LOADED),
        (Command.LOAD, {}, "short", Status.SHORT_INPUT),
        (Command.LOAD, {}, "long", Status.LONG_INPUT),
        (Command.RUN, {}, "run", Status.OK),
        (Command.LOAD, {}, "load", Status.OK),
    ],
)
def test_the_reference_kernel_keeps_the_contract(
    command: int, changes: dict[str, int], data: str, status: Status
) -> None:
    engine = ReferenceKernel(PARAMS)
    words = np.zeros(128, np.uint32)
    for name, value in {"NUM_STAGES": 4, "FRAMES": 1, "N_STEPS_1": 2, "N_STEPS_2": 2, "N_STEPS_3": 2}.items():
        put(words, name, value)
    put(words, "COMMAND", Command.RUN)
    image = np.zeros(image_bytes(PARAMS.spec.network), np.uint8)
    pack_images(IMAGES[:1], image)
    assert engine.command(words, image.tobytes()) == b""
    assert get(words, "STATUS") == Status.NOT_LOADED
    put(words, "COMMAND", Command.LOAD)
    assert engine.command(words, _program(2)) == b""
    assert get(words, "STATUS") == Status.OK
    packets = {
        "run": image.tobytes(),
        "run run": 2 * image.tobytes(),
        "load": _program(2),
        "short": _program(1),
        "long": _program(3),
    }
    put(words, "COMMAND", command)
    for name, value in changes.items():
        put(words, name, value)
    out = engine.command(words, packets[data])
    assert Status(get(words, "STATUS")) == status
    ran = command == Command.RUN and status == Status.OK
    assert len(out) == 16 * beats(4 * PARAMS.spec.network.num_classes) * ran
    assert get(words, "FRAMES_DONE") == ran


def test_a_load_for_a_model_without_tables_is_refused() -> None:
    engine = ReferenceKernel(MODELS["plain"])
    words = np.zeros(128, np.uint32)
    for name in ("NUM_STAGES", "N_STEPS_1", "N_STEPS_2", "N_STEPS_3", "COMMAND"):
        put(words, name, 1)
    engine.command(words, b"\0" * 16)
    assert get(words, "STATUS") == Status.BAD_PROGRAM


def test_a_write_while_the_kernel_runs_is_ignored_and_reported() -> None:
    """The driver never does it; the model of the kernel must notice if it did."""
    device = open_device()
    board = device.board
    (base,) = (
        window.base for window in design.block_design("x", Kind.HLS, 200).windows if window.instance == "kernel_0"
    )
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        accelerator.predict(IMAGES)
    frames = base + REGISTERS["FRAMES"].offset
    board.write(base, 1)  # starts a run whose input has not come
    board.write(frames, 99)
    assert board.read(frames) == len(IMAGES)
    board.dma.to_kernel.append(b"")
    board.step()
    assert board.read(base + REGISTERS["STATUS"].offset) == Status.WRITE_WHILE_BUSY
    with pytest.raises(BusError, match="where nothing answers"):
        board.read(0xB000_0000)
