"""Files, options, processes and callbacks that no friend would hand over: one clear line, or the right value."""

from __future__ import annotations

import base64
import gc
import json
import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.contract import ZCU104
from dsodenet.errors import DeviceError, DsodenetError, InputError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.artefacts import write_manifest
from dsodenet.runtime.backends import BACKENDS, backend_options
from dsodenet.runtime.checks import throughput_test, validate
from dsodenet.runtime.driver import KernelDriver
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pynq = pytest.importorskip("pynq")

from dsodenet.contract import design  # noqa: E402
from dsodenet.contract.registers import Command, Kind  # noqa: E402
from dsodenet.runtime.simulated import hwh  # noqa: E402
from dsodenet.runtime.simulated.device import SimulatedZcu104  # noqa: E402
from dsodenet.runtime.simulated.kernels import ReferenceKernel, Words, get  # noqa: E402

PARAMS = MODELS["plain"]
IMAGES = random_images(PARAMS.spec, 3, 8)
EXPECTED = Reference(PARAMS).predict(IMAGES)
NUMBER = "9" * 5000  # more digits than int() takes
WAIT_S = 20.0


def simulated(**options: Any) -> Accelerator:
    return Accelerator(PARAMS, "zcu104-sim", device=SimulatedZcu104(ReferenceKernel(PARAMS)), **options)


# the files of an overlay


@pytest.fixture
def bitfile(tmp_path: Path) -> Path:
    bit = hwh.write_overlay(design.block_design("tiny", Kind.HLS, 150), "kernel_0", tmp_path)
    write_manifest(PARAMS, "hls", bit, {})
    return bit


def open_overlay(bitfile: Path) -> np.ndarray:
    with Accelerator(bitfile, "zcu104-sim", simulate_with="reference") as accelerator:
        return accelerator.predict(IMAGES)


def without(tag: str) -> Callable[[str], str]:
    """The first element of this name goes, with all in it."""
    return lambda text: re.sub(rf"<{tag}\b[^>]*?(/>|>.*?</{tag}>)", "", text, count=1, flags=re.S)


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


WIDTH = 'NAME="c_sg_length_width" VALUE="{}"'
DAMAGED_HWH: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "no XML": lambda text: "\0\1\2",
    "another document": lambda text: "<html/>",
    "no modules": without("MODULES"),
    "no parameters": without("PARAMETERS"),
    "wrong tag": replaced("SYSTEMINFO", "SYSTEMINF"),
    "an instance that is not there": replaced('INSTANCE="kernel_0"', 'INSTANCE="kernel_1"'),
    "no divisor of a clock": replaced("PL0_REF_CTRL__DIVISOR1", "PL0_REF_CTRL__DIVISOR7"),
    "no source of a clock": replaced("PL3_REF_CTRL__SRCSEL", "PL3_REF_CTRL__SRC"),
    "a width that is no number": replaced(WIDTH.format(26), WIDTH.format("0xZZ")),
    "a width of 10**11 bits": replaced(WIDTH.format(26), WIDTH.format(10**11)),
    "a width of no bits": replaced(WIDTH.format(26), WIDTH.format(0)),
    "an address of 5000 digits": lambda text: re.sub(r'BASEVALUE="[^"]*"', f'BASEVALUE="{NUMBER}"', text),
    "deep": lambda text: "<a>" * 20_000 + "</a>" * 20_000,
    "an entity in itself": lambda text: '<!DOCTYPE a [<!ENTITY b "&b;">]><EDKSYSTEM>&b;</EDKSYSTEM>',
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED_HWH)
def test_a_damaged_hwh_is_one_line_that_names_it(bitfile: Path, damage: str) -> None:
    file = bitfile.with_suffix(".hwh")
    before = file.read_text()
    file.write_text(DAMAGED_HWH[damage](before))
    assert file.read_text() != before
    # pynq keeps what it parsed under the .bit's hash
    bitfile.write_bytes(hwh.bit_bytes("tiny", ZCU104.part, damage.encode()))
    write_manifest(PARAMS, "hls", bitfile, {})
    with pytest.raises(DsodenetError, match=r"^[^\n]*tiny\.(bit|hwh)[^\n]*$|^[^\n]* bytes [^\n]*$"):
        open_overlay(bitfile)


