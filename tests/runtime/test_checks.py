"""Background calls, streams, stage times, validation, throughput, self-test and power, on the simulated board."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dsodenet.contract.registers import Kind
from dsodenet.errors import DeviceError, InputError, RunError, ToolError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.artefacts import write_manifest
from dsodenet.runtime.checks import throughput_test, validate
from dsodenet.runtime.power import PowerMeter, board_rails
from dsodenet.runtime.self_test import Report, selftest
from dsodenet.runtime.simulated.kernels import LibraryKernel, ReferenceKernel
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pynq = pytest.importorskip("pynq")

from dsodenet.contract import design  # noqa: E402
from dsodenet.contract.streams import image_bytes  # noqa: E402
from dsodenet.runtime import self_test  # noqa: E402
from dsodenet.runtime.exchange import BoardExchange  # noqa: E402
from dsodenet.runtime.prepared import PreparedRun  # noqa: E402
from dsodenet.runtime.simulated import device as simdevice  # noqa: E402
from dsodenet.runtime.simulated import hwh  # noqa: E402
from dsodenet.runtime.simulated.device import SimulatedZcu104  # noqa: E402

PARAMS = MODELS["time_bias"]
IMAGES = random_images(PARAMS.spec, 5, 3)
EXPECTED = Reference(PARAMS).predict(IMAGES)


@pytest.fixture
def device() -> SimulatedZcu104:
    return SimulatedZcu104(ReferenceKernel(PARAMS))


@pytest.fixture
def accelerator(device: SimulatedZcu104) -> Iterator[Accelerator]:
    with Accelerator(PARAMS, "zcu104-sim", device=device, timeout_s=0.5) as opened:
        yield opened


# opened from the files of an overlay


@pytest.fixture
def bitfile(tmp_path: Path) -> Path:
    bit = hwh.write_overlay(design.block_design("built", Kind.HLS, 150), "kernel_0", tmp_path)
    write_manifest(PARAMS, "hls", bit, {})
    return bit


def test_the_files_of_an_overlay_are_enough(bitfile: Path) -> None:
    with Accelerator(bitfile, "zcu104-sim", simulate_with="reference") as opened:
        np.testing.assert_array_equal(opened.predict(IMAGES), EXPECTED)
        assert opened.clock_mhz == pytest.approx(150, rel=0.01), "of the file, not of the spec"
    with Accelerator(str(bitfile), "cpu") as opened:
        np.testing.assert_array_equal(opened.predict(IMAGES), EXPECTED)
        assert opened.clock_mhz is None
    assert selftest("sim", bitfile).ok
    if not pynq.Device.devices:
        with pytest.raises(DeviceError, match="pynq finds no board here"):  # zcu104 is the default of a .bit
            Accelerator(bitfile)
    bitfile.with_suffix(".hwh").write_text("other")
    with pytest.raises(RunError, match=r"built\.hwh is not the file that built\.json was written for"):
        Accelerator(bitfile, "zcu104-sim", simulate_with="reference")


# background calls and streams


def test_background_calls_keep_their_order_and_their_images(accelerator: Accelerator) -> None:
    images = IMAGES.copy()
    futures = [accelerator.predict_async(images[i : i + 1]) for i in range(5)]
    images[...] = 0  # the caller's memory is the caller's
    for i, future in enumerate(futures):
        np.testing.assert_array_equal(future.result(10), EXPECTED[i : i + 1])
    with pytest.raises(InputError, match="have shape"):
        accelerator.predict_async(images[:, :, 1:])


def test_an_error_of_a_background_call_is_in_its_future(accelerator: Accelerator, device: SimulatedZcu104) -> None:
    accelerator.predict(IMAGES)
    device.board.faults.mm2s_error = 0x40
    first, second = accelerator.predict_async(IMAGES), accelerator.predict_async(IMAGES)
    with pytest.raises(DeviceError, match="decode error"):
        first.result(10)
    np.testing.assert_array_equal(second.result(10), EXPECTED)


def test_close_ends_background_calls(device: SimulatedZcu104) -> None:
    accelerator = Accelerator(PARAMS, "zcu104-sim", device=device)
    device.board.faults.stall_s = 0.2
    futures = [accelerator.predict_async(IMAGES) for _ in range(4)]
    time.sleep(0.05)
    accelerator.close()
    assert all(future.done() for future in futures)
    assert not any(thread.name.startswith("dsodenet") for thread in threading.enumerate())
    with pytest.raises(DeviceError, match="closed"):
        accelerator.predict_async(IMAGES)
    assert not device.board.ddr.live


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_a_stream_is_in_order_and_fetches_no_further_than_its_depth(accelerator: Accelerator, depth: int) -> None:
    fetched = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal fetched
        for i in range(5):
            fetched += 1
            yield IMAGES[i : i + 1]

    for i, logits in enumerate(accelerator.stream(batches(), depth)):
        np.testing.assert_array_equal(logits, EXPECTED[i : i + 1])
        assert fetched <= i + depth
    assert fetched == 5


def test_a_stream_packs_while_the_kernel_works(accelerator: Accelerator, device: SimulatedZcu104) -> None:
    """Other calls, another solver and a batch of several commands may come between; each batch keeps its own logits."""
    order: list[str] = []
    pack, finish = PreparedRun.pack, BoardExchange.finish
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparedRun, "pack", lambda run, images: (order.append("pack"), pack(run, images))[1])
        patch.setattr(BoardExchange, "finish", lambda exchange: (order.append("finish"), finish(exchange))[1])
        stream = accelerator.stream([IMAGES[:1], IMAGES[1:3], IMAGES[3:]])
        np.testing.assert_array_equal(next(stream), EXPECTED[:1])
        order = order[order.index("pack") :]
        assert order == ["pack", "pack", "finish"]
        np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)
        np.testing.assert_array_equal(next(stream), EXPECTED[1:3])
        accelerator.set_solver(n_steps=1)
        other = Reference(accelerator.params).predict(IMAGES)
        np.testing.assert_array_equal(accelerator.predict(IMAGES), other)
        np.testing.assert_array_equal(next(stream), EXPECTED[3:], "it was under way before the solver changed")
    nhwc = np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))
    found = list(accelerator.stream([nhwc] * 3, layout="nhwc"))
    np.testing.assert_array_equal(np.concatenate(found), np.tile(other, (3, 1)))
    unfinished = accelerator.stream([IMAGES] * 3)
    next(unfinished)
    unfinished.close()
    assert not device.board.dma.armed


def test_a_stream_of_large_batches() -> None:
    limit = 2 * image_bytes(PARAMS.spec.network)
    with Accelerator(PARAMS, "zcu104-sim", simulate_with="reference", max_batch_bytes=limit) as opened:
        found = list(opened.stream([IMAGES[:2], IMAGES, IMAGES[:1]]))
        assert opened.last_call is not None
        assert opened.last_call.images == 1
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate([EXPECTED[:2], EXPECTED, EXPECTED[:1]]))


def test_a_stream_raises_in_turn_and_leaves_the_accelerator_usable(
    accelerator: Accelerator, device: SimulatedZcu104
) -> None:
    stream = accelerator.stream([IMAGES[:1], IMAGES[:1, :, 1:], IMAGES[:1]])
    with pytest.raises(InputError, match="have shape"):
        list(stream)
    stream = accelerator.stream(IMAGES[i : i + 1] for i in range(5))
    next(stream)
    device.board.faults.short_packets = 1
    with pytest.raises(DeviceError, match="the kernel sent 32 bytes, but 48 were expected"):
        list(stream)
    np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)
    with pytest.raises(InputError, match="depth is 0"):
        list(accelerator.stream([], 0))


# times


@pytest.mark.parametrize("backend", ["cpu", "zcu104-sim"])
def test_the_stages_of_a_call_add_up(backend: str) -> None:
    options = {} if backend == "cpu" else {"simulate_with": "reference"}
    with Accelerator(PARAMS, backend, **options) as opened:
        opened.predict(IMAGES)
        assert opened.last_call is not None
        assert opened.last_call.stages_us == {}, "not asked for"
        opened.timed = True
        opened.predict(IMAGES)
        call = opened.last_call
        assert call is not None
        assert sum(call.stages_us.values()) == pytest.approx(1e6 * call.seconds, rel=1e-3)
        names = {"convert", "compute", "other"}
        assert (
            set(call.stages_us) == names
            if backend == "cpu"
            else set(call.stages_us) >= names | {"pack", "flush", "unpack"}
        )
        assert call.stages_us["other"] < 0.5e6 * call.seconds


def test_a_slow_kernel_shows_in_its_stage(accelerator: Accelerator, device: SimulatedZcu104) -> None:
    accelerator.predict(IMAGES)
    accelerator.timed = True
    device.board.faults.stall_s = 0.15
    accelerator.predict(IMAGES)
    call = accelerator.last_call
    assert call is not None
    assert call.stages_us["compute"] > 140e3
    assert call.seconds < 0.5


def test_throughput_counts_and_adds_up(accelerator: Accelerator) -> None:
    seen: list[int] = []
    result = throughput_test(accelerator, batch=3, calls=7, progress=seen.append)
    assert (result.batch, result.calls, seen) == (3, 7, list(range(1, 8)))
    assert result.kind == "simulated"
    latency = result.latency_us
    assert latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert result.images_per_s == pytest.approx(3e6 / latency["mean"])
    assert result.input_mb_per_s == pytest.approx(1e-6 * result.images_per_s * 256)
    assert result.output_mb_per_s == pytest.approx(1e-6 * result.images_per_s * 48)
    assert result.clock_mhz == pytest.approx(187.5, rel=1e-3)
    assert result.power_note == "not asked for"
    assert throughput_test(accelerator, IMAGES, calls=1000, max_s=0.05).calls < 1000
    with pytest.raises(InputError, match="calls is 0, but it must be a whole number from 1 to 1048576"):
        throughput_test(accelerator, calls=0)


# right or wrong


def test_validate_finds_one_wrong_word(accelerator: Accelerator, device: SimulatedZcu104) -> None:
    good = validate(accelerator, count=9, batch=4)
    assert (good.ok, good.images, str(good)) == (
        True,
        9,
        "zcu104-sim (simulated): 9 images, bit for bit as the reference",
    )
    device.board.faults.corrupt_words = 1
    bad = validate(accelerator, IMAGES, batch=2)
    assert (bad.ok, bad.images, bad.wrong_images, bad.first_wrong) == (False, 5, 1, 0)
    assert bad.expected == EXPECTED[0].tolist()
    assert bad.received == [EXPECTED[0][0] ^ 0x10, *EXPECTED[0][1:]]
    assert "1 of 5 images differ from the reference; image 0 gives" in str(bad)
    with pytest.raises(InputError, match="count is 0"):
        validate(accelerator, count=0)


def failures(report: Report) -> dict[str, str]:
    assert report.kind == "simulated"
    return {item.name: item.detail for item in report.items if not item.ok}


@pytest.mark.parametrize("name", MODELS)
def test_the_selftest_passes_for_every_model(name: str) -> None:
    with Accelerator(MODELS[name], "zcu104-sim", simulate_with="reference") as opened:
        before = opened.params
        assert failures(self_test.check(opened)) == {}
        assert opened.params.fingerprint == before.fingerprint


def test_the_selftest_on_the_rtl_engine() -> None:
    """Its own errors, registers and counters, not those of a stand-in."""
    from dsodenet.rtl import build as rtl
    from tests.models import kernel

    try:
        library = rtl.engine_library(kernel("1x4x8"))
    except ToolError as error:
        pytest.skip(str(error))
    small = MODELS["one_block"]
    params = dataclasses.replace(small, spec=dataclasses.replace(small.spec, kernel=kernel("1x4x8")))
    device = SimulatedZcu104(LibraryKernel(library, params, Kind.RTL))
    with Accelerator(params, "zcu104-sim", device=device, timeout_s=60) as opened:
        report = self_test.check(opened)
        assert failures(report) == {}
        assert [item.name for item in report.items if item.left_out] == ["interrupt"]
        for check, message in (
            ("loop", "a loop of 448 images: logit 0 of image 0 is 80"),
            ("layers", "stem 3x3: logit 0 of image 0"),
        ):
            device.board.faults.corrupt_words = 1
            with pytest.raises(DeviceError, match=message):
                self_test.CHECKS[check](opened)
        result = throughput_test(opened, batch=2, calls=2)
        call = opened.last_call
    assert call is not None
    assert call.cycles
    assert result.cycles_per_image == pytest.approx(call.cycles / 2, rel=0.01)


def test_the_selftest_of_no_run() -> None:
    names: list[str] = []
    report = selftest(progress=names.append)
    assert report.ok
    assert names == list(self_test.CHECKS)
    assert [item.name for item in report.items if item.left_out] == ["interrupt", "loop"], "the hls kernel cannot loop"
    assert "\n-    loop: the hls kernel has its weights in the bitstream" in str(report)
    assert str(report).startswith("self-test of zcu104-sim (simulated)\nok   identity: hls kernel")
    with pytest.raises(InputError, match="board is 'kria', but it must be one of sim, zcu104"):
        selftest("kria")
    with pytest.raises(InputError, match=r"board zcu104 needs the \.bit of an overlay"):
        selftest("zcu104")
    with Accelerator(PARAMS) as cpu, pytest.raises(InputError, match="a self-test needs zcu104-sim or zcu104"):
        self_test.check(cpu)


@pytest.mark.parametrize(
    ("check", "inject", "message"),
    [
        ("identity", lambda board: board.faults.results.update(IDENTITY=1), "answers identity 0x00000001"),
        (
            "registers",
            lambda board: board.faults.results.update(COMMAND=5),
            "COMMAND at 0x10 reads 0x5 after 0x1 was written",
        ),
        ("registers", lambda board: board.faults.results.update(COEFF=0), "COEFF at 0x100 reads 0x0 after"),
        ("layers", lambda board: setattr(board.faults, "corrupt_words", 1), "steps of length 0: logit 0"),
        ("transfers", lambda board: setattr(board.faults, "corrupt_words", 99), "a batch of 1: logit 0 of image 0 is"),
        (
            "errors",
            lambda board: board.faults.results.update(STATUS=0),
            "the kernel is done, but the DMA is not in 0.5 s",
        ),
        ("golden images", lambda board: setattr(board.faults, "corrupt_words", 1), "the black image: logit 0"),
        ("solvers", lambda board: setattr(board.faults, "corrupt_words", 1), "solver euler: logit 0"),
    ],
)
def test_each_check_can_fail(
    accelerator: Accelerator,
    device: SimulatedZcu104,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    inject: object,
    message: str,
) -> None:
    monkeypatch.setattr(self_test, "CHECKS", {check: self_test.CHECKS[check]})
    assert failures(self_test.check(accelerator)) == {}
    inject(device.board)  # type: ignore[operator]
    assert message in failures(self_test.check(accelerator))[check]
    device.board.faults.results.clear()
    device.board.faults.corrupt_words = 0
    assert failures(self_test.check(accelerator)) == {}


def test_the_memory_check_sees_a_flush_that_does_nothing(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimulatedZcu104, "flush", lambda *args: None)
    monkeypatch.setattr(self_test, "CHECKS", {"memory": self_test.CHECKS["memory"]})
    assert "bytes of memory came back wrong, the first at offset 0" in failures(self_test.check(accelerator))["memory"]


def test_a_stall_over_the_time_limit_raises_and_the_next_call_works(
    accelerator: Accelerator, device: SimulatedZcu104
) -> None:
    device.board.faults.stall_s = 5.0
    start = time.perf_counter()
    with pytest.raises(DeviceError, match=r"no answer in 0\.5 s: kernel CTRL 0x1 \(AP_START\)"):
        accelerator.predict(IMAGES)
    assert time.perf_counter() - start < 4.5  # the stall itself is longer
    np.testing.assert_array_equal(accelerator.predict(IMAGES), EXPECTED)


# power


def test_power_is_sampled_and_what_is_missing_is_said(
    accelerator: Accelerator, device: SimulatedZcu104, tmp_path: Path
) -> None:
    assert throughput_test(accelerator, IMAGES, calls=2).power_note == "not asked for"
    for name, watts in (("gone", 1.0), ("product", None), ("bare", None)):
        device.rails[name] = simdevice.rail(tmp_path, name, watts)
    (tmp_path / "gone").unlink()
    for name, unit, micro in (("voltage", "V", "12000000"), ("current", "A", "500000")):
        (tmp_path / name).write_text(micro)
        setattr(device.rails["product"], name, pynq.pmbus.SysFSSensor(str(tmp_path / name), unit, name, 1e-6))
    device.board.faults.stall_s = 0.2
    result = throughput_test(accelerator, IMAGES, calls=20, power=True)
    assert result.kind == "simulated"
    expected = {"12V (simulated)": 10.0, "INT (simulated)": 2.5, "product": 6.0}
    assert {name: figures["mean_w"] for name, figures in result.power_w.items()} == pytest.approx(expected)
    assert result.power_w["product"]["samples"] >= 1
    assert result.power_note.startswith("no power sensor on bare; gone could not be read")
    assert result.power_note.count("could not be read") == 1, "said once, and not read again"


def test_no_power_rails_is_a_note_and_no_error(accelerator: Accelerator, device: SimulatedZcu104) -> None:
    device.rails.clear()
    assert throughput_test(accelerator, IMAGES, calls=2, power=True).power_note == "no power rails found"
    with Accelerator(PARAMS) as cpu:
        result = throughput_test(cpu, IMAGES, calls=2, power=True)
    assert (result.power_w, result.power_note) == ({}, "no power rails found")
    with PowerMeter({}) as meter:
        pass
    assert (meter.watts(), meter.note) == ({}, "no power rails")
    assert board_rails() == {} or all(isinstance(item, pynq.pmbus.Rail) for item in board_rails().values())
