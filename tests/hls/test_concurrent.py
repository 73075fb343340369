"""The concurrent C simulation: right networks compute the same words, and faults of concurrency are named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsodenet.contract.registers import REGISTERS, cpp_header
from dsodenet.errors import DeviceError
from dsodenet.hls.concurrent import LIBRARY, build_concurrent
from dsodenet.runtime.library import REGISTER_WORDS, KernelLibrary

pytestmark = pytest.mark.usefixtures("compiler")

HEADER = """#pragma once
#include "ap_axi_sdata.h"
#include "ap_int.h"
#include "contract.h"
#include "hls_stream.h"

namespace dsodenet { typedef ap_axiu<8 * BEAT_BYTES, 0, 0, 0> beat_t; }

typedef hls::stream<dsodenet::beat_t> beats;
void dsodenet_hls(beats &s_axis, beats &m_axis, unsigned command, unsigned frames, unsigned *status);

inline void call_kernel(beats &s_axis, beats &m_axis, unsigned *registers) {
    using namespace dsodenet;
    dsodenet_hls(s_axis, m_axis, registers[REG_COMMAND / 4], registers[REG_FRAMES / 4], &registers[REG_STATUS / 4]);
}
"""


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the planted networks."""
    hls4ml = pytest.importorskip("hls4ml")
    pytest.importorskip("tree_sitter_cpp")
    folder = tmp_path_factory.mktemp("plants")
    (folder / "include").mkdir()
    templates = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
    shutil.copytree(templates, folder / "include" / "ap_types")
    (folder / "include" / "contract.h").write_text(cpp_header(), encoding="utf-8")
    (folder / "model.h").write_text(HEADER, encoding="utf-8")
    shutil.copy(Path(__file__).parent / "concurrent_plants.cpp", folder / "kernel.cpp")
    build_concurrent(folder, folder / LIBRARY)
    return folder / LIBRARY


@pytest.fixture
def library(plants: Path) -> Iterator[KernelLibrary]:
    library = KernelLibrary(plants)
    yield library
    library.close()


def run(library: KernelLibrary, command: int, words: list[int], count: int | None = None) -> list[int]:
    """The answers of a network to words, one in each beat; count: words that it is told to expect."""
    registers = np.zeros(REGISTER_WORDS, np.uint32)
    registers[REGISTERS["COMMAND"].offset // 4] = command
    registers[REGISTERS["FRAMES"].offset // 4] = len(words) if count is None else count
    beats = np.zeros((len(words), 4), np.int32)
    beats[:, 0] = words
    out: NDArray[np.uint8] = np.zeros(1 << 12, np.uint8)
    written = library.command(registers, beats.view(np.uint8).ravel(), out, 1)
    return [int(word) for word in out[:written].view(np.int32).reshape(-1, 4)[:, 0]]


WORDS = [5, 3, 8, 1, 9, 2, 7, 4]


def test_right_networks(library: KernelLibrary) -> None:
    for _ in range(2):
        assert run(library, 1, WORDS) == [3 * word for word in WORDS]
        assert run(library, 2, WORDS) == WORDS[::-1]
        assert run(library, 13, WORDS) == [word + 3 for word in WORDS]


def test_reads_and_writes_are_counted_by_process_and_stream(library: KernelLibrary) -> None:
    run(library, 1, WORDS)
    activity = library.activity()
    streams = {s["stream"]: s for s in activity["streams"]}
    assert {p["process"]: p["runs"] for p in activity["processes"]} == dict.fromkeys(
        ("kernel", "kernel/source", "kernel/hold", "kernel/sink"), 1
    )
    for name, writer, reader, depth in (
        ("kernel/x", "kernel/source", "kernel/hold", 2),
        ("kernel/k", "kernel/hold", "kernel/sink", 2),
        ("kernel/skip", "kernel/source", "kernel/sink", 4),
        ("s_axis", None, "kernel/source", None),
        ("m_axis", "kernel/sink", None, None),
    ):
        stream = streams[name]
        assert (stream["writer"], stream["reader"], stream["depth"]) == (writer, reader, depth)
        assert (stream["writes"], stream["reads"]) == (8, 0 if name == "m_axis" else 8)
        assert depth is None or 1 <= stream["peak"] <= depth


FAULTS = {
    "an array of three processes": (
        3,
        r"'coeff' is used by 3 processes of region shared_array \(kernel/block, kernel/block#2, kernel/block#3\)",
    ),
    "a reader with a reference": (4, r"argument 'words' of process kernel/read_words holds a reference"),
    "a status sampled early": (
        5,
        r"process kernel/unless reads 'fault' when it starts, before process kernel/checked has written it",
    ),
    "a skip FIFO that is too shallow": (
        6,
        r"(?s)deadlock.*process kernel/source: waits to write to stream kernel/skip \(holds 2 of 2, 2 written, 0 read\)"
        r".*process kernel/hold: waits to read from stream kernel/x \(holds 0 of 2, 3 written, 3 read\)"
        r".*process kernel/sink: waits to read from stream kernel/k \(holds 0 of 2, 0 written, 0 read\)"
        r".*stream s_axis: holds 5, 8 written, 3 read",
    ),
    "a memory whose reader must drain its writer": (
        7,
        r"(?s)deadlock.*kernel/collect: waits to write to stream kernel/signal"
        r".*kernel/take: waits for the memory that process kernel/collect writes",
    ),
    "a memory under two names": (8, r"'from' is used by 2 processes of region evaluate"),
    "a memory behind the region's back": (
        9,
        r"'common' element 0 is read by process kernel/read_common while another process of the same pass writes it",
    ),
    "a table that was never loaded": (
        10,
        r"'table' element 5 is read by process kernel/look_up before anything was written",
    ),
    "a stream with two writers": (
        11,
        r"stream m_axis is written by process kernel/leave(#2)? and by process kernel/leave",
    ),
    "words that nobody reads": (12, r"stream kernel/b still holds 8 words when its region ends"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault(name: str, library: KernelLibrary) -> None:
    command, message = FAULTS[name]
    with pytest.raises(DeviceError, match=message):
        run(library, command, WORDS)
    assert run(library, 1, WORDS) == [3 * word for word in WORDS], "the next command starts on a fresh kernel"


def test_input_that_ends_early_is_a_deadlock(library: KernelLibrary) -> None:
    with pytest.raises(
        DeviceError, match=r"(?s)kernel/source: waits to read from stream s_axis \(holds 0, 7 written, 7 read"
    ):
        run(library, 1, WORDS[:7], 8)
