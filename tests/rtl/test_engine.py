"""The rtl kernel against the integer reference, word for word, and its contract, on the Verilated engine.

The small engines compile in about ten seconds each and are cached under build/rtl.
"""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from dsodenet.contract.registers import (
    BEAT_BYTES,
    COEFF,
    COEFFS_PER_BLOCK,
    REGISTERS,
    Command,
    Status,
    coefficient_words,
)
from dsodenet.contract.streams import image_bytes, logits_bytes, pack_images, unpack_logits
from dsodenet.errors import SpecError, ToolError
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.builder import program
from dsodenet.rtl.cycles import DEVICE_MACS, estimate, of_spec
from dsodenet.rtl.engine import Engine
from dsodenet.rtl.passes import PASS_BYTES
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.cascade import confidence
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import REGISTER_WORDS, KernelLibrary, LibraryTransport
from dsodenet.spec.features import split_features, with_features
from dsodenet.spec.layers import all_layers
from dsodenet.spec.solvers import tableau
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images
from tests.command_line import call
from tests.models import MODELS, kernel, model, on, random_model, saturating
from tests.rtl.against_reference import check

pytestmark = pytest.mark.slow

LANES = ("1x4x8", "3x4x8")
SEED = 20260  # of the random specs
RANDOM_SPECS = 32  # on each engine
MAX_CYCLES = 20_000_000

try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("part", range(4))
def test_random_specs_equal_the_reference(lanes: str, part: int) -> None:
    for seed in range(SEED + part, SEED + RANDOM_SPECS, 4):
        check(random_model(seed, lanes), seed=seed)


@pytest.mark.parametrize("lanes", LANES)
def test_nothing_is_looked_at_before_it_is_there(lanes: str) -> None:
    """With GARBAGE a word that is written while it is read comes out wrong, and so does the first cycle of what the
    constraints for Vivado give two cycles."""
    for seed in range(SEED, SEED + 8):
        check(random_model(seed, lanes), seed=seed, GARBAGE=1)


@pytest.mark.parametrize("lanes", ["2x4x8@2", "2x16x16@2"])
def test_an_array_on_its_own_clock_gives_the_same_words_in_the_same_cycles(lanes: str) -> None:
    """Cascades of four places, and of eight that meet in a tree; test_board_engines.py has such a tree on one clock."""
    for seed in range(SEED, SEED + 8):
        check(random_model(seed, lanes), seed=seed, GARBAGE=1)


def test_random_specs_cover_the_space() -> None:
    specs = [random_model(seed, "1x4x8").spec for seed in range(SEED, SEED + RANDOM_SPECS)]
    for values, number in (
        ({s.network.stem for s in specs}, 3),
        ({s.solver.method for s in specs}, 6),
        ({item.layer for s in specs for item in s.network.low_rank}, 7),
        ({len(s.network.channels) for s in specs}, 3),
        ({s.quantisation.rounding for s in specs}, 2),
        ({s.quantisation.act_bit_width for s in specs}, 4),
        ({s.network.has_time_table for s in specs}, 2),
    ):
        assert len(values) == number


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", MODELS)
def test_runtime_models(name: str, lanes: str) -> None:
    check(on(MODELS[name], lanes), images=3)


@pytest.mark.parametrize(("method", "n_steps"), [("euler", 1), ("euler", 32), ("rk4", 32), ("rk3", (64, 1, 7))])
def test_numbers_of_steps(method: str, n_steps: int | tuple[int, ...]) -> None:
    check(on(model("steps", method, n_steps, time="bias", height=8, width=8, channels=(3, 4, 5)), "1x4x8"), images=1)


@pytest.mark.parametrize("lanes", LANES)
def test_saturation(lanes: str) -> None:
    params = on(saturating(model("saturation", "heun", 3, channels=(5, 9))), lanes)
    images = random_images(params.spec, 2, 1)
    for block in range(2):
        final, fmt = Reference(params).trajectory(images, block)[-1], params.formats[f"z{block + 1}"]
        assert ((final == fmt.min_int) | (final == fmt.max_int)).mean() > 0.05
    check(params)


