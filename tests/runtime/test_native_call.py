"""Calls in native code: the same memory, doorbells, logits and errors as in Python."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dsodenet.contract import AP_DONE, AP_START, REGISTERS, image_bytes, logits_bytes, pack_logits
from dsodenet.errors import DeviceError, InputError, ToolError
from dsodenet.runtime import exchange, native_call
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.spec.synthetic import random_images, random_params
from tests.models import MODELS, model
from tests.runtime import kernel_process

pytest.importorskip("pynq")

from dsodenet.bench.host_share import CTRL_WORD, RECEIVED_LENGTH_WORD, MappedZcu104

PARAMS = {
    "one channel": MODELS["time_bias"],
    "colour": random_params(model("colour", "euler", 2, in_channels=3).spec, 5),
}
STATUS_WORD = REGISTERS["STATUS"].offset // 4


@pytest.fixture(scope="module")
def run() -> native_call.Run:
    return native_call.load(exchange.DMASR_IDLE)


class Opened:
    """A model on the board whose registers are memory, with what stands there for its output."""

    def __init__(self, name: str, count: int, native: bool) -> None:
        self.params, self.count = PARAMS[name], count
        self.device = MappedZcu104(self.params)
        self.network = self.params.spec.network
        self.device.expect(count * logits_bytes(self.network))
        self.accelerator = Accelerator(self.params, "zcu104-sim", device=self.device, native=native, timeout_s=0.05)
        self.images = random_images(self.params.spec, count, 7)
        self.accelerator.predict(self.images)  # from the next call on nothing is new
        self.bus = self.accelerator._backend.transport._bus
        (self.run,) = self.accelerator._backend._steady.values()
        self.logits = np.random.default_rng(1).integers(
            -(1 << 31), 1 << 31, (count, self.network.num_classes), np.int32
        )
        self.run.exchange.output[:] = np.frombuffer(pack_logits(self.logits), np.uint8)


@pytest.fixture(params=[True, False])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    made = Opened("one channel", 2, request.param)
    with made.accelerator:
        yield made


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", PARAMS)
def test_the_same_bytes_and_doorbells_as_in_python(name: str, count: int, layout: str) -> None:
    seen = {}
    for native in (True, False):
        made = Opened(name, count, native)
        with made.accelerator:
            given = made.images if layout == "nchw" else np.ascontiguousarray(made.images.transpose(0, 2, 3, 1))
            made.accelerator.predict(given, layout)
            run = made.accelerator._backend._steady[count, layout]
            assert (run.native is not None) == native
            run.exchange.input[:] = 0xA5  # what another run left
            made.bus.kernel[:], made.bus.dma[:] = 0, 0
            np.testing.assert_array_equal(made.accelerator.predict(given, layout), made.logits)
            seen[native] = [run.exchange.input.copy(), np.array(made.bus.kernel), np.array(made.bus.dma)]
    for here, there in zip(seen[True], seen[False]):
        np.testing.assert_array_equal(here, there)
    assert seen[True][0].size == count * image_bytes(PARAMS[name].spec.network)
    assert seen[True][1].sum() == AP_START
    assert set(seen[True][2]) == {0, seen[True][0].size, count * logits_bytes(PARAMS[name].spec.network)}


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (CTRL_WORD, 0, r"no answer in 0\.05 s"),
        (CTRL_WORD, AP_DONE | AP_START, "is done and has started again unasked"),
        (STATUS_WORD, 7, "refused RUN with status 7: no program was loaded"),
    ],
)
def test_what_is_not_right_is_named_as_in_python(opened: Opened, word: int, value: int, message: str) -> None:
    answers = opened.bus.kernel.answers
    before = int(answers[word])
    answers[word] = value
    with pytest.raises(DeviceError, match=message):
        opened.accelerator.predict(opened.images)
    assert (opened.run.native is None) == (opened.bus.run is None)
    answers[word] = before
    opened.bus.broken = False  # this board cannot be reset
    opened.accelerator.predict(opened.images)


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (exchange.RECEIVED_STATUS, 0, "the kernel is done, but the DMA is not"),
        (RECEIVED_LENGTH_WORD, 16, "the kernel sent 16 bytes, but 96 were expected"),
    ],
)
def test_what_the_dma_says_is_named_as_in_python(opened: Opened, word: int, value: int, message: str) -> None:
    opened.bus.dma.answers[word] = value
    with pytest.raises(DeviceError, match=message):
        opened.accelerator.predict(opened.images)


def test_images_that_do_not_lie_together_go_through_python() -> None:
    made = Opened("colour", 2, True)
    with made.accelerator:
        expected = made.run.exchange.input.copy()
        made.run.exchange.input[:] = 0
        turned = np.ascontiguousarray(made.images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        assert not turned.flags.c_contiguous
        assert made.run.native(turned, np.empty((2, made.network.num_classes), np.int32)) == native_call.NOT_TAKEN
        np.testing.assert_array_equal(made.accelerator.predict(turned), made.logits)
        np.testing.assert_array_equal(made.run.exchange.input, expected)


def test_a_slow_kernel_is_not_spun_for_twice() -> None:
    """The first slow command is spun for and then slept for; then its time is known, and native code only starts it."""
    device = MappedZcu104(PARAMS["one channel"], kernel_s=2e-3)
    device.expect(logits_bytes(PARAMS["one channel"].spec.network))
    with Accelerator(PARAMS["one channel"], "zcu104-sim", device=device, native=True) as accelerator:
        images = random_images(PARAMS["one channel"].spec, 1, 0)
        for _ in range(3):
            accelerator.predict(images)
        (run,) = accelerator._backend._steady.values()
        assert run.exchange._pace.sleep_s > 0
        logits = np.empty((1, PARAMS["one channel"].spec.network.num_classes), np.int32)
        assert run.native(images, logits) == native_call.NOT_DONE
        assert run.exchange.finish() == 0


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("network", [*kernel_process.networks()], ids=str)
def test_a_kernel_that_computes_at_the_same_time(
    run: native_call.Run, network: kernel_process.Network, count: int, planar: bool
) -> None:
    assert kernel_process.wrong_logits(run, network, count, planar, 20) == 0
    assert kernel_process.wrong_logits(None, network, count, planar, 2) == 0


def test_only_native_code_of_this_account_is_loaded(
    run: native_call.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native_call.load(exchange.DMASR_IDLE)
    (library,) = tmp_path.rglob("*.so")
    code = library.read_bytes()
    library.unlink()  # it is in use
    library.write_bytes(b"of a stranger")
    native_call.load(exchange.DMASR_IDLE)
    assert library.read_bytes() == code, "compiled again"


def test_without_a_compiler_calls_go_through_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    params = PARAMS["one channel"]
    with pytest.raises(ToolError, match=r"no C compiler is installed, so calls go through Python; .*install gcc"):
        Accelerator(params, "zcu104-sim", device=MappedZcu104(params), native=True)
    with Accelerator(params, "zcu104-sim", device=MappedZcu104(params)) as accelerator:
        assert accelerator._backend.transport._bus.run is None
    broken = tmp_path / "broken.c"
    broken.write_text("int missing")
    monkeypatch.setattr(native_call, "SOURCE", broken)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native_call, "SOURCE", broken)
    with pytest.raises(ToolError, match=r"broken\.c cannot be compiled, so calls go through Python: .*error:"):
        native_call.load(exchange.DMASR_IDLE)


def test_what_native_calls_exclude() -> None:
    params = PARAMS["one channel"]
    with pytest.raises(InputError, match="native=True and wait='interrupt' exclude each other"):
        Accelerator(params, "zcu104-sim", device=MappedZcu104(params), native=True, wait="interrupt")
    with pytest.raises(ToolError, match="are not mapped into this process, as native calls need"):
        Accelerator(params, "zcu104-sim", simulate_with="reference", native=True)
    with pytest.raises(InputError, match="native is 'yes', but it must be one of True, False"):
        Accelerator(params, "zcu104-sim", native="yes")


AARCH64 = Path(__file__).parents[2] / "build" / "aarch64"


def test_the_same_on_aarch64(tmp_path: Path) -> None:
    """Cache, barriers and interleaved stores of the board's processor, emulated: function only."""
    from tools import pythons

    gcc = shutil.which("aarch64-linux-gnu-gcc")
    if not AARCH64.is_dir() or gcc is None:
        pytest.skip("no aarch64 Python (`make aarch64` fetches one) or no aarch64-linux-gnu-gcc here")
    options = [*native_call.FLAGS, *native_call.constants(exchange.DMASR_IDLE), "-I", sysconfig.get_path("include")]
    native_call.compile_to(tmp_path / "native_call.so", [gcc], options)
    start = "import runpy, sys; sys.path[:0] = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    start = start.replace("sys.argv[0]", repr(kernel_process.__file__))
    paths = [str(tmp_path / "native_call.so"), str(Path(__file__).parents[2] / "host"), str(AARCH64 / "site")]
    found = pythons.run([*pythons.aarch64_python(AARCH64), "-c", start, *paths])
    assert found.split() == ["16", "0"]
