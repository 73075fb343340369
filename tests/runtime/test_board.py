"""The ZCU104 backend on the simulated board: real pynq classes, the reference for a kernel, faults on purpose."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.contract.registers import IDENTITY, REGISTERS, Kind
from dsodenet.contract.streams import image_bytes, logits_bytes
from dsodenet.errors import DeviceError, InputError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.interrupt import WAITS
from dsodenet.runtime.simulated.kernels import ReferenceKernel
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images, random_params
from tests.models import MODELS, model

pynq = pytest.importorskip("pynq")

from dsodenet.contract import design  # noqa: E402
from dsodenet.runtime.simulated import hwh  # noqa: E402
from dsodenet.runtime.simulated.board import Board  # noqa: E402
from dsodenet.runtime.simulated.device import SimulatedZcu104  # noqa: E402
from dsodenet.runtime.simulated.fault_trials import FAULTS, MARGIN_S, trial  # noqa: E402
from dsodenet.runtime.simulated.memory import PAGE_BYTES  # noqa: E402
from dsodenet.runtime.zcu104 import Zcu104Transport  # noqa: E402

PARAMS = MODELS["time_bias"]
IMAGES = random_images(PARAMS.spec, 5, 3)
EXPECTED = Reference(PARAMS).predict(IMAGES)
TIMEOUT_S = 0.1


@dataclasses.dataclass
class Setup:
    device: SimulatedZcu104
    accelerator: Accelerator


@pytest.fixture
def setup() -> Iterator[Setup]:
    device = SimulatedZcu104(ReferenceKernel(PARAMS))
    with Accelerator(PARAMS, "zcu104-sim", device=device, timeout_s=TIMEOUT_S) as accelerator:
        yield Setup(device, accelerator)


def open_device(params: Params = PARAMS, **options: Any) -> SimulatedZcu104:
    return SimulatedZcu104(ReferenceKernel(params), **options)


# the same integers


@pytest.mark.parametrize("name", MODELS)
def test_equals_the_reference(name: str) -> None:
    params = MODELS[name]
    images = random_images(params.spec, 7, 11)
    limit = 3 * max(image_bytes(params.spec.network), logits_bytes(params.spec.network))
    with Accelerator(params, "zcu104-sim", simulate_with="reference", max_batch_bytes=limit) as accelerator:
        expected = Reference(params).predict(images)
        for _ in range(2):
            np.testing.assert_array_equal(accelerator.predict(images), expected)
        call = accelerator.last_call
        assert call is not None
        assert (call.kind, call.batches, call.images, call.cycles) == ("simulated", 3, 7, None)
        np.testing.assert_array_equal(accelerator.predict(images[:1]), expected[:1])
        for method, n_steps in (("rk4", 3), ("euler", 1), ("midpoint", 2), (None, 5)):
            accelerator.set_solver(method, n_steps)
            np.testing.assert_array_equal(
                accelerator.predict(images), Reference(accelerator.params).predict(images), f"{method} {n_steps}"
            )


def test_the_engine_believes_the_host_not_its_own_solver() -> None:
    """Else a driver that wrote no coefficients or tables would pass."""
    device = open_device(PARAMS.with_solver("euler", 9))
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)


def test_random_models_and_many_calls_agree() -> None:
    params = random_params(model("again", "rk3", 2, time="bias", in_channels=3).spec, 77)
    images = random_images(params.spec, 40, 1)
    with Accelerator(
        params, "zcu104-sim", simulate_with="reference", max_batch_bytes=10 * image_bytes(params.spec.network)
    ) as board:
        expected = Reference(params).predict(images)
        for start in range(0, 40, 7):
            np.testing.assert_array_equal(board.predict(images[start:]), expected[start:])


# the bus


@pytest.mark.parametrize("count", [1, 5])
def test_a_batch_takes_at_most_eight_register_accesses(setup: Setup, count: int) -> None:
    setup.accelerator.predict(IMAGES[:count])
    setup.device.board.accesses = accesses = []
    setup.accelerator.predict(IMAGES[:count])
    assert 5 <= len(accesses) <= 8
    accesses.clear()
    setup.accelerator.predict(IMAGES[: count + 1 if count == 1 else count - 1])
    assert len(accesses) <= 8, "another number of frames is one more write"


def test_a_slow_kernel_is_slept_for_not_polled(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second command of a size sleeps about as long as the first took; under another solver nothing is known."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda seconds, sleep=time.sleep: (naps.append(seconds), sleep(seconds)))
    board = setup.device.board
    setup.accelerator.predict(IMAGES)
    board.faults.stall_s = 0.02
    setup.accelerator.predict(IMAGES)
    assert naps, "asked now and then, after a while of spinning"
    naps.clear()
    board.accesses = accesses = []
    setup.accelerator.predict(IMAGES)
    assert len(accesses) <= 8
    assert len(naps) == 1
    assert 0 < naps[0] < TIMEOUT_S
    setup.accelerator.set_solver(n_steps=1)
    naps.clear()
    setup.accelerator.predict(IMAGES)
    board.faults.busy_reads = 3
    monkeypatch.setattr("dsodenet.runtime.exchange.SPIN_S", TIMEOUT_S)  # however busy this machine is
    setup.accelerator.predict(IMAGES)
    assert naps == [], "a quick kernel is spun for"


def test_registers_are_written_only_when_they_change(setup: Setup) -> None:
    setup.accelerator.predict(IMAGES)
    setup.device.board.accesses = accesses = []
    setup.accelerator.set_solver("rk4", (2, 1, 4))  # one block changes
    setup.accelerator.predict(IMAGES)
    base = design.block_design("x", Kind.HLS, 200).windows[1].base
    first = REGISTERS["COEFF"].offset + 2 * (REGISTERS["COEFF"].words // 3) * 4
    written = {address - base for kind, address, _ in accesses if kind == "w" and address >= base}
    assert REGISTERS["N_STEPS_3"].offset in written
    assert written & {REGISTERS[name].offset for name in ("NUM_STAGES", "N_STEPS_1", "N_STEPS_2", "FRAMES")} == set()
    assert all(offset >= first for offset in written if offset >= REGISTERS["COEFF"].offset)


def test_the_dma_is_waited_for_after_the_kernel(setup: Setup) -> None:
    setup.accelerator.predict(IMAGES)
    board = setup.device.board
    (base,) = (
        window.base for window in design.block_design("x", Kind.HLS, 200).windows if window.instance == "axi_dma_0"
    )
    for change, status in (
        (False, base + 0x34),
        (True, base + 0x04),
    ):  # a run ends with a write to memory, a load with a read
        if change:
            setup.accelerator.set_solver("rk4", (2, 1, 4))
        board.faults.late_idle_reads = 3
        board.accesses = accesses = []
        logits = setup.accelerator.predict(IMAGES)
        np.testing.assert_array_equal(logits, Reference(setup.accelerator.params).predict(IMAGES))
        assert [address for kind, address, _ in accesses if kind == "r"].count(status) == 4
    board.faults.late_idle_reads = 1 << 30
    with pytest.raises(DeviceError, match=r"the kernel is done, but the DMA is not in 0\.1 s"):
        setup.accelerator.predict(IMAGES)
    board.faults.late_idle_reads = 0
    setup.accelerator.predict(IMAGES)


@pytest.mark.parametrize(
    ("method", "count", "shows"), [("flush", 40, True), ("invalidate", 40, True), ("invalidate", 1, False)]
)
def test_a_missing_flush_or_invalidate_shows(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, method: str, count: int, shows: bool
) -> None:
    """Few logits need no invalidate: their memory is not cached."""
    images = np.repeat(IMAGES, count, axis=0)
    monkeypatch.setattr(SimulatedZcu104, method, lambda *args: None)
    assert (setup.accelerator.predict(images) != np.repeat(EXPECTED, count, axis=0)).any() == shows


@pytest.mark.parametrize("name", MODELS)
def test_images_in_either_order_give_the_same(name: str) -> None:
    params = MODELS[name]
    images = random_images(params.spec, 5, 3)
    expected = Reference(params).predict(images)
    nhwc = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    with Accelerator(params, "zcu104-sim", simulate_with="reference") as accelerator:
        for count in (5, 1, 3, 1):  # one memory for all of them
            np.testing.assert_array_equal(accelerator.predict(nhwc[:count], "nhwc"), expected[:count])
            np.testing.assert_array_equal(accelerator.predict(images[:count][:, :, :, ::1]), expected[:count])
    with Accelerator(params) as accelerator:
        np.testing.assert_array_equal(accelerator.predict(nhwc, layout="nhwc"), expected)
        np.testing.assert_array_equal(accelerator.predict(nhwc / 255, layout="nhwc"), expected)


def test_the_order_of_the_axes_is_never_guessed(setup: Setup) -> None:
    nhwc = np.zeros((1, 16, 16, 1), np.uint8)
    with pytest.raises(InputError, match=r"takes \(N, 1, 16, 16\); say layout='nhwc' for images in that order"):
        setup.accelerator.predict(nhwc)
    with pytest.raises(InputError, match=r"takes \(N, 16, 16, 1\); say layout='nchw' for images in that order"):
        setup.accelerator.predict(nhwc.transpose(0, 3, 1, 2), layout="nhwc")
    with pytest.raises(InputError, match="layout is 'chw', but it must be one of nchw, nhwc"):
        setup.accelerator.predict(nhwc, layout="chw")


def test_buffers_are_kept_and_given_back(setup: Setup) -> None:
    live = setup.device.board.ddr.live
    setup.accelerator.predict(IMAGES)
    first = dict(live)
    for count in (1, 5, 3, 5):
        np.testing.assert_array_equal(setup.accelerator.predict(IMAGES[:count]), EXPECTED[:count])
    assert dict(live) == first
    setup.accelerator.close()
    assert not live


# faults: a clear text, in time, and the next call works


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_raises_in_time_and_the_next_call_works(name: str, wait: str) -> None:
    fault, result = FAULTS[name], trial(name, PARAMS, TIMEOUT_S, wait=wait)
    assert re.search(fault.raises, result.text), result.text
    assert result.exception == (
        "" if not fault.raises else "KeyboardInterrupt" if name == "interrupted call" else "DeviceError"
    )
    assert result.wrong_logits == (not fault.raises), "only a fault that nothing can notice gives wrong logits"
    assert result.seconds < TIMEOUT_S + MARGIN_S
    assert result.next_call_right
    assert not result.buffers_left


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt()])
def test_a_call_may_end_at_any_register_access(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A call that also sets another solver fails at each of its accesses in turn.

    The next call is right, whatever was left half-done.
    """
    board, methods = setup.device.board, iter(["euler", "rk4"] * 1000)
    reads_and_writes = {name: getattr(Board, name) for name in ("read", "write")}
    left = 0

    def ended(name: str, *args: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise error
        return reads_and_writes[name](*args)

    for name in reads_and_writes:
        monkeypatch.setattr(Board, name, lambda *args, name=name: ended(name, *args))
    count = 0
    while left <= 0:
        count += 1
        setup.accelerator.set_solver(next(methods))
        left = count
        with contextlib.suppress(DeviceError, KeyboardInterrupt):
            setup.accelerator.predict(IMAGES)
        if left <= 0:
            expected = Reference(setup.accelerator.params).predict(IMAGES)
            np.testing.assert_array_equal(setup.accelerator.predict(IMAGES), expected, f"after access {count}")
    assert count > 20
    assert not board.dma.armed


def test_a_slow_dma_is_waited_for(setup: Setup) -> None:
    setup.accelerator.predict(IMAGES)
    setup.device.board.faults.dma_delay_s = 0.5 * TIMEOUT_S
    np.testing.assert_array_equal(setup.accelerator.predict(IMAGES), EXPECTED)


def test_an_interrupt_stops_the_transfers_and_the_next_call_works(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = setup.device.board
    board.faults.kernel_hangs = 1

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            setup.accelerator.predict(IMAGES)
    assert not board.dma.armed, "the DMA could still write into memory that is reused"
    np.testing.assert_array_equal(setup.accelerator.predict(IMAGES), EXPECTED)


def test_a_device_that_stays_dead_is_refused_each_time(setup: Setup) -> None:
    setup.device.board.faults.kernel_hangs = 10
    for _ in range(2):
        with pytest.raises(DeviceError, match="no answer"):
            setup.accelerator.predict(IMAGES)
    setup.device.board.faults.results["CTRL"] = 0
    with pytest.raises(
        DeviceError, match=r"does not come back after a new configuration: kernel CTRL 0x0 \(no bit set\)"
    ):
        setup.accelerator.predict(IMAGES)
    setup.accelerator.close()
    with pytest.raises(DeviceError, match="closed"):
        setup.accelerator.predict(IMAGES)


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("IDENTITY", 0xDEADBEEF, f"identity 0xdeadbeef, but a dsODENet kernel answers {IDENTITY:#x}"),
        ("VERSION", 1 << 16 | 9, "contract version 9, but this package has 5"),
        ("VERSION", 5 << 16 | 5, "of kind 5, but this package knows 1 hls, 2 rtl"),
        ("FINGERPRINT_LO", 7, "built for model [0-9a-f]{8}00000007, but the run holds model"),
        ("FINGERPRINT_HI", 7, "built for model 00000007[0-9a-f]{8}, but the run holds model"),
        ("CAP_CHANNELS", 31, "needs 32 channels, but the kernel takes at most 31"),
        ("CAP_PIXELS", 255, "needs 256 pixels in a map, but the kernel takes at most 255"),
        ("CAP_STEPS", 2, "needs 3 solver steps, but the kernel takes at most 2"),
    ],
)
def test_a_kernel_that_does_not_fit_is_refused(register: str, value: int, message: str) -> None:
    device = open_device()
    device.board.faults.results[register] = value
    with pytest.raises(DeviceError, match=message):
        Accelerator(PARAMS, "zcu104-sim", device=device)