def test_products_at_the_ends_of_a_cascade() -> None:
    """Eight products of -128 * -128, or of -128 * 127, are all that the low half of a packed sum can hold."""
    base = model("extreme", "euler", 1, channels=(8,), height=4, width=4)
    finer = {
        n: dataclasses.replace(base.formats[n], integer_bits=base.formats[n].integer_bits - 2)
        for n in ("f1.d1", "f1.d2")
    }
    base = dataclasses.replace(base, formats=base.formats | finer)
    arrays = {name: array.copy() for name, array in base.arrays.items()}
    for layer in all_layers(base.spec.network):
        if layer.name.startswith("f1.dw"):
            shift = base.accumulator_frac_bits(layer) - base.formats[layer.dest].frac_bits
            arrays[f"{layer.name}.weight"][:] = 0
            arrays[f"{layer.name}.bias"][:] = -130 << shift  # saturates at -128
        elif layer.name.startswith("f1.pw"):
            arrays[f"{layer.name}.weight"][0::4] = arrays[f"{layer.name}.weight"][1::4] = -128
            arrays[f"{layer.name}.weight"][2::4] = arrays[f"{layer.name}.weight"][3::4] = 127
            arrays[f"{layer.name}.weight"][3] = -128
    check(on(dataclasses.replace(base, arrays=arrays), "1x8x8"), images=1)


@pytest.mark.parametrize(
    "network",
    [
        {"in_channels": 64, "height": 5, "width": 6},
        {"in_channels": 17, "stem": "space_to_depth_2", "height": 12, "width": 20},
        {"channels": (1,), "height": 4, "width": 4, "in_channels": 1},
        {"channels": (70, 3, 40), "height": 8, "width": 9},
        {"channels": (2, 33), "height": 4, "width": 4},
        {"num_classes": 128, "height": 4, "width": 5, "channels": (3,)},
        {"height": 16, "width": 64, "channels": (4, 4), "stem": "space_to_depth_4"},
        {"height": 64, "width": 12, "channels": (4, 4)},
    ],
    ids=str,
)
@pytest.mark.parametrize("lanes", LANES)
def test_odd_shapes(network: dict[str, object], lanes: str) -> None:
    check(on(model("odd", "midpoint", 2, **network), lanes))


def test_solver_changes_without_a_new_engine() -> None:
    params = on(MODELS["plain"], "1x4x8")
    transport = LibraryTransport(rtl.engine_library(params.spec.kernel))
    images = random_images(params.spec, 1, 1)
    driver = KernelDriver(transport, params)
    for method, n_steps in (("euler", 3), ("rk4", 1), ("euler", 1)):
        changed = params.with_solver(method, n_steps)
        driver.set_model(changed)
        np.testing.assert_array_equal(driver.predict(images), Reference(changed).predict(images))
    transport.close()


def test_features_and_cascades_are_programs_of_the_same_engine() -> None:
    params = on(MODELS["plain"], "1x4x8")
    images = random_images(params.spec, 6, 1)
    features, logits = split_features(Reference(with_features(params)).predict(images), params)
    steps = (1, 2)
    plain = {n: Reference(params.with_solver(n_steps=n)).predict(images) for n in steps}
    threshold = float(np.median(confidence(plain[1], params.logits_scale)))
    with Accelerator(params, "rtl") as accelerator:
        np.testing.assert_array_equal(accelerator.features(images), features)
        np.testing.assert_array_equal(accelerator.predict(images), logits)
        cascaded = accelerator.predict(images, cascade=steps, threshold=threshold)
        call = accelerator.last_cascade
    assert call is not None
    assert call.cycles is not None
    for row, n in enumerate(call.ended):
        np.testing.assert_array_equal(cascaded[row], plain[int(n)][row])
    stages = [(1, 6), (2, int((call.ended == 2).sum()))]
    assert 0 < stages[1][1] < 6
    assert call.cycles == sum(estimate(params.with_solver(n_steps=n)).command_cycles(count) for n, count in stages)


# ---- the contract, command by command