DAMAGED_BIT = {
    "empty": b"",
    "cut": hwh.bit_bytes("tiny", ZCU104.part, b"x")[:20],
    "no header": bytes(range(256)),
    "a length of -1": b"\xff\xff" + bytes(100),
    "a part that is no text": hwh.bit_bytes("tiny", ZCU104.part, b"x").replace(b"xczu7ev", b"\xff" * 7),
}


@pytest.mark.parametrize("damage", DAMAGED_BIT)
def test_a_damaged_bit_is_one_line_that_names_it(bitfile: Path, damage: str) -> None:
    bitfile.write_bytes(DAMAGED_BIT[damage])
    write_manifest(PARAMS, "hls", bitfile, {})
    with pytest.raises(DeviceError, match=r"^[^\n]*tiny\.bit: (not|cannot be read as) a \.bit file \([^\n]*\)$"):
        open_overlay(bitfile)


def edited(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda data: json.dumps(data | changes)


DAMAGED_JSON: dict[str, Callable[[dict[str, Any]], str]] = {
    "empty": lambda data: "",
    "a list": lambda data: "[]",
    "a number": lambda data: "7",
    "of 5000 digits": lambda data: json.dumps(data).replace('"format": 1', f'"format": {NUMBER}'),
    "deep": lambda data: "[" * 100_000,
    "another format": edited(format="\x1b[31m"),
    "no model": edited(model=None),
    "a model that is a list": edited(model=[1]),
    "hashes that are a list": edited(sha256=[]),
    "base64 that is no ASCII": edited(arrays_npz_base64="\u00e4\u00f6"),
    "base64 that is a number": edited(arrays_npz_base64=5),
    "base64 of no archive": edited(arrays_npz_base64=base64.b64encode(b"PK\3\4").decode()),
}


@pytest.mark.parametrize("damage", DAMAGED_JSON)
def test_a_damaged_json_is_one_line_that_names_it(bitfile: Path, damage: str) -> None:
    file = bitfile.with_suffix(".json")
    file.write_text(DAMAGED_JSON[damage](json.loads(file.read_text())), encoding="utf-8")
    with pytest.raises(DsodenetError, match=r"^[^\n\x1b]*tiny\.json: [^\n\x1b]*$"):
        open_overlay(bitfile)


def test_an_undamaged_overlay_opens(bitfile: Path) -> None:
    file = bitfile.with_suffix(".json")
    file.write_text(file.read_text(), encoding="utf-8-sig")  # as some editors save it
    np.testing.assert_array_equal(open_overlay(bitfile), EXPECTED)


# options


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("csim", {"library": 5}, "library is 5, but it must be a path"),
        ("rtl", {"library": b"x"}, "library is b'x'"),
        ("zcu104-sim", {"library": ["x"], "simulate_with": "csim"}, r"library is \['x'\]"),
        ("zcu104-sim", {"bitfile": 5, "simulate_with": "reference"}, "bitfile is 5, but it must be a path"),
        ("zcu104-sim", {"simulate_with": ["rtl"]}, r"simulate_with is \['rtl'\], but it must be one of csim"),
        ("zcu104-sim", {"simulate_with": "\x1b[2J"}, r"simulate_with is '\\x1b\[2J'"),
        ("cpu", {"threads": True}, "threads is True, but it must be a whole number"),
        ("cpu", {"threads": 1.5}, "threads is 1.5, but it must be a whole number from 1 to 1024"),
        ("csim", {"max_batch_bytes": 1e6}, "max_batch_bytes is 1000000.0, but it must be a whole number"),
        ("zcu104-sim", {"timeout_s": "1"}, "timeout_s is '1', but it must be a number"),
        ("zcu104-sim", {"timeout_s": 10**400}, "timeout_s is a number of 1329 bits"),
        ("torch", {"threads": 2}, "backend torch has no option threads; it takes none"),
        (["cpu"], {}, r"backend is \['cpu'\], but it must be one of torch"),
        (5, {}, "backend is 5, but"),
    ],
)  # fmt: skip
def test_an_option_of_the_wrong_kind_is_refused_in_words(backend: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}[^\n\x1b]*$"):
        Accelerator(PARAMS, backend, **options)


