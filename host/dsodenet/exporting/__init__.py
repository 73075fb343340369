"""A trained run as integers and as QONNX graphs. Imports torch."""

from dsodenet.exporting.integers import (
    export,
    exported_model,
    extract,
    float_model,
    torch_features,
    torch_logits,
    write_float_onnx,
)

__all__ = [
    "export",
    "exported_model",
    "extract",
    "float_model",
    "torch_features",
    "torch_logits",
    "write_float_onnx",
]
