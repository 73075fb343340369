"""One section of the network: QONNX graph -> hls4ml project. Imports qonnx and hls4ml.

hls4ml infers most types from the QONNX quantisers; what it cannot know, or guesses too narrow, is set from the
formats of the run. Three gaps of hls4ml 1.3.0 and qonnx 1.0.0 are closed from outside, through their registries:
qonnx has no channels-last AveragePool, hls4ml scrambles QONNX depthwise weights under Strategy=Resource, and it
builds a line buffer for an average over the whole map.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import hls4ml
    import qonnx.transformation.channels_last as channels_last
    from hls4ml.model.flow import get_flow
    from hls4ml.model.layers import DepthwiseConv2D, Pooling2D
    from hls4ml.model.optimizer import OptimizerPass, register_pass
    from onnx import helper
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.channels_last.base_wrapped_op import ChannelsLastWrappedOp
    from qonnx.custom_op.channels_last.max_pool import MaxPool_v1
    from qonnx.custom_op.registry import add_op_to_domain
    from qonnx.transformation.base import Transformation
    from qonnx.transformation.gemm_to_matmul import GemmToMatMul
    from qonnx.util.cleanup import cleanup_model

from dsodenet.contract import ZCU104
from dsodenet.errors import SpecError
from dsodenet.spec import ACCUMULATOR_BITS, Format, Layer, Params, Section

BACKEND = "Vitis"
STREAM_DEPTH = 2
MULTIPLYING_CLASSES = ("Conv2D", "DepthwiseConv2D", "PointwiseConv2D", "Dense")


class DepthwiseLayout(OptimizerPass):
    """QONNX stores depthwise weights as (kh, kw, 1, C), hls4ml's Resource strategy expects Keras's (kh, kw, C, 1)."""

    def match(self, node: Any) -> bool:
        return isinstance(node, DepthwiseConv2D) and node.weights["weight"].data.shape[-2:] == (
            1,
            node.get_attr("n_chan"),
        )

    def transform(self, model: Any, node: Any) -> bool:
        weight = node.weights["weight"]
        weight.data = np.swapaxes(weight.data, -1, -2)
        weight.shape = list(weight.data.shape)
        return False  # the graph is the same


class WholeMapAverage(OptimizerPass):
    """An average over the whole map needs one accumulator per channel, not a line buffer of the map."""

    def match(self, node: Any) -> bool:
        sizes = [(node.get_attr(f"pool_{side}"), node.get_attr(f"in_{side}")) for side in ("height", "width")]
        return (
            isinstance(node, Pooling2D)
            and node.get_attr("class_name") == "AveragePooling2D"
            and all(a == b for a, b in sizes)
        )

    def transform(self, model: Any, node: Any) -> bool:
        keep = {key: node.get_attr(key) for key in ("in_height", "in_width", "n_filt", "data_format")}
        keep |= dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0)
        keep |= {f"{kind}_{side}": keep[f"in_{side}"] for kind in ("pool", "stride") for side in ("height", "width")}
        new = model.make_node(
            "GlobalAveragePooling2D", node.name, keep | {"class_name": "GlobalAveragePooling2D"}, [*node.inputs]
        )
        model.replace_node(node, new)
        return True


class AveragePool_v1(MaxPool_v1):
    """Channels-last AveragePool, unpadded: (batch, height, width, channels)."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        kernel, strides = (self.get_nodeattr(name) for name in ("kernel_shape", "strides"))
        image = np.asarray(context[self.onnx_node.input[0]])
        windows = np.lib.stride_tricks.sliding_window_view(image, (kernel[0], kernel[1]), (1, 2))  # type: ignore[call-overload]
        windows = windows[:, :: strides[0], :: strides[1]].astype(np.float64)
        context[self.onnx_node.output[0]] = windows.mean(axis=(-1, -2)).astype(np.float32)


