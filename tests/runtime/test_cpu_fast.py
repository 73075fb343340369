"""Backend cpu-fast: onnxruntime's float32 computes the very words of the reference, or says why not."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from dsodenet.bench.studies.ladder_grid import CASES
from dsodenet.errors import SpecError, ToolError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.spec import TABLEAUS, Params, random_images, random_params
from tests.models import MODELS

onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")

from dsodenet.runtime import cpu_fast  # noqa: E402

GRID = [(name, method, n_steps) for name, case in CASES.items() for method, n_steps in case.solvers if n_steps < 32]


@pytest.mark.parametrize(("name", "method", "n_steps"), GRID)
def test_equals_the_reference_on_the_grid_of_the_ladder(name: str, method: str, n_steps: int) -> None:
    params = random_params(CASES[name].spec(name), 3).with_solver(method, n_steps)
    images = random_images(params.spec, 5, 1)
    np.testing.assert_array_equal(cpu_fast.FastModel(params).predict(images), Reference(params).predict(images))


@pytest.mark.parametrize("name", MODELS)
def test_the_backend_follows_the_solver(name: str) -> None:
    params = MODELS[name]
    images = random_images(params.spec, cpu_fast.MAX_BATCH + 3, 2)
    with Accelerator(params, "cpu-fast", threads=1) as accelerator:
        for method in TABLEAUS:
            accelerator.set_solver(method, 2)
            expected = Reference(accelerator.params).predict(images)
            np.testing.assert_array_equal(accelerator.predict(images), expected)
        nhwc = images.transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(accelerator.predict(nhwc, "nhwc"), expected)


def updated(params: Params, z: int, entry: int, slope: int) -> int:
    """One state update of ODE block 1, as the graph computes it."""
    made = cpu_fast.Graph(onnx)
    result = cpu_fast.update(made, params, 0, "z", [entry], ["k"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("z", "k", result)]
    body = onnx.helper.make_graph(made.nodes, "update", ends[:2], ends[2:], list(made.weights.values()))
    model = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return int(session.run(None, {"z": np.array([z], np.float32), "k": np.array([slope], np.float32)})[0][0])


def test_a_state_update_over_24_bits_is_computed_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """A little over one half rounds up, and float32 does not hold the little."""
    params = MODELS["time_bias"]
    state, k, _ = params.update_formats(0)
    k = dataclasses.replace(k, integer_bits=k.integer_bits - 8)  # finer slopes than the formats of this model
    slope_frac_bits = k.frac_bits + params.spec.quantisation.coeff.frac_bits
    monkeypatch.setattr(Params, "update_formats", lambda params, block: (state, k, slope_frac_bits))
    shift = slope_frac_bits - state.frac_bits
    z, entry = 1 << (state.bits - 2), (1 << (shift - 1)) + 1
    exact = state.requantise((z << shift) + entry, state.frac_bits + shift)
    assert exact == z + 1
    assert updated(params, z, entry, 1) == exact
    monkeypatch.setattr(cpu_fast, "exact_float", lambda bound: np.float32)
    assert updated(params, z, entry, 1) == z


def test_sums_over_24_bits_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Params, "accumulator_bound", lambda params, layer: 1 << 24)
    with pytest.raises(SpecError, match=r"layer stem\.conv can sum up to 16777216, but .* below 2\*\*24: backend cpu"):
        Accelerator(MODELS["time_bias"], "cpu-fast")


def test_a_library_that_computes_other_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cpu_fast.ROUND_OPS, "RND_CONV", "Floor")
    with pytest.raises(ToolError, match=r"computes \d+ words otherwise than the reference .* use backend cpu"):
        Accelerator(MODELS["time_bias"], "cpu-fast")


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_without_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ToolError, match=rf"^{name} is not installed \(.*\); .*\[fast\].* brings it$"):
        Accelerator(MODELS["time_bias"], "cpu-fast")
