"""wait="interrupt": the kernel says that it is done, and the host sleeps until then."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dsodenet.contract.registers import REGISTERS, Kind
from dsodenet.errors import DeviceError, InputError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.self_test import Item, check
from dsodenet.runtime.simulated.kernels import ReferenceKernel
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pynq = pytest.importorskip("pynq")

from dsodenet.contract import design  # noqa: E402
from dsodenet.runtime import exchange, interrupt  # noqa: E402
from dsodenet.runtime.hand_off import kernel_interrupt  # noqa: E402
from dsodenet.runtime.simulated import hwh  # noqa: E402
from dsodenet.runtime.simulated.device import SimulatedZcu104  # noqa: E402

PARAMS = MODELS["time_bias"]
IMAGES = random_images(PARAMS.spec, 5, 3)
EXPECTED = Reference(PARAMS).predict(IMAGES)
TIMEOUT_S = 5.0
WINDOW = design.block_design("x", Kind.HLS, 200).windows[1].base
CTRL, ISR = (WINDOW + REGISTERS[name].offset for name in ("CTRL", "IP_ISR"))


@pytest.fixture
def device() -> SimulatedZcu104:
    return SimulatedZcu104(ReferenceKernel(PARAMS))


@pytest.fixture
def accelerator(device: SimulatedZcu104, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accelerator]:
    """Every command after the first of its size is waited for by the interrupt, however quick this machine is."""
    monkeypatch.setattr(exchange, "SPIN_S", 0.0)
    with Accelerator(PARAMS, "zcu104-sim", device=device, timeout_s=TIMEOUT_S, wait="interrupt") as opened:
        device.board.faults.stall_s = 0.01  # else the simulated kernel is done before it is asked how long it takes
        opened.predict(IMAGES)
        yield opened


def reads(device: SimulatedZcu104, accelerator: Accelerator, address: int) -> int:
    """How often one call reads a register; its logits are right."""
    device.board.accesses = accesses = []
    np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)
    return [(kind, at) for kind, at, _ in accesses].count(("r", address))


def test_the_kernel_is_asked_once_when_it_has_said_that_it_is_done(
    device: SimulatedZcu104, accelerator: Accelerator
) -> None:
    waits: list[bool] = []
    line = accelerator._backend.transport._bus.line
    wait = line.wait
    line.wait = lambda seconds: waits.append(wait(seconds)) or waits[-1]
    for _ in range(3):
        waits.clear()
        assert reads(device, accelerator, CTRL) == 1
        assert waits == [False, True], "nothing is left of the call before, then the interrupt comes"
        assert device.board.read(ISR) == 0, "cleared, or it would come again at once"


def test_a_lost_interrupt_costs_time_and_nothing_else(device: SimulatedZcu104, accelerator: Accelerator) -> None:
    device.board.faults.lost_interrupts = 1
    start = time.monotonic()
    assert reads(device, accelerator, CTRL) == 1
    assert time.monotonic() - start >= exchange.LOOK_S
    start = time.monotonic()
    assert reads(device, accelerator, CTRL) == 1
    assert time.monotonic() - start < TIMEOUT_S


def test_an_interrupt_of_nobody_is_no_end(device: SimulatedZcu104, accelerator: Accelerator) -> None:
    """It comes while the kernel still computes, so the host asks until it is done."""
    device.board.faults.false_interrupts, device.board.faults.stall_s = 1, 0.05
    assert reads(device, accelerator, CTRL) > 1
    assert reads(device, accelerator, CTRL) == 1


def test_a_kernel_that_comes_late_is_noticed_without_its_interrupt(
    device: SimulatedZcu104, accelerator: Accelerator
) -> None:
    device.board.faults.stall_s = 1.5 * exchange.LOOK_S
    assert reads(device, accelerator, CTRL) >= 2
    assert reads(device, accelerator, CTRL) == 1, "the interrupt that came too late is not taken for the next one"


def test_it_works_in_a_thread_and_after_a_failure(device: SimulatedZcu104, accelerator: Accelerator) -> None:
    device.board.faults.kernel_hangs = 1
    accelerator._backend.transport._bus.timeout_s = 0.05
    with pytest.raises(DeviceError, match=r"no answer in 0\.05 s"):
        accelerator.predict(IMAGES)
    accelerator._backend.transport._bus.timeout_s = TIMEOUT_S
    results = []
    thread = threading.Thread(target=lambda: results.append(accelerator.predict(IMAGES)))
    thread.start()
    thread.join(TIMEOUT_S)
    np.testing.assert_array_equal(results[0], EXPECTED)
    accelerator.predict(IMAGES)
    assert reads(device, accelerator, CTRL) == 1, "the interrupt is on again"
    logits = list(accelerator.stream([IMAGES] * 3))
    np.testing.assert_array_equal(logits, [EXPECTED] * 3)


def test_the_selftest_sees_whether_it_comes(device: SimulatedZcu104, accelerator: Accelerator) -> None:
    def seen() -> Item:
        return next(item for item in check(accelerator).items if item.name == "interrupt")

    assert seen().ok
    assert not seen().left_out
    device.board.faults.lost_interrupts = 1000
    assert not seen().ok
    assert "its interrupt did not come" in seen().detail


def test_closing_gives_the_descriptor_back(device: SimulatedZcu104) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Accelerator(PARAMS, "zcu104-sim", device=device, wait="interrupt") as accelerator:
        accelerator.predict(IMAGES)
        assert len(os.listdir("/proc/self/fd")) > before
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_interrupt_is_the_processors_first(tmp_path: Path) -> None:
    """As pynq counts the processor's interrupts; its images hand out no other line."""
    lines = pynq.pl_server.hwh_parser._HWHUltrascale.family_irq
    for kind in Kind:
        bit = hwh.write_overlay(design.block_design(f"any{kind.value}", kind, 200), "kernel_0", tmp_path)
        ((first, _),) = lines["pl_ps_irq0"]
        assert kernel_interrupt(bit.with_suffix(".hwh")) == first


def test_what_cannot_wait_so_says_why(device: SimulatedZcu104, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wait is 'sleep', but it must be one of poll, interrupt"):
        Accelerator(PARAMS, "zcu104-sim", device=device, wait="sleep")
    with pytest.raises(InputError, match="backend cpu has no option wait"):
        Accelerator(PARAMS, "cpu", wait="interrupt")
    old = dataclasses.replace(design.block_design("old", Kind.HLS, 200), interrupts=())
    bit = hwh.write_overlay(old, "kernel_0", tmp_path)
    with pytest.raises(DeviceError, match=r"built without the kernel's interrupt .*; wait='poll' works without"):
        Accelerator(
            PARAMS, "zcu104-sim", device=SimulatedZcu104(ReferenceKernel(PARAMS)), bitfile=bit, wait="interrupt"
        )
    with pytest.raises(DeviceError, match=r"gives programs no interrupt 98765 here .*; wait='poll' works without"):
        interrupt.open_uio(98765)
