"""onnxruntime's int8: a float graph quantised for every processor, and a check that this processor adds it up rightly.

onnxruntime multiplies unsigned by signed bytes with VPMADDUBSW on x86 processors without VNNI. That instruction adds
two products in 16 bits and saturates, so such a network computes something else there, and says nothing (onnxruntime's
page "Quantize ONNX models", on U8S8, S8S8 and U8U8). Bytes that are unsigned on both sides do not saturate anywhere.
"""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import ToolError

INPUTS = 64  # of the probe's layer
TOLERANCE = 0.02  # of its sum: two roundings to 8 bits; a saturated sum is half of it


def quantised(
    source: Path, images: NDArray[Any], path: Path, weights: str = "QUInt8", activations: str = "QUInt8"
) -> Path:
    """The graph of `source` with QDQ pairs, in `path`: per-channel weights, ranges of activations from the images."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter([{"images": images}])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._batches, None)

    types = {"weight_type": QuantType[weights], "activation_type": QuantType[activations]}
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises a preprocessing that a graph of static shapes does not need
    try:
        quantize_static(source, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, **types)
    finally:
        logging.disable(before)
    return path


def probe(weights: str = "QUInt8", activations: str = "QUInt8") -> float:
    """The sum of INPUTS products of the largest activation and the largest weight, as this processor's int8 has it.

    The exact value is INPUTS.
    """
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, INPUTS, 1, 1]
    ones = numpy_helper.from_array(np.ones(shape, np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "weight"], ["sum"])],
        "probe",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 1, 1, 1])],
        [ones],
    )
    images = np.ones(shape, np.float32)
    with tempfile.TemporaryDirectory(prefix="dsodenet-") as name:
        source = Path(name) / "float.onnx"
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, source)
        path = quantised(source, images, Path(name) / "int8.onnx", weights, activations)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return float(session.run(None, {"images": images})[0].item())


@cache
def check_processor() -> None:
    """ToolError where int8 sums come out wrong on this processor: a row of such a network would be of another one."""
    found = probe()
    if abs(found / INPUTS - 1) > TOLERANCE:
        raise ToolError(
            f"onnxruntime's int8 adds up {found:g} instead of {INPUTS} on this processor, "
            "so it computes another network"
        )
