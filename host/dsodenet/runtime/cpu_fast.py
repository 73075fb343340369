"""The integers of the reference in onnxruntime: a float32 graph of Conv, Round and Clip that holds them exactly.

As in the reference, integers travel as floats, and a power of two folded into the weights makes each requantisation a
rounding: ONNX's Round is half to even. Below 2**24 float32 holds every partial sum, so the order in which a library
adds does not matter. A state update that reaches further is computed in float64. A layer that does is refused, since
onnxruntime's convolutions are float32 only: the reference, backend cpu, computes it. onnxruntime's own int8 layers are
no way to the same words: without VNNI their sums of products saturate at 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import SpecError, ToolError
from dsodenet.files import how_to_install
from dsodenet.reference import Reference, exact_float
from dsodenet.spec import Format, Layer, Params, Section, bias_name, integrate, random_images, sections

OPSET = 17
ROUND_OPS = {"RND_CONV": "Round", "TRN": "Floor"}
MAX_BATCH = 64  # images of one run: their maps need memory
PROOF_IMAGES = 2  # compared with the reference when a graph is opened: this processor and library compute it rightly


class Graph:
    """An ONNX graph under construction. Tensors are numbered; weights are shared by name."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        name = f"{name}.{np.dtype(dtype).name}"
        if name not in self.weights:
            self.weights[name] = self.onnx.numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def number(self, value: float, dtype: Any = np.float32) -> str:
        return self.constant(f"{value!r}", value, dtype)

    def node(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def cast(self, x: str, dtype: Any) -> str:
        return self.node("Cast", x, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def requantise(self, x: str, fmt: Format, dtype: Any = np.float32) -> str:
        """Round and saturate values that are already counted in LSBs of `fmt`."""
        rounded = self.node(ROUND_OPS[fmt.rounding], x)
        return self.node("Clip", rounded, self.number(fmt.min_int, dtype), self.number(fmt.max_int, dtype))

    def convert(self, z: str, source: Format, dest: Format) -> str:
        return self.requantise(self.node("Mul", z, self.number(2.0 ** (dest.frac_bits - source.frac_bits))), dest)


def graph(params: Params) -> bytes:
    """The serialised ONNX model: uint8 images (N, channels, height, width) -> float32 logits (N, num_classes, 1, 1).

    SpecError for a layer whose sums float32 does not hold.
    """
    onnx = _import("onnx")
    for section in sections(params.spec.network):
        for layer in section.layers:
            if exact_float(bound := params.accumulator_bound(layer)) is not np.float32:
                raise SpecError(
                    f"layer {layer.name} can sum up to {bound}, but backend cpu-fast holds sums below 2**24: "
                    "backend cpu computes this model"
                )
    made, network, formats = Graph(onnx), params.spec.network, params.formats
    z = made.cast("images", np.float32)
    for section in sections(network):
        if section.kind == "f":
            z = _ode_block(made, params, section, z)
            continue
        if section.kind == "down":
            z = made.convert(z, formats[f"z{section.block + 1}"], formats[f"{section.name}.x"])
        elif section.kind == "head":
            z = _average(made, z, formats[f"z{section.block + 1}"], formats["head.x"], network.map_size(section.block))
        for layer in section.layers:
            z = _convolution(made, params, layer, z, params.arrays[bias_name(layer)], layer.name)
    made.node("Identity", z, output="logits")
    tensor = onnx.helper.make_tensor_value_info
    inputs = [tensor("images", onnx.TensorProto.UINT8, ["N", *network.image_shape])]
    outputs = [tensor("logits", onnx.TensorProto.FLOAT, ["N", network.num_classes, 1, 1])]
    body = onnx.helper.make_graph(made.nodes, "dsodenet", inputs, outputs, list(made.weights.values()))
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model: bytes = onnx.helper.make_model(body, opset_imports=opset, ir_version=8).SerializeToString()
    return model


def _convolution(made: Graph, params: Params, layer: Layer, x: str, bias: NDArray[np.int32], name: str) -> str:
    """One layer with a bias of accumulator integers; `name` tells biases apart, the weights are the layer's."""
    dest = params.formats.get(layer.dest)  # None for logits
    lsb = 1.0 if dest is None else 2.0 ** (dest.frac_bits - params.accumulator_frac_bits(layer))
    weight = made.constant(f"{layer.name}.weight", params.arrays[f"{layer.name}.weight"].astype(np.float64) * lsb)
    shift = made.constant(f"{name}.bias", bias.astype(np.float64).reshape(-1) * lsb)
    window: dict[str, Any] = {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.padding] * 4,
        "group": layer.groups,
    }
    out = made.node("Conv", x, weight, shift, **window)
    return out if dest is None else made.requantise(out, dest)


def _ode_block(made: Graph, params: Params, section: Section, z: str) -> str:
    """Every evaluation of f, unrolled; they share weights."""
    state = params.formats[f"z{section.block + 1}"]
    biases = params.bias_table(params.spec, section)

    def f(z: str, evaluation: int) -> str:
        x = made.convert(z, state, params.formats[section.layers[0].source])
        for layer in section.layers:
            if layer is section.biased:
                name = f"{layer.name}.{evaluation}" if layer.timed else layer.name
                x = _convolution(made, params, layer, x, biases[evaluation], name)
            else:
                x = _convolution(made, params, layer, x, params.arrays[bias_name(layer)], layer.name)
        return x

    def combine(z: str, row: Sequence[int], slopes: list[str]) -> str:
        return update(made, params, section.block, z, row, slopes)

    spec = params.spec
    return integrate(f, z, spec.coefficients(section.block), spec.solver.n_steps[section.block], combine)


def update(made: Graph, params: Params, block: int, z: str, row: Sequence[int], slopes: Sequence[str]) -> str:
    """Q(z + sum row[j] * slopes[j]) of an ODE block, in the type that holds the sum in the finest of their LSBs."""
    terms = [(entry, slope) for entry, slope in zip(row, slopes) if entry]
    if not terms:
        return z
    state, k, frac_bits = params.update_formats(block)
    slope_frac_bits = k.frac_bits + params.spec.quantisation.coeff.frac_bits
    steepest = sum(abs(entry) for entry, _ in terms) * k.max_abs
    dtype = exact_float((state.max_abs << (frac_bits - state.frac_bits)) + (steepest << (frac_bits - slope_frac_bits)))
    wide = dtype is not np.float32
    total = made.cast(z, dtype) if wide else z
    for entry, slope in terms:
        factor = made.number(entry * 2.0 ** (state.frac_bits - slope_frac_bits), dtype)
        total = made.node("Add", total, made.node("Mul", made.cast(slope, dtype) if wide else slope, factor))
    total = made.requantise(total, state, dtype)
    return made.cast(total, np.float32) if wide else total


def _average(made: Graph, z: str, source: Format, dest: Format, size: tuple[int, int]) -> str:
    """Q(sum / count) in float64, whose quotient rounds as the exact one does (reference.global_average)."""
    axes = made.onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    made.weights["axes"] = axes
    total = made.node("ReduceSum", made.cast(z, np.float64), "axes", keepdims=1)
    scaled = made.node("Mul", total, made.number(2.0 ** (dest.frac_bits - source.frac_bits), np.float64))
    mean = made.node("Div", scaled, made.number(float(size[0] * size[1]), np.float64))
    return made.cast(made.requantise(mean, dest, np.float64), np.float32)


class FastModel:
    """params -> integer logits through onnxruntime, the same words as Reference.

    SpecError for a model whose sums float32 does not hold. ToolError when onnxruntime is not installed, or computes
    other words than the reference here.
    """

    def __init__(self, params: Params, threads: int | None = None) -> None:
        """threads: of onnxruntime, by default one per core."""
        runtime = _import("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors only: the graph's unused outputs are no news
        self._session = runtime.InferenceSession(graph(params), options, providers=["CPUExecutionProvider"])
        self._classes = params.spec.network.num_classes
        images = random_images(params.spec, PROOF_IMAGES, 0)
        if differing := int((self.predict(images) != Reference(params).predict(images)).sum()):
            raise ToolError(
                f"onnxruntime {runtime.__version__} computes {differing} words otherwise than the reference on this "
                "processor: use backend cpu"
            )

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """uint8 images (batch, channels, height, width) -> int32 logits (batch, num_classes) in LSBs."""
        out = np.empty((len(images), self._classes), np.int32)
        for start in range(0, len(images), MAX_BATCH):
            chunk = np.ascontiguousarray(images[start : start + MAX_BATCH])
            out[start : start + MAX_BATCH] = self._session.run(None, {"images": chunk})[0].reshape(len(chunk), -1)
        return out


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolError(f"{name} is not installed ({error}); {how_to_install('fast')} brings it") from None
