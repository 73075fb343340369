"""The counts that the cycle model stands on, against the words that the concurrent C simulation sees go by."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.contract import Command, Status, bias_program
from dsodenet.hls import concurrent_library, lowered_plan
from dsodenet.reference import Reference
from dsodenet.runtime.library import KernelLibrary
from dsodenet.spec import random_images
from tests.hls.test_lower import Kernel, packed

IMAGES = 2


@pytest.fixture(scope="module")
def activity(tmp_path_factory: pytest.TempPathFactory, compiler: None) -> tuple[Path, dict[str, Any]]:
    """A run of low rank with a time table, and what the processes of its kernel did with two images."""
    run = tmp_path_factory.mktemp("trips") / "run"
    make_run(CASES["low_rank"].spec("trips"), run, seed=3)
    kernel = Kernel(run)
    kernel.library.close()
    kernel.library = KernelLibrary(concurrent_library(run))
    images = random_images(kernel.params.spec, IMAGES, 4)
    program = np.frombuffer(bias_program(kernel.params), np.uint8).copy()
    assert kernel.command(Command.LOAD, program)[0] == Status.OK
    status, out = kernel.command(Command.RUN, packed(images, kernel.params), IMAGES)
    assert status == Status.OK
    truth = Reference(kernel.params).predict(images)
    np.testing.assert_array_equal(out.view(np.int32).reshape(IMAGES, -1)[:, : truth.shape[1]], truth)
    found = kernel.library.activity()
    kernel.library.close()
    return run, found


def plain(path: str) -> str:
    """The model's name of a process: block1/relu for kernel/block<block1>/B::f/nnet::relu<...>."""
    path = re.sub(r"(?:section|block)<(\w+?)(?:_section)?>", r"\1", path.removeprefix("kernel/"))
    path = re.sub(r"convert<block(\d).*", r"convert\1", path)
    path = re.sub(r"/B::f|/f\d::f\d|nnet::", "", path)
    return re.sub(r"<.*", "", path)


def test_words_of_every_process_are_those_of_the_model(activity: tuple[Path, dict[str, Any]]) -> None:
    run, found = activity
    reads: Counter[str] = Counter()
    writes: Counter[str] = Counter()
    for stream in found["streams"]:
        if stream["writer"] and stream["reader"] and "/go_" not in stream["stream"]:  # no port, no token
            writes[stream["writer"]] += stream["writes"]
            reads[stream["reader"]] += stream["reads"]
    counted = sorted((plain(path), reads[path], writes[path]) for path in reads | writes)
    expected = sorted((path, IMAGES * read, IMAGES * wrote) for path, read, wrote in lowered_plan(run).words())
    assert counted == expected


def test_stream_around_f_is_deep_enough_and_the_map_fills_its_own(activity: tuple[Path, dict[str, Any]]) -> None:
    run, found = activity
    plan = lowered_plan(run)
    streams = {stream["stream"]: stream for stream in found["streams"]}
    for block in range(2):
        back, skip = (streams[f"kernel/block<block{block + 1}>/{name}"] for name in ("back", "skip"))
        assert back["depth"] == plan.map_words(block)
        assert back["peak"] <= back["depth"]
        rows = 2 * plan.block(block).layers[0].in_size[1] + 3  # pixels that two 3x3 layers want before the first slope
        groups = plan.block(block).layers[0].in_channels // plan.lanes[block]
        assert rows * groups - groups < skip["peak"] <= skip["depth"] == plan.skip_words(block)
