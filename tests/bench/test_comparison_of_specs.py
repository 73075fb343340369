"""The comparison of a spec with random weights: estimates of whole calls, ratios, and int8 on every processor."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet import text as tables
from dsodenet.bench import comparison as compare
from dsodenet.bench import machine, modelled, paths, report, rows
from dsodenet.bench.subject import Subject
from dsodenet.errors import ToolError
from dsodenet.plots import comparison_figure
from dsodenet.spec.params import Params
from dsodenet.spec.specification import Spec
from tests.command_line import call, refused

ROOT = Path(__file__).parents[2]
SOFTWARE = ("cpu", "torch", "onnxruntime", "onnxruntime-int8")
ESTIMATES = ("estimate", "estimate-host", "estimate-finn")


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "all_threads", lambda: 2)
        return compare.compare("xs", (*SOFTWARE, *ESTIMATES, "zcu104-sim"), (1, 3), 2).to_dict()


def row(result: dict[str, Any], path: str, batch: int = 1, threads: int = 1) -> dict[str, Any]:
    (found,) = (r for r in result["rows"] if (r["path"], r["batch"], r["threads"]) == (path, batch, threads))
    return found


def test_random_weights_are_said_to_be_random(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert (result["model"], result["weights"], result["left_out"]) == ("xs", "random", {})
    assert result["differing"] == 0
    assert {r["path"] for r in result["rows"]} >= {*SOFTWARE, "zcu104-sim"}
    assert all(r["same_class"] is None for r in result["rows"])
    assert compare.compare("zoo:digits-xs", ("estimate",), (1,), 1).to_dict()["weights"] == "trained"
    assert (
        call(
            "bench",
            "xs",
            "--backends",
            "cpu,estimate,estimate-host,estimate-finn",
            "--batches",
            1,
            "--repeats",
            1,
            "--quiet",
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "weights: random" in text
    assert "accuracy is not claimed" in text
    assert "class" not in text.replace("classes are not compared", "")
    assert all(len(line) <= 100 for line in text.splitlines())


def test_every_path_is_fed_the_same_random_model(tmp_path: Path) -> None:
    """The exported graph holds the integers' values.

    Torch and onnxruntime agree on it. Random formats saturate where float does not, so the reference and they need not.
    """
    import onnx
    from onnx.numpy_helper import to_array

    subject = Subject.load("xs")
    params, (images, _) = subject.params, subject.images(16)
    assert Subject.load("xs").params.fingerprint == params.fingerprint
    logits = {}
    with ExitStack() as stack:
        job = paths.Job(params, params, images, (16,), (1,), tmp_path, stack)
        arrays = [to_array(item) for item in onnx.load(job.float_onnx).graph.initializer]
        for name in ("torch", "onnxruntime"):
            (path,) = paths.TIMED[name](job)
            with path.within():
                logits[name] = path.call(images).ravel()
    for layer in ("stem.conv", "f2.dw1", "down1.pw", "f3.pw2"):
        expected = params.arrays[f"{layer}.weight"] * params.formats[f"{layer}.weight"].scale
        assert any(
            np.array_equal(found.reshape(-1), expected.reshape(-1)) for found in arrays if found.size == expected.size
        ), layer
    assert np.abs(logits["torch"] - logits["onnxruntime"]).max() < 1e-4 * np.abs(logits["torch"]).max()


def test_a_spec_file_and_lanes(tmp_path: Path) -> None:
    """The cycles are those that docs/results has from the simulation."""
    spec = Spec.named("s")
    rows = json.loads((ROOT / "docs" / "results" / "cycles.json").read_text(encoding="utf-8"))["rows"]
    simulated = [row for row in rows if (row["size"], row["solver"]) == ("s", "euler")]
    file = tmp_path / "mine.json"
    file.write_text(dataclasses.replace(spec, name="mine").to_json())
    for model, name in (("s", "s"), (file, "mine")):
        cycles = {}
        for lanes in ("1x32x64", "3x16x64"):
            (found,) = compare.compare(model, ("estimate",), (1,), 1, lanes).to_dict()["rows"]
            assert f"{lanes} lanes, assumed 187.498 MHz" in found["machine"]
            assert found["median_us"] == found["cycles"] / (33.333 * 45 / 8)
            cycles[lanes] = found["cycles"]
        assert cycles == {row["lanes"]: row["cycles"] for row in simulated if row["lanes"] in cycles}, name


def test_whole_calls_are_made_of_what_they_say(result: dict[str, Any]) -> None:
    for batch in (1, 3):
        kernel, ours, finn = (row(result, path, batch) for path in ("rtl", "rtl + our host", "rtl + FINN call"))
        assert {kernel["kind"], ours["kind"], finn["kind"]} == {"estimated"}
        assert (ours["scope"], finn["scope"]) == ("end to end", "end to end")
        assert finn["median_us"] == pytest.approx(kernel["median_us"] + 822)
        share_us = ours["median_us"] - kernel["median_us"]
        assert 0 < share_us < 1e5
        for words in (
            f"batch {batch}",
            f"{share_us:.0f} µs of the host library",
            "7 register accesses",
            "ZCU104",
        ):
            assert words in ours["note"]
        assert "822 µs" in finn["note"]


def test_ratios_of_each_whole_call_and_of_the_reference(result: dict[str, Any]) -> None:
    assert [(r["accelerator"], r["scope"]) for r in result["ratios"] if r["batch"] == 3] == [
        ("rtl", "kernel"),
        ("rtl + our host", "end to end"),
        ("rtl + FINN call", "end to end"),
    ]
    for ratio in result["ratios"]:
        own = row(result, ratio["accelerator"], ratio["batch"])["median_us"]
        software = [r["median_us"] for r in result["rows"] if r["path"] in SOFTWARE and r["batch"] == ratio["batch"]]
        assert ratio["ratio_to_best"] == min(software) / own
        assert (ratio["accelerator_kind"], ratio["software_kind"]) == ("estimated", "measured")
    found = [(r["batch"], r["against"], r["threads"]) for r in result["reference_ratios"]]
    assert found == [(b, name, n) for b in (1, 3) for name in ("onnxruntime", "onnxruntime-int8") for n in (1, 2)]
    for ratio in result["reference_ratios"]:
        ours, theirs = (row(result, path, ratio["batch"], ratio["threads"]) for path in ("cpu", ratio["against"]))
        assert ratio["ratio"] == theirs["median_us"] / ours["median_us"]


def test_a_slow_simulation_runs_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def simulate(params: Params, images: Any) -> Any:
        raise ToolError("simulated")

    monkeypatch.setitem(modelled.MODELLED, "rtl", simulate)
    monkeypatch.setattr(compare, "DEFAULT", ("rtl", "estimate"))
    quick = compare.compare("xs", None, (1,), 1).to_dict()
    assert quick["left_out"] == {"rtl": "simulated"}, "tried"
    large = compare.compare("s", None, (1,), 1).to_dict()
    assert "takes minutes" in large["left_out"]["rtl"]
    assert [r["path"] for r in large["rows"]] == ["rtl"]
    assert compare.compare("s", ("rtl", "estimate"), (1,), 1).to_dict()["left_out"] == {"rtl": "simulated"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("xl",), "no such run"),
        (("none.json",), "cannot be read as a spec"),
        (("l", "--lanes", "3x16"), "lanes are '3x16'"),
        (("l", "--lanes", "1x24x64"), "input_lanes is 24"),
        (("l", "--lanes", "1x64x32"), "output_lanes is 32"),
        (("l", "--backends", "estimate-me"), "'estimate-me'"),
        (("zoo:none",), "zoo:none"),
    ],
)
def test_bad_input_before_any_work(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "Job", None)
    assert message in refused(capsys, "bench", *words, "--quiet")


def test_a_float_only_spec_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = json.loads(Spec.named("xs").to_json())
    spec["network"]["norm"] = "layer"
    (tmp_path / "float.json").write_text(json.dumps(spec))
    assert "float only" in refused(capsys, "bench", tmp_path / "float.json")


def test_a_compilation_runs_only_where_it_is_asked_for() -> None:
    assert "torch-compile" in compare.BACKENDS
    assert "torch-compile" not in compare.DEFAULT


def test_the_picture_has_the_quickest_of_each_path_in_order_and_says_its_time(result: dict[str, Any]) -> None:
    figure = comparison_figure(result)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a call of 1 image", "a call of 3 images"]
    for axes, batch in zip(figure.axes, (1, 3)):
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert {name.split()[0].split("-")[0].strip(",") for name in names} == {
            "cpu",
            "torch",
            "onnxruntime",
            "rtl",
            "zcu104",
        }
        assert len(names) == 6, "the kernel alone, and in a call"
        rows = [r for r in result["rows"] if r["batch"] == batch]
        times = [min(r["median_us"] for r in rows if r["path"].startswith("onnxruntime"))]
        times.append(min(r["median_us"] for r in rows if r["path"] == "rtl"))
        told = [text.get_text() for text in axes.texts]
        assert {_shown(us) for us in times} <= set(told)
        shown = [float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]
        assert shown == sorted(shown)
        assert len(shown) == len(told) == len(names)
        assert axes.yaxis_inverted()
        assert axes.get_xscale() == "log"
        hollow = {line.get_markerfacecolor() == "white" for line in axes.lines if len(line.get_xdata()) == 1}
        assert hollow == {True, False}
    assert len(comparison_figure(result | {"rows": [r for r in result["rows"] if r["batch"] == 1]}).axes) == 1


def _shown(us: float) -> str:
    return f"{us / 1000:.3g} ms" if us >= 1000 else f"{us:.3g} µs"


def test_a_table_of_long_times_and_names_fits_its_lines(result: dict[str, Any]) -> None:
    """A trained model, with classes; calls of seconds, large ratios, and the longest names of both sides."""
    slow = [
        r | ({f"{key}_us": 1_234_567.8 for key in ("median", "min", "max")} if r["calls"] else {}) | {"same_class": 1.0}
        for r in result["rows"]
    ]
    long = {
        "best": rows.Row(**row(result, "onnxruntime-int8", 1, 2)).title,
        "weakest": "torch-compile, 16 threads, float32",
        "ratio_to_best": 12_345.678,
        "ratio_to_weakest": 123_456.78,
    }
    ratios = [r | long for r in result["ratios"]]
    text = report.comparison_text(result | {"weights": "trained", "rows": slow, "ratios": ratios})
    assert "onnxruntime-int8, 2 threads\n" in text
    assert "rtl + FINN call, estimated" in text
    assert max(map(len, text.splitlines())) <= tables.LINE


@pytest.mark.parametrize(
    ("openblas", "flags", "advised"),
    [
        ("0.3.23 (Prescott kernels)", "sse3 avx2 avx512f", "SkylakeX"),
        ("0.3.23 (Prescott kernels)", "sse3 avx2", "Haswell"),
        ("0.3.23 (Prescott kernels)", "sse3", ""),
        ("0.3.23 (Zen kernels)", "sse3 avx2", ""),
    ],
)
def test_a_blas_that_does_not_know_the_processor_is_said(
    openblas: str, flags: str, advised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"model name\t: one\nflags\t\t: {flags}\n")
    advice = machine.blas_advice({"openblas": openblas})
    assert bool(advice) == bool(advised)
    assert advised in advice