def test_a_failed_open_gives_everything_back() -> None:
    device = open_device()
    device.board.faults.results["STATUS"] = 5
    with pytest.raises(DeviceError, match="refused IDENTIFY with status 5: its input ended before the last beat"):
        Accelerator(PARAMS, "zcu104-sim", device=device)
    device.board.faults.results.clear()
    engine = device.board.kernel
    assert isinstance(engine, ReferenceKernel)
    engine.network = dataclasses.replace(engine.network, time="none")  # takes no program
    with pytest.raises(DeviceError, match="refused LOAD with status 8: the program does not fit") as error:
        Accelerator(PARAMS, "zcu104-sim", device=device)
    assert not device.board.ddr.live, f"although {error.value.__traceback__} still holds the driver"


def test_a_solver_over_the_limit_leaves_the_old_one(setup: Setup) -> None:
    setup.device.board.faults.results["CAP_STEPS"] = 3
    setup.accelerator.predict(IMAGES)
    fresh = Accelerator(PARAMS, "zcu104-sim", device=setup.device, timeout_s=TIMEOUT_S)
    with pytest.raises(DeviceError, match="needs 4 solver steps, but the kernel takes at most 3"):
        fresh.set_solver(n_steps=4)
    np.testing.assert_array_equal(fresh.predict(IMAGES), EXPECTED)


