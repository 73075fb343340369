"""The lowered kernel in the concurrent simulation: the reference's words, and the counts of the cycle model."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.hls import lowering
from dsodenet.hls.concurrent import concurrent_library
from dsodenet.hls.kernel import config_header, kernel_source
from dsodenet.hls.plan_search import choose_plan
from dsodenet.hls.rules import check_rules
from dsodenet.hls.trips import end_processes, evaluation_processes, section_processes
from dsodenet.ladder import verify
from dsodenet.reference import Reference
from dsodenet.runs import Run
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec import Params, Spec, sections, tableau
from dsodenet.spec.synthetic import random_params

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiler")]


def odd() -> Spec:
    """Two blocks of 5 and 7 channels, 18 x 14 pixels, a space-to-depth stem, 4-bit weights, layers at low rank."""
    data = CASES["blocks"].spec("odd").to_dict()
    data["quantisation"]["weight_bit_width"] = 4
    data["network"]["low_rank"] = [
        {"layer": layer, "rank": rank} for layer, rank in (("stem.conv", 4), ("f1.pw1", 3), ("down1.pw", 4))
    ]
    return Spec.from_json(json.dumps(data))


GRID: dict[str, Callable[[], Spec]] = {"odd": odd, "timed": lambda: CASES["xs_timed"].spec("timed")}


@pytest.fixture(scope="module", params=GRID)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lowered run, without the sequential simulation."""
    pytest.importorskip("tree_sitter_cpp")
    run = tmp_path_factory.mktemp(request.param) / "run"
    make_run(GRID[request.param](), run, seed=3, lowered=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "compile_csim", lambda *_: None)
        lowering.lower(run)
    return run


def images(run: Path, count: int) -> np.ndarray:
    network = Params.load(run).spec.network
    shape = (count, network.in_channels, network.height, network.width)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_the_kernel_keeps_the_vendors_rules(run: Path) -> None:
    assert check_rules(Run(run).hls) == []


@pytest.mark.parametrize("stem", ["conv3x3", "space_to_depth_2"])
@pytest.mark.parametrize("size", ["xs", "s", "m", "l"])
@pytest.mark.parametrize("run", ["timed"], indirect=True)
def test_every_size_keeps_the_vendors_rules(run: Path, size: str, stem: str, tmp_path: Path) -> None:
    """Types, chain and top function of a size, around sections of another: weights change no rule."""
    data = Spec.named(size).to_dict()
    data["network"]["stem"] = stem
    params = random_params(Spec.from_json(json.dumps(data)), 0)
    plan = choose_plan(params.spec)
    shutil.copytree(Run(run).hls, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.so"))
    (tmp_path / "config.h").write_text(config_header(params, plan), encoding="utf-8")
    (tmp_path / "kernel.cpp").write_text(kernel_source(params), encoding="utf-8")
    assert check_rules(tmp_path) == []


@pytest.mark.parametrize(("method", "n_steps"), [("euler", 1), ("midpoint", 3), ("rk4", 2)])
def test_the_same_words_as_the_reference(run: Path, method: str, n_steps: int) -> None:
    rungs = verify(run, ("csim-concurrent",), images(run, 3), method=method, n_steps=n_steps).rungs
    assert [(rung.backend, rung.differing) for rung in rungs] == [("csim-concurrent", 0)]


def test_counted_words_are_those_of_the_cycle_model(run: Path) -> None:
    params, count = Params.load(run), 2
    spec, plan = params.spec, choose_plan(params.spec)
    driver = KernelDriver(LibraryTransport(concurrent_library(run)), params, 1 << 20)
    try:
        np.testing.assert_array_equal(driver.predict(images(run, count)), Reference(params).predict(images(run, count)))
        activity = driver.transport.library.activity()
    finally:
        driver.close()
    runs = {process["process"]: process["runs"] for process in activity["processes"]}
    words: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for stream in activity["streams"]:
        for end, side in (("reader", 0), ("writer", 1)):
            if stream[end] is not None and not stream["stream"].split("/")[-1].startswith("go_"):
                words[stream[end]][side] += stream[("reads", "writes")[side]]
    stages = tableau(spec.solver.method).num_stages
    for section in sections(spec.network):
        calls, within, ends = count, f"section<{section.name}_", 0
        if section.kind != "f":
            expected = section_processes(spec, section, plan.factors)
        else:
            expected = evaluation_processes(spec, section, plan.factors, plan.lanes[section.block])
            calls, within = count * stages * spec.solver.n_steps[section.block], f"block<block{section.block + 1}>"
            ends = count * (math.prod(spec.network.map_size(section.block)) - plan.map_words(section.block))
        leaves = [path for path in runs if within in path and not any(p.startswith(f"{path}/") for p in runs)]
        counted, modelled = defaultdict(list), defaultdict(list)
        for path in leaves:
            name = path.split("/")[-1].split("<")[0].split("#")[0].split("::")[-1]
            counted[name].append(tuple(words[path]))
        for process in expected:
            # An image enters a block in words of a pixel, and leaves it so.
            reads, writes = (ends if process.name == end else 0 for end in ("feed", "update"))
            modelled[process.name].append((calls * process.reads + reads, calls * process.writes + writes))
        assert {name: sorted(found) for name, found in counted.items()} == {
            name: sorted(found) for name, found in modelled.items()
        }
    reader, writer = end_processes(spec)
    (first,) = (path for path in runs if path.startswith("kernel/read_images"))
    assert words[first] == [count * reader.reads, count * reader.writes]
    assert words["kernel/write_logits"] == [count * writer.reads, count * writer.writes]