@pytest.mark.parametrize("run", [5, None, b"run", ["run"]])
def test_a_run_of_the_wrong_kind_is_refused_in_words(run: Any) -> None:
    with pytest.raises(InputError, match=r"^run is .*, but it must be a run folder, zoo:NAME, a \.bit file or Params$"):
        Accelerator(run)


def test_numbers_of_numpy_are_numbers() -> None:
    with Accelerator(PARAMS, "cpu", threads=np.int64(2)) as accelerator:  # type: ignore[arg-type]
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)
    with simulated(timeout_s=np.float32(2)) as accelerator:
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)


@pytest.mark.parametrize("depth", [1.5, None, "2", 0, -1, True, [1]])
def test_a_depth_that_is_no_number_is_refused_before_the_first_batch(depth: Any) -> None:
    with Accelerator(PARAMS) as accelerator, pytest.raises(InputError, match=r"^depth is .*, but it must be a whole"):
        accelerator.stream([], depth)  # not consumed: the call itself refuses


@pytest.mark.parametrize(
    ("work", "options", "message"),
    [
        (validate, {"count": 1.5}, "count is 1.5, but it must be a whole number from 1 to 1048576"),
        (validate, {"batch": None}, "batch is None"),
        (throughput_test, {"batch": "3"}, "batch is '3'"),
        (throughput_test, {"calls": True}, "calls is True"),
        (throughput_test, {"max_s": float("nan")}, "max_s is nan, but it must be a number from 0.001 to 86400"),
    ],
)
def test_counts_of_the_wrong_kind_are_refused_in_words(
    work: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with Accelerator(PARAMS) as accelerator, pytest.raises(InputError, match=f"^{message}"):
        work(accelerator, **options)


def test_every_option_of_a_backend_is_a_keyword_of_accelerator() -> None:
    keywords = Accelerator.__init__.__kwdefaults__
    assert keywords is not None
    assert {option for name in BACKENDS for option in backend_options(name)} == set(keywords)
    assert Accelerator.__init__.__doc__ is not None
    assert all(f"        {name}: " in Accelerator.__init__.__doc__ for name in keywords)


# after a fork


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns or raises in a forked child; the test fails when the child does not answer in time."""
    receiving, sending = multiprocessing.Pipe(duplex=False)

    def main(pipe: Connection) -> None:
        try:
            pipe.send(work())
        except Exception as error:
            pipe.send((type(error).__name__, str(error)))

    child = multiprocessing.get_context("fork").Process(target=main, args=(sending,))
    child.start()
    try:
        assert receiving.poll(WAIT_S), "the child hangs"
        return receiving.recv()
    finally:
        child.kill()
        child.join()


@pytest.fixture
def held() -> Iterator[Accelerator]:
    """An Accelerator on the cpu whose lock another thread holds, and whose worker has begun."""
    with Accelerator(PARAMS, "cpu", threads=1) as accelerator:
        accelerator.predict_async(IMAGES).result(WAIT_S)
        free, taken = threading.Event(), threading.Event()

        def hold() -> None:
            with accelerator._lock:
                taken.set()
                free.wait(WAIT_S)

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait(WAIT_S)
        yield accelerator
        free.set()
        thread.join(WAIT_S)


USES: dict[str, Callable[[Accelerator], Any]] = {
    "predict": lambda accelerator: accelerator.predict(IMAGES),
    "predict_async": lambda accelerator: accelerator.predict_async(IMAGES).result(WAIT_S),
    "stream": lambda accelerator: np.concatenate(list(accelerator.stream([IMAGES[:2], IMAGES[2:]]))),
}


@pytest.mark.parametrize("use", USES)
def test_the_child_of_a_fork_goes_on_with_the_cpu(held: Accelerator, use: str) -> None:
    np.testing.assert_array_equal(in_child(lambda: USES[use](held)), EXPECTED)
    assert in_child(held.close) is None


@pytest.mark.parametrize("use", USES)
def test_the_child_of_a_fork_is_refused_a_device(use: str) -> None:
    with simulated() as accelerator:
        accelerator.predict_async(IMAGES).result(WAIT_S)
        name, text = in_child(lambda: USES[use](accelerator))
        assert name == "DeviceError"
        assert text.startswith(f"this Accelerator belongs to process {os.getpid()}, which opened it before the fork")
        accesses: list[Any] = []

        def close() -> int:
            device = accelerator._backend.transport._overlay.device  # type: ignore[attr-defined]
            device.board.accesses = accesses
            accelerator.close()
            return len(accesses)

        assert in_child(close) == 0, "the child touched the parent's device"
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)


# what is given back


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
@pytest.mark.parametrize("fails", [False, True])
def test_many_opens_keep_no_memory(fails: bool) -> None:
    """Without the garbage collector's help: a closed board holds none of its memory any more."""

    def use() -> None:
        device = SimulatedZcu104(ReferenceKernel(PARAMS))
        if fails:
            device.board.faults.results["IDENTITY"] = 1
            with pytest.raises(DeviceError, match="answers identity"):
                Accelerator(PARAMS, "zcu104-sim", device=device)
        else:
            with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
                accelerator.predict(np.repeat(IMAGES, 1000, axis=0))
        assert not device.board.ddr.live

    use()
    gc.collect()
    gc.disable()
    try:
        before = resident_bytes()
        for _ in range(10):
            use()
        assert resident_bytes() - before < 64 << 20, "ten opens hold as much as one board has"
    finally:
        gc.enable()


def test_buffers_are_freed_when_the_board_is_gone() -> None:
    device = SimulatedZcu104(ReferenceKernel(PARAMS))
    accelerator = Accelerator(PARAMS, "zcu104-sim", device=device)
    accelerator.predict(IMAGES)
    assert device.board.ddr.live
    device.board.faults.lost_accesses = 1000
    accelerator.close()
    assert not device.board.ddr.live


def test_a_driver_that_fails_leaves_the_transport_to_its_owner() -> None:
    """The self-test opens drivers of its own on the transport of an Accelerator."""
    device = SimulatedZcu104(ReferenceKernel(PARAMS))
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        accelerator.predict(IMAGES)
        kept = set(device.board.ddr.live)
        with accelerator.driver() as driver:
            device.board.faults.results["STATUS"] = 5
            with pytest.raises(DeviceError, match="refused IDENTIFY with status 5"):
                KernelDriver(driver.transport, PARAMS)
            device.board.faults.results.clear()
        assert kept == set(device.board.ddr.live) != set()
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)