class Bench:
    """The library, command by command, with a model of 5 channels on 6 x 7 pixels."""

    def __init__(self) -> None:
        self.params = on(
            model("bench", "heun", 2, channels=(5,), height=6, width=7, time="bias", num_classes=5), "1x4x8"
        )
        self.library = KernelLibrary(rtl.engine_library(self.params.spec.kernel))
        self.words = np.zeros(REGISTER_WORDS, np.uint32)
        self.images = random_images(self.params.spec, 2, 1)
        self.expected = Reference(self.params).predict(self.images)
        method = tableau("heun")
        start = COEFF.offset // 4
        self.words[start : start + COEFFS_PER_BLOCK] = np.array(
            coefficient_words(method, self.params.spec.coefficients(0)), np.int64
        ).astype(np.uint32)
        self.put(NUM_STAGES=method.num_stages, N_STEPS_1=2, FRAMES=2)
        self.program = program(self.params, Engine.of(self.params.spec.kernel))
        self.frames = np.zeros(2 * image_bytes(self.params.spec.network), np.uint8)
        pack_images(self.images, self.frames)

    def put(self, **values: int) -> None:
        for name, value in values.items():
            self.words[REGISTERS[name].offset // 4] = value

    def get(self, name: str) -> int:
        return int(self.words[REGISTERS[name].offset // 4])

    def command(self, command: int, data: bytes | np.ndarray = b"") -> tuple[Status, bytes]:
        self.put(COMMAND=command)
        out = np.zeros(2 * logits_bytes(self.params.spec.network), np.uint8)
        data = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        written = self.library.command(self.words, np.ascontiguousarray(data), out, MAX_CYCLES)
        return Status(self.get("STATUS")), out[:written].tobytes()

    def load(self) -> None:
        assert self.command(Command.LOAD, self.program)[0] == Status.OK

    def check_run(self) -> None:
        """A good run gives the right logits."""
        self.put(NUM_STAGES=2, N_STEPS_1=2, FRAMES=2)
        status, out = self.command(Command.RUN, self.frames)
        assert status == Status.OK
        assert self.get("FRAMES_DONE") == 2
        logits = unpack_logits(np.frombuffer(out, np.uint8), self.params.spec.network)
        np.testing.assert_array_equal(logits, self.expected)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_identity(bench: Bench) -> None:
    assert bench.command(Command.IDENTIFY)[0] == Status.OK
    engine = Engine.of(bench.params.spec.kernel)
    assert bench.get("IDENTITY") == 0x64734F44
    assert bench.get("VERSION") == 2 << 16 | 5
    assert bench.get("CAP_LANES") == engine.lanes_word == 0x01040408
    assert bench.get("CAP_CHANNELS") == 1024
    assert bench.get("CAP_PIXELS") == engine.map_words
    assert bench.get("CAP_STEPS") == 64
    assert bench.get("FINGERPRINT_LO") == 0
    bench.load()
    fingerprint = bench.get("FINGERPRINT_HI") << 32 | bench.get("FINGERPRINT_LO")
    assert f"{fingerprint:016x}" == bench.params.model_fingerprint[:16]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"FRAMES": 0}, Status.BAD_FRAMES),
        ({"NUM_STAGES": 0}, Status.BAD_STAGES),
        ({"NUM_STAGES": 5}, Status.BAD_STAGES),
        ({"NUM_STAGES": 2 + (1 << 16)}, Status.BAD_STAGES),
        ({"N_STEPS_1": 0}, Status.BAD_STEPS),
        ({"N_STEPS_1": 65}, Status.BAD_STEPS),
        ({"N_STEPS_1": 2 + (1 << 16)}, Status.BAD_STEPS),
        ({"N_STEPS_1": 3}, Status.NOT_LOADED),  # the time table is for two steps
    ],
    ids=str,
)
@pytest.mark.parametrize("with_input", [True, False])
def test_bad_arguments(bench: Bench, arguments: dict[str, int], status: Status, with_input: bool) -> None:
    bench.load()
    bench.put(**arguments)
    assert bench.command(Command.RUN, bench.frames if with_input else b"") == (status, b"")
    bench.check_run()


@pytest.mark.parametrize("with_input", [True, False])
def test_bad_command(bench: Bench, with_input: bool) -> None:
    bench.load()
    assert bench.command(3, bench.frames if with_input else b"")[0] == Status.BAD_COMMAND
    bench.check_run()


def test_run_needs_a_program(bench: Bench) -> None:
    assert bench.command(Command.RUN, bench.frames)[0] == Status.NOT_LOADED
    bench.load()
    bench.check_run()


@pytest.mark.parametrize("beats_off", [-5, -1, 1, 70])
def test_frames_of_the_wrong_length(bench: Bench, beats_off: int) -> None:
    bench.load()
    frames = np.resize(bench.frames, len(bench.frames) + beats_off * BEAT_BYTES)
    assert bench.command(Command.RUN, frames)[0] == (Status.SHORT_INPUT if beats_off < 0 else Status.LONG_INPUT)
    assert bench.get("FRAMES_DONE") < 2
    bench.check_run()


def _broken(data: bytes, change: str) -> bytes:
    """A program with one thing wrong."""
    words = np.frombuffer(data, np.uint8).copy()
    header = 3 * BEAT_BYTES
    places = {
        "magic": 0,
        "lanes": 4,
        "checksum": 16,
        "passes": 20,
        "pass": header + 2,
        "weight": header + 4 * PASS_BYTES + 100,
    }
    if change == "short":
        return data[:-BEAT_BYTES]
    if change == "only a header beat":
        return data[:BEAT_BYTES]
    if change == "long":
        return data + bytes(BEAT_BYTES)
    if change == "too many bias words":
        words[26:28] = 255
    elif change == "no depthwise words":
        words[22:24] = 0
    else:
        words[places[change]] ^= 1
    return words.tobytes()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        *((c, Status.BAD_PROGRAM) for c in ("magic", "lanes", "checksum", "pass", "weight")),
        *((c, Status.BAD_PROGRAM) for c in ("too many bias words", "no depthwise words")),
        ("short", Status.SHORT_INPUT),
        ("only a header beat", Status.SHORT_INPUT),
        ("long", Status.LONG_INPUT),
    ],
)
def test_bad_programs(bench: Bench, change: str, status: Status) -> None:
    bench.load()
    assert bench.command(Command.LOAD, _broken(bench.program, change))[0] == status
    assert bench.command(Command.RUN, bench.frames)[0] == Status.NOT_LOADED  # half a program is none
    bench.load()
    bench.check_run()


