"""The ODE block as a layer of hls4ml (Extension API), so that one conversion lowers a whole dsODENet.

The layer's body is the written time loop of hls/ode_block.h around an f that hls4ml generated as a project of its
own; f's sources are gathered into one header. hls4ml's network function has no run-time arguments beyond its streams,
so solver, steps and bias table are constants of the conversion; the kernel of `lower` is the one whose solver can
change.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import hls4ml
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.converters.onnx_to_hls import get_onnx_attribute, register_onnx_layer_handler
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer, register_layer
from hls4ml.model.types import FixedPrecisionType, RoundingMode, SaturationMode
from qonnx.core.modelwrapper import ModelWrapper

from dsodenet.contract import coefficient_words, cpp_header
from dsodenet.files import source_folder
from dsodenet.hls import graph as hls4ml_graph
from dsodenet.hls.graph import BACKEND, quiet
from dsodenet.hls.kernel import A_WORDS, block_types
from dsodenet.hls.plan_search import best_plan
from dsodenet.hls.reuse import Plan
from dsodenet.qonnx_graph import with_ode_nodes
from dsodenet.spec import Format, Params, Section, sections, tableau


class OdeBlockLayer(Layer):
    """State map to state map, (height, width, channels); `section` names the f inside."""

    _expected_attributes: ClassVar = [Attribute("section", value_type=str), Attribute("state", value_type=str)]

    def initialize(self) -> None:
        fmt = Format(**json.loads(self.attributes["state"]))
        rounding, overflow = RoundingMode.from_string(fmt.rounding), SaturationMode.from_string(fmt.overflow)
        precision = FixedPrecisionType(fmt.bits, fmt.integer_bits, fmt.signed, rounding, overflow)
        self.add_output_variable(self.get_input_variable().shape, precision=precision)


class OdeBlockConfig(LayerConfigTemplate):
    def __init__(self) -> None:
        super().__init__(OdeBlockLayer)

    def format(self, node: Any) -> str:
        return f"// {node.name}: types and coefficients are in {_header_name(node.get_attr('section'))}"


class OdeBlockCall(FunctionCallTemplate):
    def __init__(self) -> None:
        super().__init__(OdeBlockLayer)

    def transform(self, model: Any, node: Any) -> bool:
        changed = super().transform(model, node)
        node.set_attr("include_header", [f"nnet_utils/{_header_name(node.get_attr('section'))}"])
        return changed

    def format(self, node: Any) -> str:
        params = self._default_function_params(node)
        return f"dsodenet::run_{node.get_attr('section')}({params['input']}, {params['output']});"


def _header_name(section: str) -> str:
    return f"dsodenet_{section}.h"


def _parse(node: Any, input_names: list[str], input_shapes: list[Any], graph: Any) -> dict[str, Any]:
    return {
        "name": node.name,
        "class_name": "OdeBlockLayer",
        "inputs": input_names,
        "outputs": list(node.output),
        "section": get_onnx_attribute(node, "section"),
        "state": get_onnx_attribute(node, "state"),
    }


@cache
def register() -> None:
    """Enter the layer into hls4ml, once per process."""
    register_onnx_layer_handler("OdeBlock", _parse)
    register_layer("OdeBlockLayer", OdeBlockLayer)
    backend = hls4ml.backends.get_backend(BACKEND)
    backend.register_template(OdeBlockConfig)
    backend.register_template(OdeBlockCall)


def convert_network(params: Params, qonnx: Path, folder: Path) -> Any:
    """Lower the whole network with hls4ml in one call.

    Returns its ModelGraph, written under `folder`, ready to compile().

    qonnx: the run's folder of pieces. predict() of the result takes float32 pixels * 2**-8, (batch, height, width,
    channels).
    """
    register()
    parts, plan = sections(params.spec.network), best_plan(params.spec)
    with quiet():
        pieces = {part.name: hls4ml_graph.streaming_graph(qonnx / f"{part.name}.onnx") for part in parts}
    sources = folder / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    backend = hls4ml.backends.get_backend(BACKEND)
    written = source_folder("hls")
    (sources / "contract.h").write_text(cpp_header(), encoding="utf-8")
    (sources / "ode_block.h").write_text((written / "ode_block.h").read_text(encoding="utf-8"), encoding="utf-8")
    for part in parts:
        if part.kind == "f":
            header = sources / _header_name(part.name)
            header.write_text(
                _block_header(params, part, pieces[part.name], folder / part.name, plan), encoding="utf-8"
            )
    for header in sources.iterdir():
        backend.register_source(header.resolve())
    network = with_ode_nodes(params, {name: model.model for name, model in pieces.items()})
    rest = [part for part in parts if part.kind != "f"]
    model = hls4ml_graph.convert(params, rest, ModelWrapper(network), folder / "network", "network", plan.factors)
    with quiet():
        model.write()
    return model


def _block_header(params: Params, part: Section, model: Any, folder: Path, plan: Plan) -> str:
    """One header with f's sources, the block's types, its constants and `run_<section>`."""
    with quiet():
        hls4ml_graph.project(params, part, model, folder, plan.factors).write()
    name, spec = f"block{part.block + 1}", params.spec
    words = coefficient_words(tableau(spec.solver.method), spec.coefficients(part.block))
    table = params.bias_table(spec, part) if part.biased.timed else params.bias_table(spec, part)[:1] * 0
    rows = ", ".join(str(value) for value in table.flatten())
    num_stages = tableau(spec.solver.method).num_stages
    arguments = f"{spec.solver.n_steps[part.block] * num_stages}, {num_stages}"
    return f"""// Generated by dsodenet: ODE block {part.block + 1} of model {spec.name} as a layer of hls4ml.
#pragma once
#include "ode_block.h"
{_gather(folder / "firmware", f"{part.name}.cpp")}
namespace dsodenet {{
{block_types(params, part, plan)}
static void run_{part.name}(hls::stream<{name}::pack_t> &in, hls::stream<{name}::pack_t> &out) {{
    const int a[] = {{{", ".join(map(str, words[:A_WORDS]))}}}, b[] = {{{", ".join(map(str, words[A_WORDS:]))}}};
    static const int raw[] = {{{rows}}};
    {name}::bias_t table[{table.size}];
Table:
    for (unsigned i = 0; i < {table.size}; i++)
        table[i].range({name}::bias_t::width - 1, 0) = raw[i];
    ode_block<{name}>::solve(in, out, {arguments}, a, b, table);
}}
}} // namespace dsodenet
"""


def _gather(firmware: Path, name: str) -> str:
    """A source file with its own headers in place of their includes; hls4ml's shared headers stay includes."""
    seen: set[str] = set()

    def text(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        body = (firmware / name).read_text(encoding="utf-8")
        body = re.sub(r"#ifndef (\w+_H_)\n#define \1\n", "", body)
        body = re.sub(r"\n#endif\s*$", "\n", body)
        body = re.sub(r".*#pragma HLS INTERFACE.*\n", "", body)  # of a top function; here it is called
        own = re.sub(
            r'#include "((?:weights/)?\w+\.h)"', lambda m: text(m[1]) if (firmware / m[1]).exists() else m[0], body
        )
        return own.replace('#include "nnet_utils/', '#include "')

    return text(name)
