"""The HLS kernel's C simulation: the reference's integers, the register contract, and files never half-made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.contract.registers import COEFF, REGISTERS, Command, Status, coefficient_words
from dsodenet.contract.streams import image_bytes, pack_images
from dsodenet.errors import RunError, SpecError, ToolError
from dsodenet.hls import lowering as lower_module
from dsodenet.hls.lowering import csim_library, lower
from dsodenet.hls.plan_search import best_plan
from dsodenet.ladder import verify
from dsodenet.reference import Reference
from dsodenet.runs import Run
from dsodenet.runtime.library import REGISTER_WORDS, KernelLibrary
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import tableau
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiler")]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    """A lowered run: 4-bit weights, two blocks, 5 and 7 channels, an 18 x 14 image, space to depth, low rank."""
    run = tmp_path_factory.mktemp("odd") / "run"
    data = CASES["blocks"].spec("odd").to_dict()
    data["quantisation"]["weight_bit_width"] = 4
    data["network"]["low_rank"] = [
        {"layer": layer, "rank": rank} for layer, rank in (("stem.conv", 4), ("f1.pw1", 3), ("down1.pw", 4))
    ]
    return run, make_run(Spec.from_json(json.dumps(data)), run, seed=1)


def test_odd_shapes_four_bit_weights_and_a_saturating_state(odd: tuple[Path, NDArray[np.uint8]]) -> None:
    run, images = odd
    params = Params.load(run)
    state = np.stack(Reference(params).trajectory(images, 0))
    assert (np.abs(state) >= params.formats["z1"].max_int).any()
    assert all(rung.differing == 0 for rung in verify(run, ("torch", "csim", "zcu104-sim"), images).rungs)


def test_verify_sees_one_wrong_weight(odd: tuple[Path, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch) -> None:
    run, images = odd
    right = Params.load(run)
    wrong = Params(right.spec, right.formats, {name: array.copy() for name, array in right.arrays.items()})
    wrong.arrays["head.linear.weight"][0, 0] ^= 1
    predict = Reference.predict
    monkeypatch.setattr(Reference, "predict", lambda self, images: predict(Reference(wrong), images))
    assert verify(run, ("csim",), images).differing > 0


def packed(images: NDArray[np.uint8], params: Params) -> NDArray[np.uint8]:
    data = np.zeros(len(images) * image_bytes(params.spec.network), np.uint8)
    pack_images(images, data)
    return data


class Kernel:
    """The C simulation, driven by hand."""

    def __init__(self, run: Path) -> None:
        self.params = Params.load(run)
        self.library = KernelLibrary(csim_library(run))
        self.registers = np.zeros(REGISTER_WORDS, np.uint32)
        method, spec = tableau(self.params.spec.solver.method), self.params.spec
        self.set("NUM_STAGES", method.num_stages)
        for block, n_steps in enumerate(spec.solver.n_steps):
            self.set(f"N_STEPS_{block + 1}", n_steps)
            words = np.array(coefficient_words(method, spec.coefficients(block)), np.int32).view(np.uint32)
            start = COEFF.offset // 4 + block * len(words)
            self.registers[start : start + len(words)] = words

    def set(self, name: str, value: int) -> None:
        self.registers[REGISTERS[name].offset // 4] = value

    def get(self, name: str) -> int:
        return int(self.registers[REGISTERS[name].offset // 4])

    def command(self, command: int, data: NDArray[np.uint8], frames: int = 1) -> tuple[Status, NDArray[np.uint8]]:
        self.set("COMMAND", command)
        self.set("FRAMES", frames)
        out = np.zeros(1 << 16, np.uint8)
        written = self.library.command(self.registers, data, out, 1)
        return Status(self.get("STATUS")), out[:written]


@pytest.fixture
def kernel(odd: tuple[Path, NDArray[np.uint8]]) -> Any:
    kernel = Kernel(odd[0])
    yield kernel
    kernel.library.close()


def test_contract_of_the_kernel(kernel: Kernel) -> None:
    images = random_images(kernel.params.spec, 2, 5)
    truth = Reference(kernel.params).predict(images)
    data = packed(images, kernel.params)
    frame = len(data) // 2

    def good() -> None:
        status, out = kernel.command(Command.RUN, data, 2)
        logits = out.view(np.int32).reshape(2, -1)[:, : truth.shape[1]]
        assert status == Status.OK
        assert kernel.get("FRAMES_DONE") == 2
        np.testing.assert_array_equal(logits, truth)

    good()
    faults = [
        (Command.RUN, data[:-16], 2, Status.SHORT_INPUT, 1),
        (Command.RUN, data[:frame], 2, Status.SHORT_INPUT, 0),
        (Command.RUN, data, 1, Status.LONG_INPUT, 0),
        (Command.RUN, data, 0, Status.BAD_FRAMES, 0),
        (Command.LOAD, data, 1, Status.BAD_PROGRAM, 0),
        (9, data, 1, Status.BAD_COMMAND, 0),
    ]
    for command, given, frames, expected, done in faults:
        status, _ = kernel.command(command, given, frames)
        assert (status, kernel.get("FRAMES_DONE")) == (expected, done)
        good()
    for register, value, expected in (
        ("N_STEPS_1", 0, Status.BAD_STEPS),
        ("N_STEPS_2", 65, Status.BAD_STEPS),
        ("NUM_STAGES", 5, Status.BAD_STAGES),
    ):
        before = kernel.get(register)
        kernel.set(register, value)
        assert kernel.command(Command.RUN, data, 2)[0] == expected
        kernel.set(register, before)
        good()


def test_interrupted_lowering_leaves_the_earlier_result(
    odd: tuple[Path, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = odd
    before = Run(run).csim.read_bytes()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lower_module, "compile_csim", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lower(run)
    assert csim_library(run).read_bytes() == before
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


def test_missing_compiler_is_named_before_any_work(
    odd: tuple[Path, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(lower_module, "write_sources", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(ToolError, match="no-such-compiler"):
        lower(odd[0])


def test_edited_graph_and_stale_kernel_are_refused(odd: tuple[Path, NDArray[np.uint8]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(odd[0], run)
    piece = run / "qonnx" / "f1.onnx"
    piece.write_bytes(piece.read_bytes() + b" ")
    with pytest.raises(RunError, match=r"f1\.onnx: is missing or was edited"):
        lower(run)
    params = Params.load(run)
    arrays = {name: array.copy() for name, array in params.arrays.items()}
    arrays["stem.conv.bias"][0] += 1
    Params(params.spec, params.formats, arrays).save(run)
    with pytest.raises(RunError, match="was made from model"):
        csim_library(run)
    with pytest.raises(RunError, match="was made from model"):
        lower(run)
    with pytest.raises(RunError, match="trained again"):
        verify(run, ("torch",))


def test_only_what_was_compiled_here_is_loaded(odd: tuple[Path, NDArray[np.uint8]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(odd[0], run)
    manifest, library = run / "hls" / "manifest.json", Run(run).csim
    assert csim_library(run) == library
    library.write_bytes(library.read_bytes() + b" ")
    for backend in ("csim", "csim-concurrent"):
        with pytest.raises(RunError, match=r"libdsodenet_csim\.so: is not as it was when its folder was compiled"):
            verify(run, (backend,))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"seal": "0" * 64}))
    with pytest.raises(RunError, match="not compiled by this account, so it is not loaded; run `dsodenet lower"):
        verify(run, ("csim",))


def test_accumulators_too_narrow_for_the_weights_are_refused(odd: tuple[Path, NDArray[np.uint8]]) -> None:
    from dsodenet.hls.graph import check_accumulators, project, quiet, streaming_graph
    from dsodenet.spec.layers import sections

    run, _ = odd
    params = Params.load(run)
    section = sections(params.spec.network)[1]
    with quiet():
        model = streaming_graph(run / "qonnx" / "f1.onnx")
    lowered = project(params, section, model, run / "unused", best_plan(params.spec).factors)
    node = next(node for node in lowered.get_layers() if node.class_name == "PointwiseConv2D")
    node.get_attr("accum_t").precision.integer = -10
    with pytest.raises(SpecError, match=r"f1\.pw1_in: hls4ml chose the accumulator"):
        check_accumulators(params, list(section.layers), lowered)


def test_unrolled_qonnx_computes_the_same_logits(odd: tuple[Path, NDArray[np.uint8]]) -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    run, images = odd
    params = Params.load(run)
    model = cleanup_model(ModelWrapper(str(run / "model.qonnx.onnx")))
    floats = (images[:1] / np.float32(255)).astype(np.float32)
    (logits,) = execute_onnx(model, {model.graph.input[0].name: floats}).values()
    np.testing.assert_array_equal(logits / params.logits_scale, Reference(params).predict(images[:1]))


def test_hls4ml_lowers_the_whole_network_in_one_call(odd: tuple[Path, NDArray[np.uint8]], tmp_path: Path) -> None:
    from dsodenet.hls.graph import quiet
    from dsodenet.hls.ode_layer import convert_network

    run, images = odd
    params = Params.load(run)
    model = convert_network(params, run / "qonnx", tmp_path)
    assert [layer.class_name for layer in model.get_layers()].count("OdeBlockLayer") == 2
    with quiet():
        model.compile()
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1) / np.float32(256), dtype=np.float32)
    np.testing.assert_array_equal(
        model.predict(pixels).reshape(len(images), -1) / params.logits_scale, Reference(params).predict(images)
    )