def test_programs_replace_each_other() -> None:
    """One engine, one model after the other: nothing of the old one is left."""
    models = [on(MODELS[name], "1x4x8") for name in ("plain", "patches", "time_bias", "one_block", "plain")]
    transport = LibraryTransport(rtl.engine_library(models[0].spec.kernel))
    for params in models:
        images = random_images(params.spec, 1, 3)
        np.testing.assert_array_equal(
            KernelDriver(transport, params).predict(images), Reference(params).predict(images)
        )
    transport.close()


# ---- cycles


@pytest.mark.parametrize(
    ("lanes", "method", "n_steps", "limit", "occupancy"),
    [
        ("1x32x64", "euler", 10, 150_000, 0.96),
        ("3x16x64", "euler", 10, 100_000, 0.96),
        ("3x16x64", "rk4", 3, 120_000, 0.96),
    ],
)
def test_size_l_keeps_the_array_busy(lanes: str, method: str, n_steps: int, limit: int, occupancy: float) -> None:
    spec = dataclasses.replace(Spec.named("l").with_solver(method, n_steps), kernel=kernel(lanes))
    result = of_spec(spec)
    assert result.cycles <= limit
    assert result.occupancy >= occupancy
    assert result.macs_per_cycle <= DEVICE_MACS
    assert result.share_of_own_peak <= 1


@pytest.mark.parametrize("lanes", ["1x32x64", "3x16x64"])
@pytest.mark.parametrize("size", ["s", "m"])
def test_smaller_sizes_keep_the_array_busy(size: str, lanes: str) -> None:
    assert of_spec(dataclasses.replace(Spec.named(size), kernel=kernel(lanes))).occupancy >= 0.9


def test_estimate_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("estimate", "xs", "--lanes", "1x4x8") == 0
    assert "array busy" in capsys.readouterr().out
    assert call("estimate", "xs", "--lanes", "1x4x8", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (
        result["cycles"] == sum(section["cycles"] for section in result["sections"].values()) + result["other_cycles"]
    )


# ---- the program and the library


@pytest.mark.parametrize(
    ("network", "words"),
    [({"height": 256, "width": 256}, "map words"), ({"channels": (1024,), "height": 64, "width": 64}, "map words")],
)
def test_models_that_do_not_fit_are_refused(network: dict[str, object], words: str) -> None:
    params = on(model("large", "euler", 1, **network), "1x4x8")
    with pytest.raises(SpecError, match=words):
        program(params, Engine.of(params.spec.kernel))


@pytest.mark.parametrize(("lanes", "size"), [("1x32x64", 64), ("3x16x64", 55)], ids=["1x32x64", "3x16x64"])
def test_largest_map_of_a_full_engine(lanes: str, size: int) -> None:
    """64 channels on square maps, with 256 channels in the last block: this size fits, and no larger one."""
    engine = Engine.of(kernel(lanes))
    largest, larger = (model("large", "euler", 1, height=n, width=n, channels=(64, 128, 256)) for n in (size, size + 1))
    assert len(program(largest, engine)) > 0
    with pytest.raises(SpecError, match="map words"):
        program(larger, engine)


@pytest.mark.parametrize(
    ("lanes", "name"), [("1x3x8", "input_lanes"), ("1x4x6", "output_lanes"), ("9x4x8", "pixel"), ("1x8x4", "at least")]
)
def test_lanes_that_cannot_be_built_are_refused(lanes: str, name: str) -> None:
    with pytest.raises(SpecError, match=name):
        Engine.of(kernel(lanes))


def test_library_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = rtl.engine_library(kernel("1x4x8"))
    monkeypatch.setattr(rtl, "_build", lambda *arguments: pytest.fail("built again"))
    assert rtl.engine_library(kernel("1x4x8")) == path
    assert rtl.key(Engine.of(kernel("1x4x8"))) != rtl.key(Engine.of(kernel("1x8x8")))


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(rtl.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match="verilator is not installed"):
        rtl.engine_library(kernel("1x4x16"), tmp_path)
