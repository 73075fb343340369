"""Four ways to the gradient of an ODE block, from the same forward solve.

They trade memory, time and error against each other.

    backprop    through every operation of the discrete solve: its exact gradient; memory grows with the evaluations
    of f
    checkpoint  the same gradient, each step recomputed in the backward pass (ANODE, arXiv 1902.10298)
    adjoint     a second equation for the gradient, integrated backwards together with z (arXiv 1806.07366; torchdiffeq)
    irdm        the same equation, z(t) interpolated between Chebyshev nodes kept by the forward solve (arXiv
    2003.05271)

The last two discretise the gradient of the continuous solution, which is not the gradient of the discrete one: the
two differ by the order of the solver. `dsodenet study gradients` shows by how much.
"""

from __future__ import annotations

import itertools
import math
import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dsodenet.errors import InputError
from dsodenet.nets import DsODENet, Gradient
from dsodenet.spec import Problem, Spec, odeint, tableau

IRDM_NODES = 16
TORCHDIFFEQ_METHODS = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4_38": "rk4"}
STATELESS_NORMS = ("none", "weight", "layer")  # the others change when f is evaluated once more


def backprop(problem: Problem, z0: Tensor) -> Tensor:
    """The exact gradient of the discrete solve."""
    return problem.solve(z0)


def checkpointed(problem: Problem, z0: Tensor) -> Tensor:
    """The exact gradient of the discrete solve; keeps the state before each step, and what one step needs."""
    dt, z = (problem.t1 - problem.t0) / problem.n_steps, z0
    for step in range(problem.n_steps):
        start = problem.t0 + step * dt
        solve = partial(odeint, problem.f, method=problem.method, n_steps=1, t0=start, t1=start + dt)
        z = checkpoint(solve, z, use_reentrant=False, preserve_rng_state=False)
    return z


def adjoint(problem: Problem, z0: Tensor) -> Tensor:
    """The adjoint method of torchdiffeq on the same fixed grid; keeps z(t1) only."""
    from torchdiffeq import odeint_adjoint

    def grid(f: Any, z: Tensor, times: Tensor) -> Tensor:
        return torch.linspace(
            float(times[0]), float(times[-1]), problem.n_steps + 1, dtype=times.dtype, device=times.device
        )

    return odeint_adjoint(
        lambda t, z: problem.f(float(t.detach()), z),
        z0,
        torch.tensor([problem.t0, problem.t1], dtype=torch.float64, device=z0.device),
        method=TORCHDIFFEQ_METHODS[problem.method],
        options={"grid_constructor": grid},
        adjoint_params=problem.parameters,
    )[-1]


def irdm(problem: Problem, z0: Tensor, nodes: int = IRDM_NODES) -> Tensor:
    """Interpolated reverse dynamic method; keeps z at `nodes` Chebyshev nodes."""
    return _Irdm.apply(problem, nodes, z0, *problem.parameters)


class _Irdm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: Problem, nodes: int, z0: Tensor, *parameters: Tensor) -> Tensor:
        ctx.problem, ctx.times = problem, chebyshev_nodes(nodes, problem.t0, problem.t1)
        z1, states = solve_with_states(problem, z0, ctx.times)
        ctx.save_for_backward(torch.stack(states), *parameters)
        return z1

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """a' = -a df/dz and g' = -a df/dparameters from t1 to t0 (eq. 3 of the paper).

        At t1, a is the gradient of z(t1) and g is 0.
        """
        problem: Problem = ctx.problem
        states, *parameters = ctx.saved_tensors
        shapes = [states.shape[1:], *(p.shape for p in parameters)]
        sizes = [shape.numel() for shape in shapes]

        def f(t: float, joined: Tensor) -> Tensor:
            a = joined[: sizes[0]].view(shapes[0])
            with torch.enable_grad():
                z = interpolate(states, ctx.times, t).requires_grad_()
                slope = problem.f(t, z)
            parts = torch.autograd.grad(slope, (z, *parameters), a, allow_unused=True, materialize_grads=True)
            return -torch.cat([part.reshape(-1) for part in parts])

        start = torch.cat([gradients[0].reshape(-1), gradients[0].new_zeros(sum(sizes[1:]))])
        result = odeint(f, start, problem.method, problem.n_steps, problem.t1, problem.t0)
        return None, None, *(part.view(shape) for part, shape in zip(result.split(sizes), shapes))


