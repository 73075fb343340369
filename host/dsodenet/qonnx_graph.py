"""QONNX pieces -> one graph: the network with its solver loop unrolled, or with one OdeBlock node per ODE block."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import ModelProto, TensorProto, helper, numpy_helper

from dsodenet.errors import RunError
from dsodenet.runs import Run, read_manifest, write_manifest
from dsodenet.spec import PIXEL_BITS, Format, Params, Section, integrate, sections

OPSET = 17
QUANT_DOMAIN, ODE_DOMAIN = "qonnx.custom_op.general", "dsodenet"
QUANT_ROUNDING = {"RND_CONV": "ROUND", "TRN": "FLOOR"}


class Joiner:
    """A graph under construction.

    Tensors are named by whoever adds them; constants are shared by value of their name.
    """

    def __init__(self, image_name: str, image_shape: Iterable[int]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self.fixed: set[str] = set()  # names that do not depend on the image
        self.value_info: list[onnx.ValueInfoProto] = []
        self.inputs = [helper.make_tensor_value_info(image_name, TensorProto.FLOAT, list(image_shape))]

    def constant(self, name: str, value: ArrayLike) -> str:
        self.initializers[name] = numpy_helper.from_array(np.asarray(value, np.float32), name)
        self.fixed.add(name)
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{output}_node", domain=domain, **attributes))
        return output

    def quant(self, value: str, fmt: Format, output: str) -> str:
        """Round and saturate to a format."""
        constants = [("scale", fmt.scale), ("zero", 0.0), ("bits", float(fmt.bits))]
        parts = [self.constant(f"{name}.{number:g}", number) for name, number in constants]
        rounding = QUANT_ROUNDING[fmt.rounding]
        return self.node(
            "Quant", [value, *parts], output, QUANT_DOMAIN, signed=int(fmt.signed), narrow=0, rounding_mode=rounding
        )

    def splice(self, piece: ModelProto, inputs: list[str], section: str, instance: str) -> str:
        """Copy a piece in, fed by `inputs`.

        Returns its output. What does not depend on its inputs is copied once per section.
        """
        graph = piece.graph
        constants = {tensor.name: tensor for tensor in graph.initializer}
        names = {tensor.name: f"{section}_{tensor.name}" for tensor in graph.initializer}
        names |= dict(zip((t.name for t in graph.input if t.name not in constants), inputs, strict=True))
        for name, tensor in constants.items():
            self.initializers[names[name]] = copy = TensorProto()
            copy.CopyFrom(tensor)
            copy.name = names[name]
            self.fixed.add(names[name])
        for node in graph.node:
            fixed = all(names[name] in self.fixed for name in node.input)
            prefix = section if fixed else instance
            names |= {name: f"{prefix}_{name}" for name in node.output}
            if fixed and names[node.output[0]] in self.fixed:
                continue
            self.fixed |= {names[name] for name in node.output} if fixed else set()
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{prefix}_{node.name}"
            del copy.input[:], copy.output[:]
            copy.input.extend(names[name] for name in node.input)
            copy.output.extend(names[name] for name in node.output)
            self.nodes.append(copy)
        return names[graph.output[0].name]

    def model(self, output: str, shape: Iterable[int]) -> ModelProto:
        result = [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(shape))]
        inner = [info for info in self.value_info if info.name != output]
        graph = helper.make_graph(
            self.nodes, "dsodenet", self.inputs, result, list(self.initializers.values()), value_info=inner
        )
        opsets = [
            helper.make_opsetid("", OPSET),
            helper.make_opsetid(QUANT_DOMAIN, 1),
            helper.make_opsetid(ODE_DOMAIN, 1),
        ]
        return helper.make_model(graph, opset_imports=opsets, producer_name="dsodenet", ir_version=8)


def seal_pieces(params: Params, folder: Path) -> None:
    """Write what `check_pieces` checks: the model's fingerprint and the hash of each piece."""
    hashes = {path.name: _hash(path) for path in sorted(folder.glob("*.onnx"))}
    write_manifest(folder, {"fingerprint": params.model_fingerprint, "sha256": hashes})


