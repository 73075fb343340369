"""onnxruntime's int8: the float graph quantised, and the proof that this processor computes that graph's integers.

onnxruntime multiplies unsigned activations by signed weights (U8S8) with VPMADDUBSW on x86 processors without VNNI.
That instruction adds two products in 16 bits and saturates, so the network is another one there, and nothing says so
(onnxruntime's page "Quantize ONNX models", on U8S8 and U8U8). Unsigned weights (U8U8) do not saturate anywhere. They
are slower where VNNI is. A comparison therefore takes the quickest scheme that is right on the processor at hand.
The session option session.x64quantprecision is no way out: it fails on a graph whose nodes share weights.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import ToolError

ACTIVATIONS = "QUInt8"  # in all schemes: onnxruntime computes part of a graph of signed ones in float
SCHEMES = {"u8s8": "QInt8", "u8u8": "QUInt8"}  # name -> weights; the quickest first
CHECKED = 2  # images of the check
HALF_LSB = 0.5 + 2.0**-10  # a float32 factor is off by 2^-24 of up to 2^8 LSB, so that a near tie may go either way


@dataclass(frozen=True)
class Int8Graph:
    path: Path
    scheme: str  # a key of SCHEMES
    note: str  # what it is, and why


def session(model: Path | bytes, threads: int) -> Any:
    """An onnxruntime.InferenceSession on this processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def right_graph(source: Path, images: NDArray[np.uint8], folder: Path, threads: Sequence[int] = (1,)) -> Int8Graph:
    """The float graph `source` by the quickest scheme that this processor computes right; ToolError where none is.

    images calibrate the ranges, and the first of them are the check's. threads: of the sessions to come.
    """
    wrong: list[str] = []
    for scheme in SCHEMES:
        path = quantised(source, images, folder / f"{scheme}.onnx", scheme)
        found = fault(path, images[:CHECKED], threads)
        if found is None:
            note = f"{scheme}, every tensor within half an LSB of its exact value on this processor"
            return Int8Graph(path, scheme, "; ".join([note, *(f"not {words}" for words in wrong)]))
        wrong.append(f"{scheme}, where {found}")
    raise ToolError(f"onnxruntime computes another network than its int8 graph on this processor: {'; '.join(wrong)}")


def quantised(source: Path, images: NDArray[np.uint8], path: Path, scheme: str) -> Path:
    """The graph of `source` with QDQ pairs, in `path`: symmetric weights per channel, activations' ranges by images."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter([{"images": images}])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._batches, None)

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises a preprocessing that a graph of static shapes does not need
    try:
        quantize_static(
            source,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType[ACTIVATIONS],
            weight_type=QuantType[SCHEMES[scheme]],
            extra_options={"WeightSymmetric": True},  # onnxruntime's QLinearConv has one zero point for all channels
        )
    finally:
        logging.disable(before)
    return path


def fault(path: Path, images: NDArray[np.uint8], threads: Sequence[int] = (1,)) -> str | None:
    """What onnxruntime computes on this processor that is not the quantised graph in `path`; None where all is right.

    Each quantised tensor is held to the exact value of its own inputs, so that no difference adds up over layers. It
    must be an integer nearest to that value. Sessions as they are timed must then give the same logits, bit for bit.
    """
    import onnx

    model = onnx.load(path)
    shown = with_outputs(model)
    names = [output.name for output in shown.graph.output]
    seen = dict(zip(names, session(shown.SerializeToString(), 1).run(None, {"images": images})))
    worst = ""
    most = HALF_LSB
    for name, exact in exact_values(model, images, seen).items():
        off = np.abs(seen[name] - exact)
        if off.max() > most:
            most = float(off.max())
            worst = f"{np.mean(off > HALF_LSB):.2%} of the values of {name} are up to {most:.1f} LSB off"
    if worst:
        return worst
    for count in threads:
        if not np.array_equal(session(path, count).run(None, {"images": images})[0], seen[names[0]]):
            return f"the logits with {count} threads are not those of the graph's integers"
    return None


def with_outputs(model: Any) -> Any:
    """A copy of a QDQ model whose quantised tensors are outputs, too, after its own first one."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    types = {item.name: item.data_type for item in model.graph.initializer}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(node.output[0], types[node.input[2]], None)
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    )
    return copy


def exact_values(model: Any, images: NDArray[np.uint8], seen: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Tensor -> what it is before it is rounded, in LSB, zero point and saturation included; and the logits' own value.

    In float64, by NumPy and onnx's own operators, from the integers `seen` for the tensor's inputs.
    """
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    values: dict[str, Any] = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    values["images"] = images
    exact: dict[str, NDArray[Any]] = {}
    for node in model.graph.node:
        about = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        inputs = [values[name] for name in node.input]
        (name,) = node.output
        match node.op_type:
            case "QuantizeLinear":
                value, scale, zero = inputs
                limits = np.iinfo(zero.dtype)
                exact[name] = np.clip(value / float(scale) + float(zero), limits.min, limits.max)
                values[name] = seen[name]
            case "DequantizeLinear":
                whole, scale, zero = (item.astype(np.float64) for item in inputs)
                shape = [-1 if axis == about.get("axis", 1) else 1 for axis in range(whole.ndim)]
                scale, zero = (item.reshape(shape) if item.ndim else item for item in (scale, zero))
                values[name] = (whole - zero) * scale
            case "Conv":
                values[name] = convolution(inputs, about)
            case "Cast":
                values[name] = inputs[0].astype(np.float64)
            case "Constant":
                values[name] = numpy_helper.to_array(about["value"]).astype(np.float64)
            case _:
                (values[name],) = ReferenceEvaluator(node).run(None, dict(zip(node.input, inputs)))
    logits = model.graph.output[0].name
    exact[logits] = values[logits].astype(np.float32)
    return exact


def convolution(inputs: Sequence[NDArray[Any]], about: dict[str, Any]) -> NDArray[np.float64]:
    """onnx's Conv in float64: of images (n, c, h, w), weights (o, c / group, kh, kw) and perhaps a bias (o).

    about: the node's attributes; no dilation.
    """
    images, weights, *bias = inputs
    top, left, bottom, right = about["pads"]
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
    down, across = about["strides"]
    groups, terms = about["group"], weights[0].size
    windows = np.lib.stride_tricks.sliding_window_view(padded, (1, 1, *weights.shape[2:]))[:, :, ::down, ::across, 0, 0]
    count, _, height, width = windows.shape[:4]
    columns = windows.transpose(1, 4, 5, 0, 2, 3).reshape(groups, terms, -1)
    sums = (weights.reshape(groups, -1, terms) @ columns).reshape(-1, count, height, width).transpose(1, 0, 2, 3)
    return sums + bias[0].reshape(1, -1, 1, 1) if bias else sums
