"""Accelerator, packing and the kernel library, on anything but the board."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dsodenet.contract.registers import BEAT_BYTES, cpp_header
from dsodenet.contract.streams import (
    bias_program,
    image_bytes,
    logits_bytes,
    pack_images,
    pack_logits,
    unpack_images,
    unpack_logits,
)
from dsodenet.errors import DeviceError, InputError, RunError, SpecError, ToolError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.backends import BACKENDS, SoftwareBackend, open_backend
from dsodenet.runtime.pixels import as_pixels
from dsodenet.spec.layers import sections
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

PLAIN = MODELS["plain"]
IMAGES = random_images(PLAIN.spec, 3, 5)


def test_import_needs_numpy_only() -> None:
    code = (
        "import sys, numpy as np, dsodenet, dsodenet.runtime; from dsodenet.runtime import Accelerator;"
        "from dsodenet.spec import Spec; from dsodenet.spec import random_params, random_images; s = Spec.named('xs');"
        "Accelerator(random_params(s, 1)).predict(random_images(s, 1, 1));"
        "print(*sorted({'torch', 'brevitas', 'hls4ml', 'qonnx', 'onnx', 'pynq'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# images


def test_floats_round_half_to_even_like_training() -> None:
    values = np.array([0.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.5, 1.0, 254.4 / 255, 254.6 / 255])
    network = PLAIN.spec.network
    images = np.resize(values, (1, *network.image_shape))
    expected = np.resize([0, 0, 2, 2, 128, 255, 254, 255], images.shape)
    for dtype in (np.float32, np.float64, ">f4"):
        np.testing.assert_array_equal(as_pixels(images.astype(dtype), network), expected)
    every = np.resize(np.arange(256) / 255, (1, *network.image_shape))
    halves = np.resize(np.arange(0x3C01, dtype=np.uint16).view(np.float16), (61, *network.image_shape))  # all of [0, 1]
    np.testing.assert_array_equal(as_pixels(halves, network), np.rint(halves.astype(np.float64) * 255))
    np.testing.assert_array_equal(as_pixels(every.tolist(), network).ravel()[:256], np.arange(256))


class NoArray:
    """What a tensor with a gradient does."""

    def __array__(self, *args: object, **options: object) -> np.ndarray:
        raise RuntimeError("detach it first")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((16, 16), np.uint8), r"shape \(16, 16\), but this model takes \(N, 1, 16, 16\)"),
        (np.zeros((2, 3, 16, 16), np.uint8), r"shape \(2, 3, 16, 16\), but this model takes \(N, 1, 16, 16\)$"),
        (np.zeros((2, 16, 16, 1), np.uint8), r"takes \(N, 1, 16, 16\); say layout='nhwc' for images in that order"),
        (np.zeros((2, 1, 16, 15), np.float32), r"shape \(2, 1, 16, 15\)"),
        (np.zeros((0, 1, 16, 16), np.uint8), "empty batch"),
        (np.zeros((1, 1, 16, 16), np.int32), "int32, but they must be uint8, or float"),
        (np.zeros((1, 1, 16, 16), bool), "bool, but"),
        (np.zeros((1, 1, 16, 16), complex), "complex128, but"),
        (np.full((1, 1, 16, 16), np.nan), "NaN or infinite"),
        (np.full((1, 1, 16, 16), np.inf, np.float32), "NaN or infinite"),
        (np.full((1, 1, 16, 16), 200.0), r"reach 200 to 200, .* divide pixels by 255"),
        (np.full((1, 1, 16, 16), -0.25), r"reach -0.25 to -0.25, but floats must be in \[0, 1\]$"),
        ([[1, 2], [3]], "no array"),
        (NoArray(), r"no array \(detach it first\)"),
        ("image.png", r"shape \(\)"),
    ],
)
def test_bad_images_are_refused_in_words(images: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Accelerator(PLAIN).predict(images)  # type: ignore[arg-type]


LAYOUTS = {
    "column-major": np.asfortranarray,
    "negative strides": lambda x: np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1],
    "every other": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "channels last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "unaligned": lambda x: np.frombuffer(b"?" + x.tobytes(), np.uint8, offset=1).reshape(x.shape),  # read-only too
    "subclass": lambda x: np.ma.array(x),
    "big-endian": lambda x: (x / 255).astype(">f4"),
    "strided floats": lambda x: np.repeat(x / 255, 2, axis=2)[:, :, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", ["cpu", "zcu104-sim"])
def test_any_layout_in_memory_gives_the_same_logits(layout: str, backend: str) -> None:
    params = MODELS["colour_not_square"]
    images = random_images(params.spec, 4, 6)
    expected = Reference(params).predict(images)
    if backend != "cpu":
        pytest.importorskip("pynq")
    with Accelerator(params, backend, **({} if backend == "cpu" else {"simulate_with": "reference"})) as accelerator:
        given = LAYOUTS[layout](images)
        np.testing.assert_array_equal(accelerator.predict(given), expected)
        np.testing.assert_array_equal(accelerator.predict_async(given).result(20), expected)
        one = np.broadcast_to(images[:1], (300, *images.shape[1:]))  # no memory behind its first axis
        np.testing.assert_array_equal(accelerator.predict(one), np.repeat(expected[:1], 300, axis=0))


# packing


@pytest.mark.parametrize("name", MODELS)
def test_images_and_logits_travel_in_padded_beats(name: str) -> None:
    network = MODELS[name].spec.network
    images = random_images(MODELS[name].spec, 3, 9)
    stride = image_bytes(network)
    assert stride % BEAT_BYTES == 0
    packed = np.full(3 * stride, 0xEE, np.uint8)
    pack_images(images, packed)
    for i, image in enumerate(images):  # the contract, said slowly: (height, width, channel) order, then zeros
        pixels = image.transpose(1, 2, 0).tobytes()
        assert packed[i * stride : (i + 1) * stride].tobytes() == pixels.ljust(stride, b"\0")
    np.testing.assert_array_equal(unpack_images(packed, network), images)

    logits = np.random.default_rng(3).integers(-(2**31), 2**31, (3, network.num_classes)).astype(np.int32)
    data = pack_logits(logits)
    assert len(data) == 3 * logits_bytes(network)
    assert data[: 4 * network.num_classes] == b"".join(int(v).to_bytes(4, "little", signed=True) for v in logits[0])
    assert not any(data[4 * network.num_classes : logits_bytes(network)])
    np.testing.assert_array_equal(unpack_logits(np.frombuffer(data, np.uint8), network), logits)


@pytest.mark.parametrize("name", MODELS)
def test_bias_program_is_every_table_in_order(name: str) -> None:
    params = MODELS[name]
    program = bias_program(params)
    if not params.spec.network.has_time_table:
        assert program == b""
        return
    expected = b"".join(
        int(bias).to_bytes(4, "little", signed=True)
        for section in sections(params.spec.network)
        if section.kind == "f"
        for row in params.bias_table(params.spec, section)
        for bias in row
    )
    assert program[: len(expected)] == expected
    assert len(program) % BEAT_BYTES == 0
    assert len(program) - len(expected) < BEAT_BYTES
    assert not any(program[len(expected) :])


# Accelerator


def test_predict_set_solver_close() -> None:
    params = MODELS["time_bias"]
    images = random_images(params.spec, 4, 2)
    with Accelerator(params) as accelerator:
        assert accelerator.last_call is None
        before = accelerator.predict(images)
        assert before.dtype == np.int32
        assert before.shape == (4, 10)
        np.testing.assert_array_equal(before, Reference(params).predict(images))
        np.testing.assert_array_equal(accelerator.predict(images / 255), before)
        call = accelerator.last_call
        assert call is not None
        assert (call.backend, call.kind, call.images, call.cycles) == ("cpu", "measured", 4, None)
        assert call.seconds > 0
        accelerator.set_solver("heun", 7)
        after = accelerator.predict(images)
        np.testing.assert_array_equal(after, Reference(params.with_solver("heun", 7)).predict(images))
        assert (before != after).any()
        with pytest.raises(SpecError, match="method is 'rk9'"):
            accelerator.set_solver("rk9")
        with pytest.raises(SpecError, match="n_steps is 0"):
            accelerator.set_solver(n_steps=0)
        np.testing.assert_array_equal(accelerator.predict(images), after)
        accelerator.close()
        accelerator.close()
        for use in (lambda: accelerator.predict(images), lambda: accelerator.set_solver("euler")):
            with pytest.raises(DeviceError, match="closed; open another"):
                use()


def test_a_run_folder_works_and_a_broken_one_says_so(tmp_path: Path) -> None:
    PLAIN.save(tmp_path)
    np.testing.assert_array_equal(Accelerator(str(tmp_path)).predict(IMAGES), Reference(PLAIN).predict(IMAGES))
    with pytest.raises(RunError, match="no such run folder"):
        Accelerator(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("backend", "options", "error", "message"),
    [
        (
            "gpu",
            {},
            InputError,
            "backend is 'gpu', but it must be one of torch, cpu, cpu-fast, csim, csim-concurrent, rtl, zcu104-sim,",
        ),
        ("cpu", {"bitfile": "x.bit"}, InputError, "backend cpu has no option bitfile; it takes threads"),
        ("csim", {}, InputError, "needs a run folder, or library="),
        ("zcu104", {}, InputError, "needs bitfile="),
        ("cpu", {"threads": 0}, InputError, "threads is 0, but it must be a whole number from 1 to 1024"),
        ("cpu", {"threads": "2"}, InputError, "threads is '2'"),
        (
            "zcu104-sim",
            {"timeout_s": math.nan},
            InputError,
            "timeout_s is nan, but it must be a number from 0.001 to 86400",
        ),
        ("zcu104-sim", {"timeout_s": math.inf}, InputError, "timeout_s is inf"),
        ("zcu104", {"timeout_s": -1}, InputError, "timeout_s is -1"),
        ("zcu104-sim", {"max_batch_bytes": "1"}, InputError, "max_batch_bytes is '1', but it must be a whole number"),
        ("zcu104-sim", {"device": 4}, InputError, "device is 4, but it must be a SimulatedZcu104"),
        (
            "zcu104-sim",
            {"simulate_with": "vhdl"},
            InputError,
            "simulate_with is 'vhdl', but it must be one of csim, csim-concurrent, rtl, reference",
        ),
    ],
)
def test_bad_backends_are_refused_in_words(backend: str, options: dict[str, object], error: type, message: str) -> None:
    if backend.startswith("zcu104"):
        pytest.importorskip("pynq")
    with pytest.raises(error, match=message):
        open_backend(backend, PLAIN, None, options)


def test_a_backend_is_an_entry_and_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    class Counting(SoftwareBackend):
        def close(self) -> None:
            closed.append(1)

    monkeypatch.setitem(
        BACKENDS,
        "counting",
        lambda params, run, *, threads=1: Counting(params, lambda params: Reference(params, threads).predict, True),
    )
    with Accelerator(PLAIN, "counting", threads=2) as accelerator:
        accelerator.close()
    accelerator.close()
    assert closed == [1]


@pytest.mark.parametrize(("backend", "options"), [("cpu", {}), ("zcu104-sim", {"simulate_with": "reference"})])
def test_threads_take_turns(backend: str, options: dict[str, str]) -> None:
    """Also those that set the solver in between: a call runs under one solver from start to end."""
    if backend != "cpu":
        pytest.importorskip("pynq")
    expected = {n_steps: Reference(PLAIN.with_solver(None, n_steps)).predict(IMAGES).tobytes() for n_steps in (1, 2, 3)}
    results: list[bool] = []
    with Accelerator(PLAIN, backend, **options) as accelerator:

        def work(n_steps: int) -> None:
            for _ in range(5):
                accelerator.set_solver(n_steps=n_steps)
                results.append(accelerator.predict(IMAGES).tobytes() in expected.values())

        threads = [threading.Thread(target=work, args=(1 + i % 3,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == [True] * 40


# a kernel in a shared library

LIBRARY_SOURCE = r"""
#include <cstdint>
#include <cstring>
#include "contract.h"
using namespace dsodenet;
static int live = 0;
static uint32_t first_steps = 0;  // as the C simulation keeps its bias tables
extern "C" {
void *dsodenet_open() { ++live; return new bool(false); }
void dsodenet_close(void *p) { --live; delete static_cast<bool *>(p); }
// Logits that tell the bytes of the image apart: class 0 is their sum, class 1 the number of steps of the first block.
int dsodenet_command(void *p, uint32_t *r, const uint8_t *in, uint64_t in_bytes, uint8_t *out, uint64_t out_bytes,
                     uint64_t *written, uint64_t max_cycles) {
    bool &hung = *static_cast<bool *>(p);
    if (hung) return 1;
    *written = 0;
    r[REG_STATUS / 4] = STATUS_OK;
    if (r[REG_COMMAND / 4] == COMMAND_IDENTIFY) {
        r[REG_IDENTITY / 4] = IDENTITY; r[REG_VERSION / 4] = KIND_HLS << 16 | CONTRACT_VERSION;
        r[REG_FINGERPRINT_LO / 4] = LOW; r[REG_FINGERPRINT_HI / 4] = HIGH;
        r[REG_CAP_CHANNELS / 4] = r[REG_CAP_PIXELS / 4] = 1024; r[REG_CAP_STEPS / 4] = 64;
        return 0;
    }
    uint32_t frames = r[REG_FRAMES / 4], steps = r[REG_N_STEPS_1 / 4];
    if (steps == 63) { hung = true; return 1; }
    if (steps == 62) { r[REG_STATUS / 4] = STATUS_BAD_STEPS; return 0; }
    if (steps == 61) { r[REG_STATUS / 4] = 77; return 0; }
    if (steps == 60) return 0;
    memset(out, 0, out_bytes);
    if (!first_steps) first_steps = steps;
    for (uint32_t f = 0; f < frames; ++f) {
        int32_t *logits = reinterpret_cast<int32_t *>(out + f * (out_bytes / frames));
        for (uint64_t i = 0; i < in_bytes / frames; ++i) logits[0] += in[f * (in_bytes / frames) + i];
        logits[1] = steps;
        logits[2] = first_steps;
        logits[3] = live;
    }
    *written = out_bytes;
    return 0;
}
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    folder = tmp_path_factory.mktemp("library")
    (folder / "contract.h").write_text(cpp_header())
    (folder / "kernel.cpp").write_text(LIBRARY_SOURCE)
    path = folder / "kernel.so"
    high, low = PLAIN.kernel_fingerprint[:8], PLAIN.kernel_fingerprint[8:16]
    command = [
        "g++",
        "-shared",
        "-fPIC",
        f"-DLOW=0x{low}u",
        f"-DHIGH=0x{high}u",
        "-o",
        str(path),
        str(folder / "kernel.cpp"),
    ]
    subprocess.run(command, check=True)
    return path


def test_a_library_gets_the_bytes_and_errors_come_back_in_words(library: Path) -> None:
    with Accelerator(PLAIN, "csim", library=library, max_batch_bytes=512) as accelerator:
        for _ in range(2):
            logits = accelerator.predict(IMAGES)
            np.testing.assert_array_equal(logits[:, 0], IMAGES.reshape(3, -1).sum(axis=1))
            assert (logits[:, 1] == 2).all()
        assert accelerator.last_call is not None
        assert (accelerator.last_call.kind, accelerator.last_call.batches) == ("simulated", 2)
        for steps, message in (
            (60, "sent 0 bytes, but 96 were expected"),
            (61, "status 77: this package does not know"),
            (62, "refused RUN with status 2: the number of solver steps"),
            (63, "did not end in [0-9]+ cycles"),
        ):
            accelerator.set_solver(n_steps=steps)
            with pytest.raises(DeviceError, match=message):
                accelerator.predict(IMAGES)
            accelerator.set_solver(n_steps=5)
            assert accelerator.predict(IMAGES)[0, 1] == 5


def test_two_users_of_a_library_do_not_share_its_static_memory(library: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(library, tmp_path))
    with Accelerator(PLAIN, "csim", library=own) as first, Accelerator(PLAIN, "csim", library=own) as second:
        second.set_solver(n_steps=5)
        assert first.predict(IMAGES)[0, 2] == 2
        assert second.predict(IMAGES)[0, 2] == 5
    with Accelerator(PLAIN, "csim", library=own) as third:  # a copy is used again: nothing grows
        third.set_solver(n_steps=7)
        logits = third.predict(IMAGES)
        assert logits[0, 2] in (2, 5)
        assert logits[0, 3] == 1, "kernels left open"


def test_a_library_of_another_model_or_none_is_refused(library: Path, tmp_path: Path) -> None:
    other = MODELS["time_bias"]
    with pytest.raises(
        DeviceError, match=r"built for model [0-9a-f]{16}, but the run holds model [0-9a-f]{16}"
    ) as error:
        Accelerator(other, "csim", library=library)
    assert PLAIN.kernel_fingerprint[:16] in str(error.value)
    assert other.kernel_fingerprint[:16] in str(error.value)
    with pytest.raises(InputError, match="one image takes 256 bytes, but max_batch_bytes is 255"):
        Accelerator(PLAIN, "csim", library=library, max_batch_bytes=255)
    (tmp_path / "bad.so").write_text("no library")
    with pytest.raises(ToolError, match=r"bad\.so: (not|cannot be read as) the library of a simulated dsODENet kernel"):
        Accelerator(PLAIN, "csim", library=tmp_path / "bad.so")