class PlainAveragePool(Transformation):
    """Keep the attributes that the channels-last AveragePool knows, and make its padding explicit."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.get_nodes_by_op_type("AveragePool"):
            attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            del node.attribute[:]
            for name, default in (("kernel_shape", None), ("strides", [1, 1]), ("pads", [0, 0, 0, 0])):
                node.attribute.append(helper.make_attribute(name, attributes.get(name, default)))
        return model, False


class ChannelsLastEnds(Transformation):
    """Let maps enter and leave the graph as (height, width, channels), the order of a pixel stream."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        inputs = [tensor.name for tensor in model.graph.input]
        for node in model.get_nodes_by_op_type("Transpose"):
            source, result = node.input[0], node.output[0]
            shape = model.get_tensor_shape(source)
            if source in inputs:
                model.set_tensor_shape(source, model.get_tensor_shape(result))
            elif shape is None or shape[1:3] != [1, 1]:  # a 1x1 map has only one order
                continue
            for consumer in model.find_consumers(result):
                consumer.input[list(consumer.input).index(result)] = source
            model.graph.node.remove(node)
        output = model.graph.output[0].name
        node = model.find_producer(output)
        if node.op_type == "Transpose":
            source = node.input[0]
            shape, producer = model.get_tensor_shape(source), model.find_producer(source)
            model.graph.node.remove(node)
            producer.output[list(producer.output).index(source)] = output
            model.set_tensor_shape(output, shape)
        return model, False


@cache
def register() -> None:
    """Enter the passes and operators above into hls4ml and qonnx, once per process."""
    for name, optimizer in (
        ("dsodenet_depthwise_layout", DepthwiseLayout),
        ("dsodenet_whole_map_average", WholeMapAverage),
    ):
        register_pass(name, optimizer)
        # After the passes that remove transposes, before those that infer precision.
        passes = get_flow("convert").optimizers
        passes.insert(passes.index("output_rounding_saturation_mode"), name)
    add_op_to_domain("qonnx.custom_op.channels_last", AveragePool_v1)
    channels_last._channelsLast_node_types.append("AveragePool")
    ChannelsLastWrappedOp._channelsLast_node_types.append("AveragePool")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """hls4ml and qonnx report every step on standard output."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def streaming_graph(path: Path) -> ModelWrapper:
    """Read a QONNX piece and turn it into what hls4ml lowers: cleaned, channels last, no Gemm."""
    register()
    model = cleanup_model(ModelWrapper(str(path))).transform(PlainAveragePool())
    model = model.transform(channels_last.ConvertToChannelsLastAndClean(make_input_channels_last=True))
    return cleanup_model(cleanup_model(model.transform(GemmToMatMul())).transform(ChannelsLastEnds()))


def hls4ml_type(fmt: Format) -> str:
    """A format in hls4ml's notation."""
    return f"{'' if fmt.signed else 'u'}fixed<{fmt.bits},{fmt.integer_bits},{fmt.rounding},{fmt.overflow}>"


def input_formats(params: Params, section: Section) -> list[Format]:
    """Formats of a section's input streams.

    The sections f and down are fed their 8-bit x: our C++ converts the state on the way in.
    """
    if section.kind == "head":
        return [params.formats[f"z{section.block + 1}"]]
    formats = [params.formats[section.layers[0].source]]
    if section.kind == "f" and section.biased.timed:
        formats.append(bias_format(params, section))
    return formats


def bias_format(params: Params, section: Section) -> Format:
    """The format in which f's time-dependent bias enters: LSBs of the accumulator it is added to."""
    bits = params.spec.quantisation.bias_bit_width
    return Format(bits, bits - params.accumulator_frac_bits(section.biased))


def project(params: Params, section: Section, model: ModelWrapper, folder: Path, factors: Mapping[str, int]) -> Any:
    """The hls4ml model of one section, in namespace and project `section.name`, not yet written."""
    return convert(params, (section,), model, folder, section.name, factors, namespace=section.name)


