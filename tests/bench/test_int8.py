"""onnxruntime's int8 rows: the integers of their own graph, on this processor and on emulated ones without VNNI."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from dsodenet.bench import comparison, int8
from dsodenet.bench.paths import TIMED, Job
from dsodenet.bench.subject import Subject

THREADS = (1, 2)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    subject = Subject.load("xs")
    images, _ = subject.images(4)
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("int8")
        yield Job(subject.params, subject.params, images, (4,), THREADS, folder, stack)


def test_the_timed_graph_is_right_all_int8_and_close_to_float(job: Job, tmp_path: Path) -> None:
    import onnxruntime

    assert int8.fault(job.int8_graph.path, job.images, THREADS) is None
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(job.int8_graph.path), options, providers=["CPUExecutionProvider"])
    convolutions = [node.op_type for node in onnx.load(job.float_onnx).graph.node].count("Conv")
    run = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert run["QLinearConv"] == convolutions > 0
    assert run["Conv"] == 0, "signed activations would leave some in float"

    (exact, *_), (quantised, *_) = TIMED["onnxruntime"](job), TIMED["onnxruntime-int8"](job)
    expected, found = exact.call(job.images), quantised.call(job.images)
    assert quantised.note.startswith(f"{job.int8_graph.scheme}, ")
    # 8 bits a tensor over some ten layers in a row: a few percent of the range, far from noise
    assert np.abs(found - expected).max() < 0.25 * np.abs(expected).max()


@pytest.mark.parametrize(("groups", "strides", "pads", "bias"), [(1, 1, 0, True), (6, 2, 1, False), (2, 1, 1, True)])
def test_the_exact_convolution_is_onnx_s_own(groups: int, strides: int, pads: int, bias: bool) -> None:
    rng = np.random.default_rng(groups)
    size = 3 if pads else 1
    inputs = [rng.integers(-9, 9, shape).astype(np.float64) for shape in ((2, 6, 7, 5), (12, 6 // groups, size, size))]
    inputs += [rng.integers(-9, 9, 12).astype(np.float64)] * bias
    about = {"group": groups, "strides": [strides] * 2, "pads": [pads] * 4}
    node = onnx.helper.make_node("Conv", ["x", "w", "b"][: len(inputs)], ["y"], **about)
    (expected,) = ReferenceEvaluator(node).run(None, dict(zip(node.input, inputs)))
    np.testing.assert_array_equal(int8.convolution(inputs, about), expected)


class Wrong:
    """A session of a processor that gets one value of one output wrong by one."""

    def __init__(self, session: Any, output: int) -> None:
        self.session, self.output = session, output

    def run(self, names: None, feeds: dict[str, Any]) -> list[NDArray[Any]]:
        outputs = [np.array(value) for value in self.session.run(names, feeds)]
        one = outputs[self.output].reshape(-1)[:1]
        one += np.where(one > 100, -1, 1).astype(one.dtype)
        return outputs


def test_one_value_that_is_wrong_by_one_is_found(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    right = int8.session

    def session(model: Path | bytes, threads: int) -> Any:
        opened = right(model, threads)
        return Wrong(opened, 5) if isinstance(model, bytes) else opened

    monkeypatch.setattr(int8, "session", session)
    name = int8.with_outputs(onnx.load(job.int8_graph.path)).graph.output[5].name
    found = int8.fault(job.int8_graph.path, job.images)
    assert found is not None
    assert f"of the values of {name} are up to" in found

    def with_two(model: Path | bytes, threads: int) -> Any:
        opened = right(model, threads)
        return Wrong(opened, 0) if threads == 2 else opened

    monkeypatch.setattr(int8, "session", with_two)
    assert int8.fault(job.int8_graph.path, job.images, (1,)) is None
    assert int8.fault(job.int8_graph.path, job.images, (1, 2)) == (
        "the logits with 2 threads are not those of the graph's integers"
    )


def test_a_scheme_that_is_wrong_here_is_passed_over_and_a_row_of_none_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fault(path: Path, images: Any, threads: Any) -> str | None:
        return "a sum saturates" if path.stem in wrong else None

    monkeypatch.setattr(int8, "fault", fault)
    wrong = {"u8s8"}
    (row,) = comparison.compare("xs", ("onnxruntime-int8",), (1,), 1).to_dict()["rows"][:1]
    assert row["note"].startswith("u8u8, every tensor")
    assert row["note"].endswith("; not u8s8, where a sum saturates")
    wrong = {"u8s8", "u8u8"}
    found = comparison.compare("xs", ("onnxruntime-int8", "estimate"), (1,), 1)
    assert {row.path for row in found.rows} == {"rtl"}
    assert found.left_out["onnxruntime-int8"] == (
        "onnxruntime computes another network than its int8 graph on this processor: "
        "u8s8, where a sum saturates; u8u8, where a sum saturates"
    )


EMULATED = """
import json, sys
from pathlib import Path
import numpy as np
from dsodenet.bench import int8
source, images, folder = Path(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3])
paths = {scheme: int8.quantised(source, images, folder / f"{scheme}.onnx", scheme) for scheme in int8.SCHEMES}
print(json.dumps({scheme: int8.fault(path, images[:1]) for scheme, path in paths.items()}))
"""


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="Debian's qemu-user emulates another processor")
@pytest.mark.parametrize("processor", ["EPYC-Rome", "Haswell"])
def test_on_a_processor_without_vnni_signed_weights_saturate_and_unsigned_ones_are_right(
    processor: str, job: Job, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", job.images)
    command = ["qemu-x86_64", "-cpu", processor, sys.executable, "-W", "ignore", "-c", EMULATED]
    words = [*command, str(job.float_onnx), str(tmp_path / "images.npy"), str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    assert "LSB off" in (found["u8s8"] or "")
    assert found["u8u8"] is None