def test_another_overlay_on_the_device_is_noticed(setup: Setup) -> None:
    with Accelerator(PARAMS, "zcu104-sim", device=setup.device) as second:
        with pytest.raises(DeviceError, match="another overlay was loaded"):
            setup.accelerator.predict(IMAGES)
        np.testing.assert_array_equal(second.predict(IMAGES), EXPECTED)


def test_wrong_part_wrong_ip_and_missing_files_are_refused(tmp_path: Path) -> None:
    good = design.block_design("good", Kind.HLS, 200)

    def load(table: design.Design, device: SimulatedZcu104) -> None:
        Zcu104Transport(hwh.write_overlay(table, "kernel_0", tmp_path), device, "simulated", 1.0)

    zynq = dataclasses.replace(good.board, part="xc7z020-clg400-1")
    with pytest.raises(DeviceError, match=r"is for xc7z020-clg400-1, but the ZCU104 has xczu7ev-ffvc1156-2-e"):
        load(dataclasses.replace(good, name="part", board=zynq), open_device())
    with pytest.raises(DeviceError, match="is for xczu7ev-ffvc1156-2-e, but the board has xczu9eg"):
        load(good, open_device(part="xczu9eg-ffvb1156-2-e"))
    with pytest.raises(
        DeviceError, match=r"kernel_0 is a dsodenet:kernel:dsodenet_rtl:1.0, but the simulated board holds"
    ):
        load(design.block_design("rtl", Kind.RTL, 200), open_device())
    with pytest.raises(DeviceError, match=r"needs it beside absent\.bit"):
        Zcu104Transport(tmp_path / "absent.bit", open_device(), "simulated", 1.0)
    (tmp_path / "good.bit").write_bytes(b"rubbish")
    with pytest.raises(DeviceError, match=r"good\.bit: not a \.bit file"):
        Zcu104Transport(tmp_path / "good.bit", open_device(), "simulated", 1.0)
    dma_only = dataclasses.replace(
        good, name="dma_only", instances=tuple(i for i in good.instances if i.name != "kernel_0"),
        windows=good.windows[:1], buses=tuple(b for b in good.buses if "kernel_0" not in (b[0][0], b[1][0])),
        interrupts=(),
    )  # fmt: skip
    with pytest.raises(DeviceError, match=r"has 0 dsODENet kernels .* it has axi_dma_0"):
        load(dma_only, open_device())


def test_memory_that_runs_out_says_what_helps() -> None:
    device = open_device(memory_bytes=8 * PAGE_BYTES)
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        with pytest.raises(DeviceError, match="smaller max_batch_bytes"):
            accelerator.predict(np.repeat(IMAGES, 20, axis=0))
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)


def test_a_laptop_is_no_board() -> None:
    if pynq.Device.devices:
        pytest.skip("pynq finds a board here")
    with pytest.raises(DeviceError, match=r"finds no board here .*; backend zcu104-sim simulates one"):
        Accelerator(PARAMS, "zcu104", bitfile="overlay.bit")


def test_a_process_that_used_a_board_does_not_simulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynq.Clocks, "device", object())
    with pytest.raises(DeviceError, match="this process has used a real board"):
        Accelerator(PARAMS, "zcu104-sim", simulate_with="reference")
