"""The driver by itself: what it keeps of a size, what it asks of a transport, and what it takes for granted."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from dsodenet.contract import REGISTERS, Command, Kind
from dsodenet.errors import DeviceError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.driver import MAX_PREPARED, STARTUP_CYCLES, KernelDriver
from dsodenet.runtime.prepared import PreparedRun
from dsodenet.runtime.simulated.kernels import ReferenceKernel, Words, get
from dsodenet.spec.layers import macs
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pytest.importorskip("pynq")

from dsodenet.runtime.simulated.device import SimulatedZcu104

PARAMS = MODELS["time_bias"]
IMAGES = random_images(PARAMS.spec, MAX_PREPARED + 3, 3)
EXPECTED = Reference(PARAMS).predict(IMAGES)


@dataclasses.dataclass
class Setup:
    device: SimulatedZcu104
    accelerator: Accelerator
    driver: KernelDriver


@pytest.fixture
def setup() -> Iterator[Setup]:
    device = SimulatedZcu104(ReferenceKernel(PARAMS))
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        yield Setup(device, accelerator, accelerator._backend)


def test_a_simulated_kernel_is_waited_for_as_long_as_the_slowest(setup: Setup) -> None:
    """One multiply-accumulate a cycle, and a million cycles to load its program."""
    asked, exchange = [], setup.driver.transport.exchange
    setup.driver.transport.exchange = lambda *args: (asked.append(args[2]), exchange(*args))[1]
    for count in (1, 3):
        np.testing.assert_array_equal(setup.accelerator.predict(IMAGES[:count]), EXPECTED[:count])
    work = sum(macs(PARAMS.spec).values())
    assert asked == [STARTUP_CYCLES + work, STARTUP_CYCLES + 3 * work]


def test_so_many_sizes_are_kept_and_no_more(setup: Setup) -> None:
    kept = []
    for count in range(1, len(IMAGES) + 1):
        np.testing.assert_array_equal(setup.accelerator.predict(IMAGES[:count]), EXPECTED[:count])
        kept.append(len(setup.driver._runs))
    assert kept == [*range(1, MAX_PREPARED + 1), 1, 2, 3]
    setup.driver.transport.exchange = None  # a size that is kept asks for nothing
    np.testing.assert_array_equal(setup.accelerator.predict(IMAGES), EXPECTED)


def test_a_run_is_prepared_from_any_state(setup: Setup) -> None:
    for forget in (False, True):
        if forget:
            setup.driver.forget()
        run = setup.driver.prepared(2)
        run.pack(IMAGES[:2])
        run.exchange.start()
        assert run.exchange.finish() == 0
        np.testing.assert_array_equal(run.unpack(), EXPECTED[:2])


def test_a_program_is_loaded_once(setup: Setup) -> None:
    """Bias tables are this kernel's program; neither calls nor streams load them again."""
    loads, command = [], setup.device.board.kernel.command

    def counted(words: Words, data: bytes, room: int) -> bytes:
        loads.append(get(words, "COMMAND") == Command.LOAD)
        return command(words, data, room)

    setup.device.board.kernel.command = counted
    setup.accelerator.predict(IMAGES[:2])
    for logits in setup.accelerator.stream([IMAGES[:2]] * 3):
        np.testing.assert_array_equal(logits, EXPECTED[:2])
    assert loads == [False] * 4
    setup.accelerator.set_solver(n_steps=1)
    list(setup.accelerator.stream([IMAGES[:2]] * 2))
    assert sum(loads) == 1


@pytest.mark.parametrize("accesses", [1, 2, 3])
def test_a_stream_that_cannot_start_leaves_nothing_to_rely_on(setup: Setup, accesses: int) -> None:
    list(setup.accelerator.stream([IMAGES[:2]]))
    stream = setup.accelerator.stream([IMAGES[:2], IMAGES[:2]])
    setup.device.board.faults.lost_accesses = accesses
    with pytest.raises(DeviceError, match="does not answer any more"):
        next(stream)
    assert setup.driver.identity is None
    setup.device.board.faults.lost_accesses = 0
    np.testing.assert_array_equal(setup.accelerator.predict(IMAGES[:2]), EXPECTED[:2])


def failing(run: PreparedRun, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """The run ends, but waiting for it raises."""
    finish = run.exchange.finish

    def ends() -> int:
        finish()
        raise error

    patch.setattr(run.exchange, "finish", ends)


def test_the_failure_of_a_run_is_not_that_of_the_next(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = setup.driver
    first = driver.begin(IMAGES[:2])
    assert first.run is not None
    failing(first.run, DeviceError("no answer"), monkeypatch)
    second = driver.begin(IMAGES[2:4])  # meets the failure of the first, and starts
    np.testing.assert_array_equal(driver.result(second), EXPECTED[2:4])
    with pytest.raises(DeviceError, match="no answer"):
        driver.result(first)


def test_an_interrupt_while_a_run_is_waited_for_goes_on_at_once(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = setup.driver
    first = driver.begin(IMAGES[:2])
    assert first.run is not None
    failing(first.run, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        driver.begin(IMAGES[2:4])
    monkeypatch.undo()
    np.testing.assert_array_equal(driver.predict(IMAGES[:2]), EXPECTED[:2])


def test_cycles_are_those_of_all_batches_and_read_when_they_are_asked_for(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The register holds the cycles of the last command only."""
    driver, registers = setup.driver, itertools.count(100, 100)
    assert driver.identity is not None
    driver.identity = dataclasses.replace(driver.identity, kind=Kind.RTL)
    reads: list[int] = []
    monkeypatch.setattr(driver.transport, "read", lambda offset: (reads.append(offset), next(registers))[1])
    for call in range(2):  # the second one takes the short way
        driver.predict(IMAGES[:2])
        assert (driver.batches, len(reads)) == (1, call)
        assert driver.cycles == 100 * (call + 1)
        assert driver.cycles == 100 * (call + 1)  # without another access
    driver.frames_per_batch = 2
    np.testing.assert_array_equal(driver.predict(IMAGES[:3]), EXPECTED[:3])
    assert driver.batches == 2
    assert driver.cycles == 300 + 400
    assert reads == [REGISTERS["CYCLES"].offset] * 4