def test_close_in_a_callback_closes() -> None:
    closed: list[int] = []

    begun, may_end = threading.Event(), threading.Event()

    class Waiting(ReferenceKernel):
        def command(self, words: Words, data: bytes, room: int = 0) -> bytes:
            if get(words, "COMMAND") == Command.RUN:
                begun.set()
                assert may_end.wait(WAIT_S)
            return super().command(words, data, room)

        def close(self) -> None:
            closed.append(threading.get_ident())

    device = SimulatedZcu104(Waiting(PARAMS))
    accelerator = Accelerator(PARAMS, "zcu104-sim", device=device)
    problems: list[BaseException] = []
    done = threading.Event()

    def callback(future: Future[np.ndarray]) -> None:
        try:
            accelerator.close()
        except BaseException as error:
            problems.append(error)
        done.set()

    first = accelerator.predict_async(IMAGES)
    assert begun.wait(WAIT_S)
    second = accelerator.predict_async(IMAGES)  # returns while the first is under way
    first.add_done_callback(callback)  # the call has not ended, so it runs in the worker
    may_end.set()
    assert done.wait(WAIT_S)
    assert not problems
    np.testing.assert_array_equal(first.result(), EXPECTED)
    assert second.cancelled()
    assert closed == [closed[0]] != [threading.get_ident()]
    assert not device.board.ddr.live
    deadline = time.monotonic() + WAIT_S
    while any(thread.name.startswith("dsodenet") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the worker does not end"
        time.sleep(0.01)
    accelerator.close()
    assert len(closed) == 1
