"""Compression of a trained float network: MUSCO (arXiv 1903.09973), and its start from a full-convolution one.

Ranks are chosen in rounds, each followed by fine-tuning. A round takes every dense layer of stem, f and down part of
the way to the rank that EVBMF finds in its weight, then lowers those ranks that hold least until the network has the
size asked for. Depthwise layers, a small part of the parameters, stay as they are. The result is a spec with
`low_rank` and its DsODENet: it is quantised, exported, lowered and verified like any other.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from torch import nn

from dsodenet.errors import InputError
from dsodenet.nets import Classifier, DsODENet, full_odenet
from dsodenet.spec import FACTOR, LowRank, Network, Spec, all_layers, parameters, sections
from dsodenet.training.factors import Matrix, evbmf_rank, low_rank, separable
from dsodenet.training.task import Training

WEAKENING = 0.8  # how far a round goes towards the rank of EVBMF

Ranks = dict[str, int]  # layer -> rank, for every layer of Network.rank_limits


def full_weight(model: DsODENet, name: str) -> Matrix:
    """The weight (out, in, kernel, kernel) of a layer, multiplied out where it is kept at low rank."""
    weight: Any = model.layer(name)
    second = weight.weight.detach().double().numpy()
    if name not in {item.layer for item in model.spec.network.low_rank}:
        return second
    factor: Any = model.layer(name + FACTOR)
    return np.tensordot(second[:, :, 0, 0], factor.weight.detach().double().numpy(), axes=1)


def options_of(network: Network) -> dict[str, list[int]]:
    """The ranks at which a layer has fewer weights than as a whole, ascending, then its full rank, of each layer."""
    plain = dataclasses.replace(network, low_rank=())
    result = {}
    for layer in all_layers(plain):
        if layer.name in plain.rank_limits():
            inputs, whole = int(np.prod(layer.weight_shape[1:])), int(np.prod(layer.weight_shape))
            most = plain.rank_limits()[layer.name]
            paying = [rank for rank in range(1, most) if rank * (inputs + layer.out_channels + 1) < whole]
            result[layer.name] = [*paying, most]
    return result


def with_ranks(spec: Spec, ranks: Ranks) -> Spec:
    """The spec with these layers at these ranks, those at full rank whole, and its normalisation folded."""
    network, limits = spec.network, spec.network.rank_limits()
    items = tuple(LowRank(name, rank) for name, rank in ranks.items() if rank < limits[name])
    time = "bias" if network.has_time_table else "none"
    return dataclasses.replace(spec, network=dataclasses.replace(network, norm="none", time=time, low_rank=items))


def size(spec: Spec, ranks: Ranks) -> int:
    return sum(parameters(with_ranks(spec, ranks)).values())


def check_size(spec: Spec, most_parameters: float) -> None:
    """InputError when no ranks make the network as small as `most_parameters`."""
    options = options_of(spec.network)
    smallest = size(spec, {name: choices[0] for name, choices in options.items()})
    if smallest > most_parameters:
        raise InputError(
            f"{spec.name} cannot be compressed to {most_parameters:.0f} parameters: "
            f"at rank 1 it still has {smallest} of its "
            f"{size(spec, {name: choices[-1] for name, choices in options.items()})}"
        )


def choose_ranks(model: DsODENet, most_parameters: float, weakening: float = WEAKENING) -> Ranks:
    """Ranks for one round; InputError when no ranks make the network as small as `most_parameters`.

    R = R0 - weakening * (R0 - R_EVBMF), where EVBMF finds a rank at all. Then, while the network is too large, the
    rank is lowered whose next step costs least for each parameter saved. The cost is the noise-to-signal ratio of its
    layer, lost by kept squared norm: the sum over layers is what reaches the logits to first order.
    """
    spec, options = model.spec, options_of(model.spec.network)
    check_size(spec, most_parameters)
    ranks, energy = {}, {}
    before = {item.layer: item.rank for item in spec.network.low_rank}
    for name, choices in options.items():
        weight = full_weight(model, name)
        matrix = weight.reshape(len(weight), -1)
        found, now = evbmf_rank(matrix), before.get(name, choices[-1])
        wanted = int(now - weakening * (now - found)) if 0 < found < now else now
        ranks[name] = max(choice for choice in choices if choice <= max(wanted, choices[0]))
        squares = np.linalg.svd(matrix, compute_uv=False) ** 2
        energy[name] = np.cumsum(squares) / squares.sum()  # the share that rank 1, 2, ... holds
    while size(spec, ranks) > most_parameters:
        ranks |= min(_steps_down(spec, ranks, options, energy), key=lambda step: step[0])[1]
    return ranks


def _steps_down(
    spec: Spec, ranks: Ranks, options: dict[str, list[int]], energy: dict[str, Matrix]
) -> list[tuple[float, Ranks]]:
    """(cost for each parameter saved, the change) of lowering each rank to the next one."""
    result, now = [], size(spec, ranks)
    for name, rank in ranks.items():
        lower = [choice for choice in options[name] if choice < rank]
        if lower:
            saved = now - size(spec, ranks | {name: lower[-1]})
            cost = 1 / energy[name][lower[-1] - 1] - 1 / energy[name][rank - 1]
            result.append((float(cost) / saved, {name: lower[-1]}))
    return result


@torch.no_grad()
def factorised(model: DsODENet, ranks: Ranks) -> DsODENet:
    """The network whose layers have these ranks, nearest to a float model; its spec says so."""
    source = model.folded()
    result = DsODENet(with_ranks(source.spec, ranks)).to(next(source.parameters()).dtype)
    state, old = result.state_dict(), {item.layer for item in source.spec.network.low_rank}
    state |= {
        key: value for key, value in source.state_dict().items() if key in state and value.shape == state[key].shape
    }
    result.load_state_dict(state)
    for name, rank in ranks.items():
        target: Any = result.layer(name)
        module: Any = source.layer(name)
        biases = _biases(result, name)
        biases.copy_(_biases(source, name))
        if name in old:
            first: Any = source.layer(name + FACTOR)
            biases.add_(module.weight[:, :, 0, 0] @ first.bias)
        weight = full_weight(source, name)
        if rank < source.spec.network.rank_limits()[name]:
            reduced, weight = low_rank(weight, rank)
            narrow: Any = result.layer(name + FACTOR)
            narrow.weight.copy_(torch.from_numpy(reduced))
            narrow.bias.zero_()
        target.weight.copy_(torch.from_numpy(weight))
    return result


def _biases(model: DsODENet, name: str) -> torch.Tensor:
    """The bias of a layer, (out,), or its time table, (knots, out)."""
    module: Any = model.layer(name)
    if module.bias is not None:
        return module.bias
    table = model.blocks()[int(name[1]) - 1].table
    assert table is not None
    return table.knots


@torch.no_grad()
def separated(full: Classifier, spec: Spec) -> DsODENet:
    """A DsODENet that starts from a trained full-convolution ODENet of the same skeleton (full_odenet): each
    convolution becomes the nearest depthwise-pointwise pair. The spec must have norm none and no low_rank; a time
    table starts at the biases."""
    result = DsODENet(spec)
    for section in sections(spec.network):
        if section.kind == "head":
            continue
        source: Any = full.body.get_submodule(section.name)
        convolutions = (source.conv1, source.conv2) if section.kind == "f" else (source,)
        for (dw, pw), conv in zip(section.passes, convolutions):
            target: Any = result.layer(pw.name)
            weight = conv.weight.detach().double().cpu().numpy()
            if dw is not None:
                front: Any = result.layer(dw.name)
                depthwise, weight = separable(weight)
                front.weight.copy_(torch.from_numpy(depthwise))
                front.bias.zero_()
            target.weight.copy_(torch.from_numpy(weight))
            biases = _biases(result, pw.name)
            biases.copy_(conv.bias.expand_as(biases))
    result.classifier.load_state_dict(full.classifier.state_dict())
    return result


# ---- for recipes


def compressed(training: Training, ratio: float) -> nn.Module:
    """The last float network at 1 / ratio of the parameters of the spec."""
    model = training.float_model
    assert model is not None
    return factorised(model, choose_ranks(model.folded(), sum(parameters(training.spec).values()) / ratio))


def full_network(training: Training) -> nn.Module:
    return full_odenet(training.spec)


def separated_network(training: Training, full: str) -> nn.Module:
    """What is nearest to the network of an earlier stage."""
    source = copy.deepcopy(training.models[full])
    assert isinstance(source, Classifier)
    return separated(source, training.spec)