def convert(
    params: Params,
    parts: Sequence[Section],
    model: ModelWrapper,
    folder: Path,
    name: str,
    factors: Mapping[str, int],
    namespace: str | None = None,
) -> Any:
    """Convert a streaming graph that holds the layers of `parts`, in their order, with the formats of the run.

    factors: the reuse factor of each layer by name. hls4ml's strategy is Latency where it is 1, else Resource.
    """
    kernel, layers = params.spec.kernel, [layer for part in parts for layer in part.layers]
    with quiet():
        config = hls4ml.utils.config_from_onnx_model(
            model, granularity="name", backend=BACKEND, default_precision=f"fixed<{ACCUMULATOR_BITS},16>"
        )
        for tensor, fmt in zip(model.graph.input, input_formats(params, parts[0])):
            config["LayerName"][tensor.name]["Precision"]["result"] = hls4ml_type(fmt)
        for node in model.get_nodes_by_op_type("AveragePool"):
            config["LayerName"][node.name]["Precision"] = dict.fromkeys(
                ("result", "accum"), average_type(params, parts[-1])
            )
        for layer, node in zip(layers, multiplying_nodes(model), strict=True):
            factor = factors[layer.name]
            config["LayerName"][node.name]["ReuseFactor"] = factor
            config["LayerName"][node.name]["Strategy"] = "Latency" if factor == 1 else "Resource"
            if layer.timed:
                # Its bias is the second input; without this hls4ml allots it 32 bits and the accumulator with it.
                config["LayerName"][node.name]["Precision"]["bias"] = hls4ml_type(bias_format(params, parts[0]))
        result = hls4ml.converters.convert_from_onnx_model(
            model,
            hls_config=config,
            backend=BACKEND,
            io_type="io_stream",
            part=ZCU104.part,
            clock_period=1000 / ZCU104.clock(kernel.clock_mhz).mhz,
            output_dir=str(folder),
            project_name=name,
            write_weights_txt=False,
            namespace=namespace,
        )
    check_accumulators(params, layers, result)
    check_factors(layers, result, factors)
    for variable in result.output_vars.values():
        if "pragma" in vars(variable):
            # A chain needs no more than a slot between neighbours; hls4ml would allot a whole map.
            variable.pragma = ("stream", STREAM_DEPTH)
    return result


def multiplying_nodes(model: ModelWrapper) -> list[Any]:
    """The nodes of a graph that hold the weights of the section's layers, in their order."""
    return [node for node in model.graph.node if node.op_type in ("Conv", "MatMul")]


def check_factors(layers: list[Layer], model: Any, factors: Mapping[str, int]) -> None:
    """SpecError unless hls4ml took the reuse factors as given: it replaces those that it has no kernel for."""
    nodes = [node for node in model.get_layers() if node.class_name in MULTIPLYING_CLASSES]
    for layer, node in zip(layers, nodes, strict=True):
        if (taken := int(node.get_attr("reuse_factor"))) != factors[layer.name]:
            raise SpecError(
                f"{layer.name}: hls4ml took the reuse factor {taken}, but {factors[layer.name]} was asked for"
            )


def check_accumulators(params: Params, layers: list[Layer], model: Any) -> None:
    """SpecError unless the accumulators that hls4ml chose hold the bounds computed from the weights."""
    nodes = [node for node in model.get_layers() if node.class_name in MULTIPLYING_CLASSES]
    for layer, node in zip(layers, nodes, strict=True):
        chosen = node.get_attr("accum_t").precision
        frac_bits, bound = params.accumulator_frac_bits(layer), params.accumulator_bound(layer)
        needed = 1 + (bound - 1).bit_length() - frac_bits  # integer bits, sign included
        if chosen.fractional < frac_bits or chosen.integer < needed:
            raise SpecError(
                f"{layer.name}: hls4ml chose the accumulator {chosen}, but exact sums need {frac_bits} fraction and "
                f"{needed} integer bits"
            )


def average_type(params: Params, section: Section) -> str:
    """A type in which sum / count, cut off by C++ division, still rounds as the exact quotient does.

    A quotient that is no tie is at least 1 / (2 * count) LSB (of the finer format) away from one, so log2(count) + 2
    bits more than the finer format keep it on its side.
    """
    source, dest = params.formats[f"z{section.block + 1}"], params.formats["head.x"]
    count = math.prod(params.spec.network.map_size(section.block))
    frac_bits = max(source.frac_bits, dest.frac_bits) + math.ceil(math.log2(count)) + 2
    integer_bits = source.integer_bits + math.ceil(math.log2(count)) + 1
    return f"fixed<{frac_bits + integer_bits},{integer_bits}>"
