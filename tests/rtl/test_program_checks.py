"""What the rtl kernel does with a program that is wrong although its checksum fits: refused in words, never a hang."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dsodenet.contract.registers import Command, Status
from dsodenet.errors import ToolError
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine
from dsodenet.rtl.passes import FIELDS, PASS_BYTES, Pass
from dsodenet.runtime.library import KernelLibrary
from tests.models import kernel, model, on
from tools.rtl import flips
from tools.rtl.flips import LOAD_CYCLES, RUN_CYCLES, Target, fitting
from tools.rtl.word_model import HEADER_BYTES

try:
    rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
QUICK = 240  # programs with flipped bits; `python -m tools.rtl.flips` tries 20,000
WATCHDOG_BITS = 8


@pytest.fixture(scope="module")
def targets() -> Iterator[list[Target]]:
    found = flips.targets()
    yield found
    for target in found:
        target.library.close()


@pytest.fixture
def target(targets: list[Target]) -> Target:
    return targets[0]


def load(target: Target, data: bytes) -> Status:
    return target.command(Command.LOAD, np.frombuffer(data, np.uint8), LOAD_CYCLES)[0]


def run(target: Target) -> Status:
    return target.command(Command.RUN, target.frame, RUN_CYCLES)[0]


def with_field(data: bytes, number: int, name: str, value: int) -> bytes:
    """The program with another value in a field of a pass, and the checksum that fits."""
    at = HEADER_BYTES + number * PASS_BYTES + 2 * FIELDS.index(name)
    return fitting(data[:at] + (value & 0xFFFF).to_bytes(2, "little") + data[at + 2 :])


def field(data: bytes, number: int, name: str) -> int:
    at = HEADER_BYTES + number * PASS_BYTES + 2 * FIELDS.index(name)
    return int.from_bytes(data[at : at + 2], "little")


LIMITED = [
    (item.name, value)
    for item in dataclasses.fields(Pass)
    for value in (item.metadata["low"] - 1, item.metadata["high"] + 1)
    if (item.metadata["low"], item.metadata["high"]) not in ((0, 0xFFFF), (-0x8000, 0x7FFF))
]


@pytest.mark.parametrize(("name", "value"), LIMITED, ids=str)
def test_a_field_out_of_its_bits_is_refused(target: Target, name: str, value: int) -> None:
    for number in (0, 1, 3):
        assert load(target, with_field(target.good, number, name, value)) == Status.BAD_PROGRAM
    assert run(target) == Status.NOT_LOADED
    target.check_good()


BUILD_LIMITS: dict[str, Callable[[Engine], int]] = {  # what the largest value follows from
    "lead_groups": lambda e: e.map_words + e.line_words - 1,
    "last_group": lambda e: e.map_words + e.line_words - 1,
    "tiles_last": lambda e: e.max_tiles - 1,
    "inputs_last": lambda e: e.max_tiles - 1,
    "slot_last": lambda e: e.max_tiles - 1,
    "words_last": lambda e: e.output_lanes // e.input_lanes - 1,
    "tail_last": lambda e: e.output_lanes // e.input_lanes - 1,
    "outputs_last": lambda e: e.max_tiles * e.input_lanes // e.output_lanes - 1,
    "line_near": lambda e: e.line_words - 1,
    "line_far": lambda e: e.line_words - 1,
    "dw_base": lambda e: e.dw_words - 1,
    "pw_base": lambda e: e.pw_words - 1,
    "bias_base": lambda e: e.bias_words - 1,
    "image_row_words": lambda e: e.map_words,
    "logit_beats_last": lambda e: e.logit_words * e.input_lanes // 4 - 1,
}


@pytest.mark.parametrize("name", BUILD_LIMITS)
def test_a_field_over_this_build_is_refused(targets: list[Target], name: str) -> None:
    for target in targets:
        limit = BUILD_LIMITS[name](target.engine)
        assert load(target, with_field(target.good, 0, name, limit + 1)) == Status.BAD_PROGRAM
        target.check_good()


@pytest.mark.parametrize(
    ("number", "name", "change"),
    [
        (0, "kind", lambda value: 3),  # logits before the end
        (-1, "kind", lambda value: 0),  # and none at the end: the passes would run on into old ones
        (2, "loop_passes", lambda value: 0),
        (2, "loop_passes", lambda value: 2),  # back over a pass with a loop of its own
        (1, "block", lambda value: 1),  # the header has one block
        (1, "slot_last", lambda value: 0),  # results would never leave
        (1, "last_group", lambda value: 0),  # before the first pixel
        (0, "tail_bytes", lambda value: 0),  # an image of no bytes
    ],
)
def test_passes_that_do_not_end_are_refused(targets: list[Target], number: int, name: str, change) -> None:
    target = targets[0]
    passes = int.from_bytes(target.good[20:22], "little")
    number %= passes
    before = field(target.good, number, name)
    assert change(before) != before
    assert load(target, with_field(target.good, number, name, change(before))) == Status.BAD_PROGRAM
    target.check_good()


@pytest.mark.parametrize(
    ("number", "name", "value"),
    [
        (1, "dw_base", 63),
        (1, "pw_base", 127),
        (2, "bias_base", 127),
        (1, "bias_stride", 16),
        (0, "image_row_words", 127),
        (0, "row_words", 16),
        (0, "image_width_last", 99),
        (0, "image_height_last", 99),
        (0, "image_height_last", 1),
    ],
)
def test_what_leaves_its_memory_while_it_runs_is_refused(target: Target, number: int, name: str, value: int) -> None:
    """The program is let in; its run ends with BAD_PROGRAM, the program is gone, and the next one works."""
    assert load(target, with_field(target.good, number, name, value)) == Status.OK
    assert run(target) == Status.BAD_PROGRAM
    assert run(target) == Status.NOT_LOADED
    assert int(target.words[flips.REGISTERS["FINGERPRINT_LO"].offset // 4]) == 0
    target.check_good()


def test_flips_that_cancel_in_a_sum_are_refused(target: Target) -> None:
    """The same bit of two words, once set and once cleared: a sum of the words stays as it was."""
    words = np.frombuffer(target.good, "<u4")
    for bit in range(0, 32, 5):
        zeros, ones = (np.flatnonzero((words >> bit & 1) == value) for value in (0, 1))
        for first, second in zip(zeros[zeros > 12][:40:7], ones[ones > 12][::-1][:40:7]):
            changed = words.copy()
            changed[[first, second]] ^= np.uint32(1 << bit)
            assert int(changed.sum(dtype=np.uint64)) == int(words.sum(dtype=np.uint64))
            assert load(target, changed.tobytes()) == Status.BAD_PROGRAM
    target.check_good()


def test_flipped_bits(targets: list[Target]) -> None:
    found = {flips.attempt(number, 11, targets[number // 2 % len(targets)]) for number in range(QUICK)}
    for target in targets:
        target.check_good()
    assert any("computed as its words say" in row for row in found)
    assert any("refused at LOAD, BAD_PROGRAM" in row for row in found)


# ---- the watchdog


def test_watchdog_ends_a_pass_that_takes_too_long() -> None:
    """In a build with a short watchdog, passes of a tiny model end before it bites, those of a larger one do not."""
    tiny = model("tiny", "euler", 1, channels=(2,), height=4, width=4, num_classes=2)
    larger = model("larger", "euler", 1, channels=(8,), height=12, width=12, num_classes=2)
    engine = Engine.of(kernel("1x4x8"))
    library = KernelLibrary(rtl.engine_library(engine, WATCHDOG_BITS=WATCHDOG_BITS))
    try:
        for params, ends in ((tiny, True), (larger, False), (tiny, True)):
            target = Target(on(params, "1x4x8"), engine, library)
            if ends:
                target.check_good()
                continue
            assert load(target, target.good) == Status.OK
            assert run(target) == Status.WATCHDOG
            assert run(target) == Status.NOT_LOADED
    finally:
        library.close()
