"""Error, memory, time and evaluations of f of the four gradients of an ODE block (training/gradients.py).

All figures are measured here. The errors are relative 2-norms over the gradients of the initial state and of every
parameter, in float64. Memory is the peak of what torch's allocator handed out during forward and backward.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile

from dsodenet.bench.machine import origin
from dsodenet.command import Values
from dsodenet.errors import InputError
from dsodenet.nets import DsODENet, Gradient
from dsodenet.runs import check_output
from dsodenet.spec import Problem, Spec
from dsodenet.text import paragraph, table
from dsodenet.training import GRADIENTS, TORCHDIFFEQ_METHODS, backprop, checkpointed

ACTIVATIONS = {"relu": nn.ReLU, "softplus": nn.Softplus}
# The continuous solution: its own error is far below those of up to 64 steps.
FINE: dict[str, Any] = {"method": "rk4", "n_steps": 512}
NOTES = (
    "err. discrete: against exact backpropagation through the same steps, which is what training descends.",
    "err. contin.: against the gradient of the equation's own solution, by a fine solve.",
    "With ReLU in f no method comes near the other truth: df/dz jumps wherever an activation passes zero, and a "
    "solver's order is lost there. Softplus makes f smooth and shows the methods as their papers do.",
)


def block_problem(spec: Spec, activation: str, batch: int, seed: int) -> tuple[Problem, Tensor]:
    """The first ODE block of a new float64 model with this activation in f, and a random state of its shape."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        block = DsODENet(spec).double().blocks()[0]
        block.f.p = ACTIVATIONS[activation]()
        return block.problem(spec), torch.randn(
            batch, spec.network.channels[0], *spec.network.map_size(0), dtype=torch.float64
        )


def gradient_of(gradient: Gradient, problem: Problem, z0: Tensor) -> Tensor:
    """The gradient of sum(z(t1) * c) for a fixed random c, by the state and all parameters, as one vector."""
    z = z0.clone().requires_grad_()
    weight = torch.randn(z0.shape, dtype=z0.dtype, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((gradient(problem, z) * weight).sum(), (z, *problem.parameters))
    return torch.cat([part.reshape(-1) for part in gradients])


def peak_bytes(gradient: Gradient, problem: Problem, z0: Tensor) -> int:
    """The most bytes that torch held at once, beyond those before the call: an exact count of its CPU allocator."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler tells of its own start and stop
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        gradient_of(gradient, problem, z0)
    results: Any = profiler.profiler
    changes = sorted(_allocations(results.kineto_results.experimental_event_tree()))
    held = peak = 0
    for _, size in changes:
        held += size
        peak = max(peak, held)
    return peak


def _allocations(events: list[Any]) -> Iterator[tuple[int, int]]:
    """(time, bytes; less than 0 where they are freed) of each event of a profile."""
    for event in events:
        if event.tag == _EventType.Allocation:
            yield event.start_time_ns, event.extra_fields.alloc_size
        yield from _allocations(event.children)


def evaluations(gradient: Gradient, problem: Problem, z0: Tensor) -> tuple[int, int]:
    """(evaluations of f in the forward pass, in the backward pass)."""
    count = 0

    def f(t: float, z: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return problem.f(t, z)

    z1 = gradient(dataclasses.replace(problem, f=f), z0.clone().requires_grad_())
    forward, count = count, 0
    z1.sum().backward(inputs=list(problem.parameters))
    for parameter in problem.parameters:
        parameter.grad = None
    return forward, count


def seconds(gradient: Gradient, problem: Problem, z0: Tensor, repeats: int) -> float:
    """The shortest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        gradient_of(gradient, problem, z0)
        times.append(time.perf_counter() - start)
    return min(times)


def measure(
    spec: Spec, activations: tuple[str, ...], steps: tuple[int, ...], batch: int, repeats: int
) -> list[dict[str, Any]]:
    """One row per activation, n_steps and gradient that knows the spec's solver."""
    rows = []
    for activation in activations:
        problem, z0 = block_problem(spec, activation, batch, 0)
        continuous = gradient_of(checkpointed, dataclasses.replace(problem, **FINE), z0)
        for n_steps in steps:
            problem = dataclasses.replace(problem, n_steps=n_steps)
            discrete = gradient_of(backprop, problem, z0)
            for name, gradient in GRADIENTS.items():
                if name == "adjoint" and problem.method not in TORCHDIFFEQ_METHODS:
                    continue
                found = gradient_of(gradient, problem, z0)
                forward, backward = evaluations(gradient, problem, z0)
                rows.append(
                    {
                        "activation": activation,
                        "n_steps": n_steps,
                        "gradient": name,
                        "error_discrete": float((found - discrete).norm() / discrete.norm()),
                        "error_continuous": float((found - continuous).norm() / continuous.norm()),
                        "peak_mib": peak_bytes(gradient, problem, z0) / 2**20,
                        "ms": 1e3 * seconds(gradient, problem, z0, repeats),
                        "f_forward": forward,
                        "f_backward": backward,
                    }
                )
    return rows


def text(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    formats = {"error_discrete": ".1e", "error_continuous": ".1e", "peak_mib": ".1f", "ms": ".1f"}
    header = ("f", "N", "gradient", "err. discrete", "err. contin.", "peak MiB", "ms", "f fwd", "f bwd")
    rows = [[format(value, formats.get(key, "")) for key, value in row.items()] for row in result["rows"]]
    ran = f"{result['cpu']}, {result['torch_threads']} threads, torch {result['versions']['torch']}, float64"
    what = f"ODE block 1 of {result['spec']}, {result['solver']}, batch {result['batch']}; errors are relative"
    return "\n".join((f"measured on {ran}", what, table(header, rows), "", *map(paragraph, NOTES)))


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study gradients`."""
    activations = tuple(args.activation.split(","))
    if unknown := sorted(set(activations) - set(ACTIVATIONS)):
        raise InputError(f"activation is {', '.join(unknown)}, but it must be some of {', '.join(ACTIVATIONS)}")
    if not all(word.isdecimal() and int(word) for word in args.n_steps.split(",")):
        raise InputError(f"n-steps is {args.n_steps!r}, but it must be numbers such as 4,32")
    steps = tuple(map(int, args.n_steps.split(",")))
    if args.batch < 1 or args.repeats < 1:
        raise InputError(f"batch is {args.batch} and repeats {args.repeats}, but both must be 1 or more")
    if args.plot:
        check_output(args.plot, ".png")
    spec = Spec.load(args.spec).with_solver(args.solver)
    kinds = {"errors, peak_mib, ms": "measured", "f_forward, f_backward": "counted"}
    result = origin("dsodenet study gradients", kinds, "torch", "torchdiffeq") | {
        "torch_threads": torch.get_num_threads(),
        "spec": spec.name,
        "solver": spec.solver.method,
        "batch": args.batch,
        "repeats": args.repeats,
        "rows": measure(spec, activations, steps, args.batch, args.repeats),
    }
    if args.plot:
        from dsodenet.plots import gradients_figure, save

        save(gradients_figure(result), args.plot)
    return Values(result, text)
