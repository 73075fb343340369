"""Trained Brevitas model -> integers and formats (params.npz, spec.json) and QONNX graphs.

The last module that imports torch.

RUN/model.qonnx.onnx    the whole network, its solver loop unrolled: runs in qonnx; images in [0, 1] to logits
RUN/qonnx/<section>.onnx  stem, each f, downs, head: what `lower` hands to hls4ml
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dsodenet.errors import RunError, SpecError
from dsodenet.files import atomic_file, atomic_folder
from dsodenet.nets import DsODENet, OdeBlock, Outputs, threads_for
from dsodenet.qonnx_graph import OPSET, load_pieces, seal_pieces, unrolled
from dsodenet.runs import Run
from dsodenet.spec import IMAGE_FORMAT, Format, Params, all_layers, bias_name, sections, tensor_widths

TORCH_BATCH = 64  # images


@torch.no_grad()
def extract(model: DsODENet) -> Params:
    """The integers and formats of a quantised model.

    SpecError when a scale is no power of two or a bound does not hold.
    """
    if not model.quantised_arithmetic:
        raise SpecError("a float model has no integers to export; train it with a bit width first")
    source: Any = copy.deepcopy(model).double().eval()  # every product and sum is exact in double
    spec, formats, arrays = model.spec, {"image": IMAGE_FORMAT}, {}
    rounding = spec.quantisation.rounding
    for name, (bits, signed) in tensor_widths(spec).items():
        if name.endswith(".weight"):
            formats[name] = Format.from_scale(
                bits, float(source.layer(name.removesuffix(".weight")).quant_weight().scale)
            )
        elif name != "image":
            formats[name] = Format.from_scale(bits, float(source.activation(name).act_quant.scale()), signed, rounding)
    for layer in all_layers(spec.network):
        module = source.layer(layer.name)
        weight = module.quant_weight()
        arrays[f"{layer.name}.weight"] = _integers(weight.value.numpy(), float(weight.scale), np.int8).reshape(
            layer.weight_shape
        )
        frac_bits = formats[layer.source].frac_bits + formats[f"{layer.name}.weight"].frac_bits
        block = source.sections[layer.name.split(".")[0]]
        bias = block.table.knots if layer.timed else module.bias
        bound = 1 << (spec.quantisation.bias_bit_width - 1)
        arrays[bias_name(layer)] = np.clip(np.rint(bias.numpy() * 2.0**frac_bits), -bound, bound - 1).astype(np.int32)
    return Params(spec, formats, arrays)


@torch.no_grad()
def float_model(params: Params) -> DsODENet:
    """The float network with the values of these integers as its weights, and nothing quantised between.

    What `extract` undoes.
    """
    model = DsODENet(params.spec, folded=True)
    for layer in all_layers(params.spec.network):
        module: Any = model.layer(layer.name)
        weight = params.arrays[f"{layer.name}.weight"] * params.formats[f"{layer.name}.weight"].scale
        module.weight.copy_(torch.from_numpy(weight).reshape(module.weight.shape))
        bias = torch.from_numpy(params.arrays[bias_name(layer)] * 2.0 ** -params.accumulator_frac_bits(layer))
        section: Any = model.sections[layer.name.split(".")[0]]
        (section.table.knots if layer.timed else module.bias).copy_(bias)
    return model.eval()


def _integers(values: NDArray[Any], scale: float, dtype: type) -> NDArray[Any]:
    """Values on a quantiser's grid as integers; SpecError if they are not on it."""
    integers = values / scale
    if not np.array_equal(integers, np.rint(integers)):
        raise SpecError(f"a quantised tensor has values that are no multiples of its scale {scale:g}")
    return integers.astype(dtype)


class _Piece(nn.Module):
    """One section with the quantiser of the state behind it: what one hls4ml project computes."""

    def __init__(self, body: nn.Module, state: nn.Module) -> None:
        super().__init__()
        self.body, self.state = body, state

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.state(self.body(*inputs))