def solve_with_states(problem: Problem, z0: Tensor, times: list[float]) -> tuple[Tensor, list[Tensor]]:
    """(z(t1), z at each of `times`, in ascending order): the fixed steps of the problem, each read by its cubic
    Hermite interpolant.

    The interpolant takes the first slope of each step, which every explicit method computes, and one more evaluation
    of f at t1.
    """
    stages, evaluations = tableau(problem.method).num_stages, itertools.count()
    before: list[tuple[float, Tensor, Tensor]] = []
    states: list[Tensor] = []

    def reach(t: float, z: Tensor, slope: Tensor) -> None:
        while before and len(states) < len(times) and times[len(states)] <= t:
            states.append(_hermite(before[0], (t, z, slope), times[len(states)]))
        before[:] = [(t, z, slope)]

    def f(t: float, z: Tensor) -> Tensor:
        slope = problem.f(t, z)
        if next(evaluations) % stages == 0:
            reach(t, z, slope)
        return slope

    z1 = odeint(f, z0, problem.method, problem.n_steps, problem.t0, problem.t1)
    reach(problem.t1, z1, problem.f(problem.t1, z1))
    return z1, states


def _hermite(left: tuple[float, Tensor, Tensor], right: tuple[float, Tensor, Tensor], t: float) -> Tensor:
    """The cubic with the values and slopes of (t, z, dz/dt) at both ends."""
    (t0, z0, k0), (t1, z1, k1) = left, right
    dt = t1 - t0
    s = (t - t0) / dt
    return (1 + 2 * s) * (1 - s) ** 2 * z0 + s**2 * (3 - 2 * s) * z1 + dt * s * (1 - s) * ((1 - s) * k0 - s * k1)


def chebyshev_nodes(count: int, t0: float, t1: float) -> list[float]:
    """Chebyshev nodes of the second kind, ascending from t0 to t1."""
    inner = [(t0 + t1) / 2 - (t1 - t0) / 2 * math.cos(math.pi * j / (count - 1)) for j in range(1, count - 1)]
    return [t0, *inner, t1]


def interpolate(states: Tensor, times: list[float], t: float) -> Tensor:
    """The polynomial through states (nodes, ...) at Chebyshev nodes of the second kind, at t.

    Barycentric formula (Berrut, Trefethen, SIAM Review 46(3), 2004) with the weights of these nodes, (-1)**j, halved
    at the ends: the weights of the first kind would cost six digits.
    """
    if t in times:
        return states[times.index(t)].clone()
    last = len(times) - 1
    terms = [(-1) ** j * (0.5 if j in (0, last) else 1.0) / (t - node) for j, node in enumerate(times)]
    weights = torch.tensor([term / math.fsum(terms) for term in terms], dtype=states.dtype, device=states.device)
    return torch.tensordot(weights, states, dims=1)


GRADIENTS: dict[str, Gradient] = {"backprop": backprop, "checkpoint": checkpointed, "adjoint": adjoint, "irdm": irdm}


def check_gradient(name: str, spec: Spec) -> None:
    """InputError unless a float model of `spec` can be trained by this gradient."""
    if name not in GRADIENTS:
        raise InputError(f"gradient is {name!r}, but it must be one of {', '.join(GRADIENTS)}")
    norm, method = spec.network.norm, spec.solver.method
    if name != "backprop" and norm not in STATELESS_NORMS:
        raise InputError(
            f"gradient {name} evaluates f once more in the backward pass, which network.norm {norm} would count twice; "
            f"use gradient backprop, or norm {', '.join(STATELESS_NORMS)}"
        )
    if name == "adjoint" and method not in TORCHDIFFEQ_METHODS:
        raise InputError(
            f"gradient adjoint knows the solvers {', '.join(TORCHDIFFEQ_METHODS)}, but the spec's is {method}"
        )


def use_gradient(model: DsODENet, name: str, nodes: int = IRDM_NODES) -> None:
    """Let the ODE blocks of a float model compute their gradients this way in training mode. nodes: of irdm."""
    check_gradient(name, model.spec)
    steps = min(model.spec.solver.n_steps)
    if name == "irdm" and nodes >= steps:
        warnings.warn(
            f"gradient irdm keeps {nodes} states of a solve of {steps} steps: checkpoint keeps {steps}, and is exact",
            stacklevel=2,
        )
    known = GRADIENTS | {"irdm": partial(irdm, nodes=nodes)}
    for block in model.blocks():
        block.gradient = None if name == "backprop" else known[name]
