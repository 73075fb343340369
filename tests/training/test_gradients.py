"""Gradients of an ODE block: exact where they claim to be, else of the solver's order."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
import scipy.interpolate
import torch
import torchdiffeq
from torch import nn

from dsodenet.bench.studies import gradient_study as bench
from dsodenet.errors import InputError
from dsodenet.nets.network import DsODENet
from dsodenet.spec.solvers import Problem, tableau
from dsodenet.spec.synthetic import random_images
from dsodenet.training.gradients import (
    GRADIENTS,
    TORCHDIFFEQ_METHODS,
    chebyshev_nodes,
    check_gradient,
    interpolate,
    irdm,
    solve_with_states,
    use_gradient,
)
from tests.command_line import call


def relative(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def problem(make_spec):
    """A block with softplus in f, so that orders of convergence show, and time in its bias."""
    spec = make_spec(
        method="rk4_38", n_steps=8, channels=(4,), height=6, width=5, time="none", solver={"t0": 0.5, "t1": 2.0}
    )
    return bench.block_problem(spec, "softplus", 2, 3)


def decay(rate: float = -0.7) -> tuple[Problem, torch.Tensor]:
    """dz/dt = rate * cos(t) * z: z(t1) = z0 * exp(rate * (sin t1 - sin t0)), with known gradients."""
    parameter = torch.tensor([rate], dtype=torch.float64, requires_grad=True)
    return Problem(lambda t, z: parameter * math.cos(t) * z, (parameter,), "rk4_38", 64, 0.25, 2.0), parameter


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_gradient_is_that_of_the_exact_solution(name):
    problem, rate = decay()
    z0 = torch.tensor([1.5, -0.5], dtype=torch.float64, requires_grad=True)
    z1 = GRADIENTS[name](problem, z0)
    area = math.sin(2.0) - math.sin(0.25)
    growth = math.exp(-0.7 * area)
    assert torch.allclose(z1, growth * z0, rtol=1e-8)
    by_state, by_rate = torch.autograd.grad(z1.sum(), (z0, rate))
    assert torch.allclose(by_state, torch.full((2,), growth, dtype=torch.float64), rtol=1e-8)
    assert by_rate.item() == pytest.approx(area * growth * 1.0, rel=1e-8)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk3", "rk4"])
def test_checkpointing_is_exact(problem, method):
    case = dataclasses.replace(problem[0], method=method, n_steps=3)
    exact, found = (bench.gradient_of(GRADIENTS[name], case, problem[1]) for name in ("backprop", "checkpoint"))
    assert relative(found, exact) < 1e-14


@pytest.mark.parametrize("name", ["adjoint", "irdm"])
@pytest.mark.parametrize("method", TORCHDIFFEQ_METHODS)
def test_the_continuous_gradient_nears_the_discrete_one_by_the_order_of_the_solver(problem, name, method):
    errors = []
    for n_steps in (4, 8):
        case = dataclasses.replace(problem[0], method=method, n_steps=n_steps)
        exact = bench.gradient_of(GRADIENTS["backprop"], case, problem[1])
        errors.append(relative(bench.gradient_of(GRADIENTS[name], case, problem[1]), exact))
    assert math.log2(errors[0] / errors[1]) > tableau(method).order - 0.4


def test_irdm_at_sixteen_nodes_and_rk4_is_exact_to_a_millionth_on_a_smooth_f(problem):
    for method in ("rk4", "rk4_38"):
        case = dataclasses.replace(problem[0], method=method, n_steps=32)
        exact, found = (bench.gradient_of(GRADIENTS[name], case, problem[1]) for name in ("backprop", "irdm"))
        assert relative(found, exact) < 1e-6


def test_more_nodes_help_until_the_solver_limits(problem):
    case = dataclasses.replace(problem[0], method="rk4", n_steps=32)
    exact = bench.gradient_of(GRADIENTS["backprop"], case, problem[1])
    errors = [relative(bench.gradient_of(lambda p, z, n=n: irdm(p, z, n), case, problem[1]), exact) for n in (2, 4, 8)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


@pytest.mark.parametrize("method", TORCHDIFFEQ_METHODS)
def test_the_adjoint_takes_the_same_steps_forward(problem, method):
    for n_steps in (1, 3, 7, 10):
        case = dataclasses.replace(problem[0], method=method, n_steps=n_steps)
        assert torch.allclose(GRADIENTS["adjoint"](case, problem[1]), case.solve(problem[1]), rtol=0, atol=1e-12)


def test_states_lie_on_the_trajectory():
    problem, _ = decay()
    times = chebyshev_nodes(9, problem.t0, problem.t1)
    z0 = torch.tensor([2.0], dtype=torch.float64)
    with torch.no_grad():
        z1, states = solve_with_states(problem, z0, times)
        expected = torchdiffeq.odeint(problem.f, z0, torch.tensor(times, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert torch.allclose(torch.stack(states), expected, rtol=1e-7)
    assert torch.equal(states[0], z0)
    assert torch.equal(states[-1], z1)


@pytest.mark.parametrize("count", [2, 3, 8, 16])
def test_interpolation_is_scipys(count):
    times = chebyshev_nodes(count, -0.5, 2.0)
    assert np.allclose(times, 0.75 + 1.25 * np.polynomial.chebyshev.chebpts2(count), atol=1e-14)
    values = torch.randn(count, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    oracle = scipy.interpolate.BarycentricInterpolator(times, values.numpy())
    for t in (*np.linspace(-0.5, 2.0, 7), times[1]):
        assert np.allclose(interpolate(values, times, float(t)).numpy(), oracle(t), atol=1e-12)


@pytest.mark.parametrize("time", ["none", "bias"])
@pytest.mark.parametrize("norm", ["none", "weight", "layer"])
@pytest.mark.parametrize("name", ["checkpoint", "adjoint", "irdm"])
def test_a_model_trains_by_every_gradient(make_spec, norm, time, name):
    spec = make_spec(method="rk4_38", n_steps=16, channels=(3, 4), height=8, width=8, norm=norm, time=time)
    torch.manual_seed(0)
    model = DsODENet(spec).double().train()
    for block in model.blocks():
        block.f.p = nn.Softplus()
        if block.table is not None:
            nn.init.normal_(block.table.knots, std=0.1)
    images = torch.from_numpy(random_images(spec, 4, 1))

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
        return {key: p.grad.clone() for key, p in model.named_parameters()}

    expected = gradients()
    use_gradient(model, name)
    found = gradients()
    # A time table bends f at its knots, and the exact gradient rounds a time to 2**-12 of their distance.
    tolerance = 1e-3 if time == "bias" else 1e-6
    # A bias in front of BatchNorm has no gradient but rounding.
    some = [key for key, value in expected.items() if value.norm() > 1e-9]
    assert len(some) > 0.7 * len(expected)
    assert max(relative(found[key], expected[key]) for key in some) < tolerance
    use_gradient(model, "backprop")
    assert all(torch.equal(value, expected[key]) for key, value in gradients().items())


def test_impossible_combinations_are_refused(make_spec):
    with pytest.raises(
        InputError, match="gradient is 'magic', but it must be one of backprop, checkpoint, adjoint, irdm"
    ):
        check_gradient("magic", make_spec())
    with pytest.raises(
        InputError,
        match=r"gradient irdm .* network.norm spectral .* use gradient backprop, or norm none, weight, layer",
    ):
        check_gradient("irdm", make_spec(norm="spectral"))
    with pytest.raises(
        InputError, match="adjoint knows the solvers euler, midpoint, heun, rk4_38, but the spec's is rk4"
    ):
        check_gradient("adjoint", make_spec(method="rk4"))
    for norm in ("none", "spectral", "batch_shared"):
        check_gradient("backprop", make_spec(norm=norm))


def test_memory_is_counted_exactly():
    def two_maps(problem, z):
        return (z.exp() * 2).sin()  # exp keeps its result, sin its input; the product with 2 keeps nothing

    problem, _ = decay()
    z0 = torch.zeros(1000, dtype=torch.float64)
    problem = dataclasses.replace(problem, parameters=())
    small = bench.peak_bytes(two_maps, problem, z0)
    assert bench.peak_bytes(two_maps, problem, torch.zeros(4000, dtype=torch.float64)) - 4 * small == pytest.approx(
        0, abs=6000
    )
    assert bench.peak_bytes(two_maps, problem, z0) >= 3 * z0.nbytes


def test_the_table_shows_memory_and_evaluations(make_spec, tmp_path, capsys):
    spec = tmp_path / "tiny.json"
    spec.write_text(make_spec(channels=(3,), height=6, width=6).to_json())
    command = [
        "--spec",
        str(spec),
        "--n-steps",
        "4,32",
        "--repeats",
        "1",
        "--batch",
        "2",
        "--activation",
        "relu",
        "--json",
    ]
    assert call("study", "gradients", *command, "--plot", tmp_path / "out.png") == 0
    rows = {(row["n_steps"], row["gradient"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    for name, forward, backward in (
        ("backprop", 128, 0),
        ("checkpoint", 128, 128),
        ("adjoint", 128, 128),
        ("irdm", 129, 128),
    ):
        assert (rows[32, name]["f_forward"], rows[32, name]["f_backward"]) == (forward, backward)
    assert rows[32, "irdm"]["peak_mib"] < 0.3 * rows[32, "backprop"]["peak_mib"]
    assert rows[32, "irdm"]["peak_mib"] < 1.1 * rows[4, "irdm"]["peak_mib"]
    assert rows[32, "checkpoint"]["error_discrete"] < 1e-14
    assert call("study", "gradients", "--n-steps", "four") == 2
    assert call("study", "gradients", "--activation", "sine") == 2
    assert call("study", "gradients", "--solver", "magic") == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_irdm_says_where_it_saves_nothing(make_spec):
    model = DsODENet(make_spec(channels=(4,), height=8, width=8, n_steps=8))
    with pytest.warns(UserWarning, match="keeps 16 states of a solve of 8 steps: checkpoint keeps 8"):
        use_gradient(model, "irdm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use_gradient(model, "irdm", nodes=4)
    assert model.blocks()[0].gradient.keywords == {"nodes": 4}