def pieces(model: DsODENet) -> Iterator[tuple[str, nn.Module, list[tuple[int, ...]]]]:
    """(section, module, input shapes) of each piece.

    A timed f takes the bias of its evaluation as a map of its second input.
    """
    network = model.spec.network
    for section in sections(network):
        first, last = section.layers[0], section.layers[-1]
        module = model.sections[section.name]
        shapes: list[tuple[int, ...]] = [(1, first.in_channels, *first.in_size)]
        if isinstance(module, OdeBlock):
            if section.biased.timed:
                shapes.append(shapes[0])
            yield section.name, module.f, shapes
        elif section.kind == "head":
            yield section.name, module, [(1, first.in_channels, *network.map_size(section.block))]
        else:
            yield section.name, _Piece(module, model.activation(last.dest)), shapes


def export(run: str | Path, progress: Callable[[str], None] = lambda step: None) -> Params:
    """Export a trained run: RUN/params.npz, RUN/spec.json and the QONNX graphs."""
    from dsodenet.training import load_checkpoint

    run = Path(run)
    model, _, _ = load_checkpoint(run)
    progress("integers")
    try:
        params = extract(model)
    except SpecError as error:
        raise RunError(f"{run}: {error}") from None
    write_qonnx(model, params, run, progress)
    params.save(run)
    return params


def torch_logits(model: DsODENet, images: NDArray[np.uint8], scale: float) -> NDArray[np.int32]:
    """Integer logits of a quantised model as torch computes them: in float64, where every product and sum is exact.

    images: uint8 (batch, channels, height, width); scale: Params.logits_scale. Returns int32 (batch, num_classes).
    """
    return _integers(_exact_outputs(model, images).logits.numpy(), scale, np.int32)


def torch_features(model: DsODENet, images: NDArray[np.uint8], scale: float) -> NDArray[np.int32]:
    """The same of what the head sees; scale: that of the format `head.x`. Returns int32 (batch, channels)."""
    return _integers(_exact_outputs(model, images).embedding.numpy(), scale, np.int32)


@torch.no_grad()
def _exact_outputs(model: DsODENet, images: NDArray[np.uint8]) -> Outputs:
    exact = copy.deepcopy(model).double().eval()
    with threads_for(model.spec):
        parts = [
            exact.outputs(torch.from_numpy(images[i : i + TORCH_BATCH])) for i in range(0, len(images), TORCH_BATCH)
        ]
    return Outputs(*(torch.cat(values) for values in zip(*((part.embedding, part.logits) for part in parts))))


def exported_model(run: str | Path, params: Params) -> DsODENet:
    """The quantised torch model (a DsODENet) of a run; RunError unless `params` is its export."""
    from dsodenet.training import load_checkpoint

    model, _, _ = load_checkpoint(run)
    found = extract(model).model_fingerprint
    if found != params.model_fingerprint:
        raise RunError(
            f"{run}: was trained again after its export: the checkpoint holds model {found[:16]}, the export "
            f"{params.model_fingerprint[:16]}; run `dsodenet export {run}`"
        )
    return model


def write_qonnx(
    model: DsODENet, params: Params, run: Path, progress: Callable[[str], None] = lambda step: None
) -> None:
    """Write every QONNX graph of the run; the folder of pieces appears whole or not at all."""
    with _quiet():
        from brevitas.export import export_qonnx

    model = copy.deepcopy(model).eval()
    with atomic_folder(Run(run).pieces) as folder:
        for name, module, shapes in pieces(model):
            progress(name)
            arguments = tuple(torch.zeros(shape) for shape in shapes)
            with _quiet():
                export_qonnx(
                    module, args=arguments, export_path=str(folder / f"{name}.onnx"), opset_version=OPSET, dynamo=False
                )
        seal_pieces(params, folder)
    progress("model")
    with atomic_file(Run(run).model) as path:
        onnx.save(unrolled(params, load_pieces(params, Run(run).pieces)), path)


def write_float_onnx(model: DsODENet, path: Path) -> Path:
    """Write a float model as plain ONNX, its solver loop unrolled.

    `images` uint8 (batch, channels, height, width) -> `logits`.
    """
    images = torch.zeros((1, *model.spec.network.image_shape), dtype=torch.uint8)
    options: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"], "opset_version": OPSET}
    axes = {"images": {0: "batch"}, "logits": {0: "batch"}}
    with _quiet():
        torch.onnx.export(model.eval(), (images,), str(path), dynamic_axes=axes, dynamo=False, **options)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Brevitas on optional packages, and torch's exporter on deprecations and on shapes that are constants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