def check_pieces(params: Params, run: Path) -> Path:
    """The run's folder of pieces; RunError unless each piece is there, unedited, and of this model."""
    folder, again = Run(run).pieces, f"dsodenet export {run}"
    hashes = read_manifest(folder, params.model_fingerprint, "complete QONNX export", again).get("sha256")
    for section in sections(params.spec.network):
        path = folder / f"{section.name}.onnx"
        if not isinstance(hashes, dict) or not path.is_file() or hashes.get(path.name) != _hash(path):
            raise RunError(f"{path}: is missing or was edited; run `{again}`")
    return folder


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_pieces(params: Params, folder: Path) -> dict[str, ModelProto]:
    return {section.name: onnx.load(folder / f"{section.name}.onnx") for section in sections(params.spec.network)}


def unrolled(params: Params, pieces: dict[str, ModelProto]) -> ModelProto:
    """float images in [0, 1] (1, channels, height, width) -> logits (1, num_classes).

    Every evaluation of f has its own nodes.

    Executors of QONNX compute in float32: a weighted sum of slopes that needs more than 24 bits can round differently
    there, by one LSB of the state. The integers of `reference` are the truth.
    """
    network = params.spec.network
    graph = Joiner("image", (1, *network.image_shape))
    levels = (1 << PIXEL_BITS) - 1
    rounded = graph.node(
        "Round", [graph.node("Mul", ["image", graph.constant("levels", levels)], "levels.scaled")], "levels.rounded"
    )
    z = graph.node("Mul", [rounded, graph.constant("pixel.lsb", 2.0**-PIXEL_BITS)], "pixels")
    for section in sections(network):
        if section.kind == "f":
            z = _unroll_block(graph, params, section, pieces[section.name], z)
        else:
            z = graph.splice(pieces[section.name], [z], section.name, section.name)
    return graph.model(z, (1, network.num_classes))


def _unroll_block(graph: Joiner, params: Params, section: Section, piece: ModelProto, z: str) -> str:
    """Add every evaluation of one ODE block; returns the name of the final state."""
    name, spec = section.name, params.spec
    state, biased = params.formats[f"z{section.block + 1}"], section.biased
    biases = params.bias_table(spec, section) * 2.0 ** -params.accumulator_frac_bits(biased)
    numbers = itertools.count()

    def slope(z: str, evaluation: int) -> str:
        inputs = [z]
        if biased.timed:
            inputs.append(graph.constant(f"{name}.bias.{evaluation}", biases[evaluation][None, :, None, None]))
        return graph.splice(piece, inputs, name, f"{name}_{evaluation}")

    def combine(z: str, row: Sequence[int], slopes: list[str]) -> str:
        total = z
        for coefficient, k in zip(row, slopes):
            if coefficient:
                number = next(numbers)
                factor = graph.constant(
                    f"{name}.coefficient.{coefficient}", coefficient * spec.quantisation.coeff.scale
                )
                total = graph.node(
                    "Add", [total, graph.node("Mul", [k, factor], f"{name}.product.{number}")], f"{name}.sum.{number}"
                )
        return z if total == z else graph.quant(total, state, f"{name}.state.{next(numbers)}")

    return integrate(slope, z, spec.coefficients(section.block), spec.solver.n_steps[section.block], combine)


def with_ode_nodes(params: Params, pieces: dict[str, ModelProto]) -> ModelProto:
    """Channels-last pieces -> one channels-last graph in which each ODE block is a single node of domain `dsodenet`.

    The node's attribute `section` names its f, `state` is the format of its input and output, (1, height, width,
    channels).
    """
    network = params.spec.network
    graph = Joiner("image", (1, network.height, network.width, network.in_channels))
    z = "image"
    for section in sections(network):
        if section.kind == "f":
            height, width = network.map_size(section.block)
            state = json.dumps(params.formats[f"z{section.block + 1}"].to_json())
            z = graph.node("OdeBlock", [z], f"{section.name}_ode", ODE_DOMAIN, section=section.name, state=state)
            shape = [1, height, width, network.channels[section.block]]
            graph.value_info.append(helper.make_tensor_value_info(z, TensorProto.FLOAT, shape))
        else:
            piece = pieces[section.name]
            start = len(graph.nodes)
            z = graph.splice(piece, [z], section.name, section.name)
            known = {info.name: info for info in (*piece.graph.value_info, *piece.graph.output)}
            for old in known.values():
                copy = onnx.ValueInfoProto()
                copy.CopyFrom(old)
                copy.name = f"{section.name}_{old.name}"
                if any(copy.name in node.output for node in graph.nodes[start:]):
                    graph.value_info.append(copy)
    return graph.model(z, (1, network.num_classes))
