"""Solvers: the order that is claimed is measured on exact solutions; torchdiffeq agrees; a wrong table is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torchdiffeq

from dsodenet.errors import SpecError
from dsodenet.spec.solvers import MAX_STAGES, TABLEAUS, Tableau, evaluation_times, odeint, step_coefficients, tableau

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk3": 3, "rk4": 4, "rk4_38": 4}
TORCHDIFFEQ = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4_38": "rk4"}


def oscillator(t, z):
    return np.array([z[1], -z[0]])


def logistic(t, z):
    return z * (1 - z)


def forced(t, z):
    """z' = cos(3t) - 2 t z: time enters twice, so that a wrong c shows."""
    return np.cos(3 * t) - 2 * t * z


def forced_exact(t1: float, z0: float) -> float:
    """exp(-t^2) (z0 + integral of exp(s^2) cos(3s)), by Gauss quadrature to machine precision."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s = (nodes + 1) * t1 / 2
    return float(np.exp(-(t1**2)) * (z0 + t1 / 2 * np.sum(weights * np.exp(s**2) * np.cos(3 * s))))


PROBLEMS = {
    "oscillator": (
        oscillator,
        np.array([1.0, 0.5]),
        lambda t: np.array([np.cos(t) + 0.5 * np.sin(t), 0.5 * np.cos(t) - np.sin(t)]),
    ),
    "logistic": (logistic, np.array([0.1]), lambda t: np.array([1 / (1 + 9 * np.exp(-t))])),
    "forced": (forced, np.array([0.3]), lambda t: np.array([forced_exact(t, 0.3)])),
}


@pytest.mark.parametrize("method", TABLEAUS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_order_is_the_one_claimed(method, problem):
    f, z0, exact = PROBLEMS[problem]
    coarse, fine = (np.abs(odeint(f, z0, method, n, 0.0, 2.0) - exact(2.0)).max() for n in (128, 256))
    # The next term of the error is smaller by dt = 1/128 times a constant of the problem: a measured order is off by
    # 0.2 at most.
    assert np.log2(coarse / fine) == pytest.approx(ORDERS[method], abs=0.25)
    assert TABLEAUS[method].order == ORDERS[method]


@pytest.mark.parametrize("method", TORCHDIFFEQ)
@pytest.mark.parametrize("n_steps", [1, 3, 8])
def test_torchdiffeq_agrees(method, n_steps):
    weight = torch.linspace(-1, 1, 16, dtype=torch.float64).reshape(4, 4)

    def f(t, z):
        return torch.tanh(z @ weight) + torch.sin(3 * torch.as_tensor(t, dtype=torch.float64))

    z0, times = (
        torch.linspace(0, 1, 8, dtype=torch.float64).reshape(2, 4),
        torch.tensor([0.25, 1.75], dtype=torch.float64),
    )
    options = {"step_size": 1.5 / n_steps}
    expected = torchdiffeq.odeint(f, z0, times, method=TORCHDIFFEQ[method], options=options)[-1]
    assert torch.allclose(odeint(f, z0, method, n_steps, 0.25, 1.75), expected, rtol=0, atol=1e-14)


def test_every_method_is_covered():
    assert set(ORDERS) == set(TABLEAUS)
    assert max(t.num_stages for t in TABLEAUS.values()) == MAX_STAGES == 4


def row(text: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, text.split()))


@pytest.mark.parametrize(
    ("order", "a", "b", "c", "message"),
    [
        (1, ["", "1/2"], "0 1", "0", "strictly lower triangular"),
        (1, ["", "1/2 1"], "0 1", "0 1/2", "strictly lower triangular"),
        (1, ["0"], "1", "0", "strictly lower triangular"),
        (1, [""], "2", "0", "sum b = 1"),
        (1, ["", "1/2"], "0 1", "0 1/3", r"row 1 of a to sum to c\[1\]"),
        (2, ["", "1/2"], "1 0", "0 1/2", r"sum b c = 1/2"),
        (3, ["", "1"], "1/2 1/2", "0 1", r"sum b c\^2 = 1/3.*sum b A c = 1/6"),
        (3, ["", "1/2", "1/2 1/4"], "2/9 1/3 4/9", "0 1/2 3/4", "sum b A c = 1/6"),
        (4, ["", "1/2", "1/2 0", "0 0 1"], "1/6 1/3 1/3 1/6", "0 1/2 1/2 1", "sum b A c"),
        (4, ["", "1/2", "0 3/4"], "2/9 1/3 4/9", "0 1/2 3/4", "1/24"),
    ],
)
def test_a_wrong_table_is_refused(order, a, b, c, message):
    with pytest.raises(SpecError, match=message):
        Tableau("wrong", order, tuple(map(row, a)), row(b), row(c))


def test_a_right_table_claiming_less_is_accepted():
    Tableau("half", 1, (row(""), row("1/2")), row("0 1"), row("0 1/2"))


def test_times_are_exact_rationals():
    times = evaluation_times(tableau("rk4_38"), 3, 0.0, 1.0)
    assert times[:5] == [0, Fraction(1, 9), Fraction(2, 9), Fraction(1, 3), Fraction(1, 3)]
    assert len(times) == 12
    assert times[-1] == 1
    assert step_coefficients(tableau("heun"), Fraction(1, 3)) == [
        [],
        [Fraction(1, 3)],
        [Fraction(1, 6), Fraction(1, 6)],
    ]


def test_each_step_is_seen():
    seen = []
    odeint(lambda t, z: 1.0, 0.0, "rk4", 4, 0.0, 2.0, on_step=lambda step, z: seen.append((step, z)))
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert [z for _, z in seen] == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_unknown_methods_and_no_steps_are_refused():
    with pytest.raises(SpecError, match="solver method is 'dopri5', but it must be one of euler, midpoint"):
        odeint(logistic, 1.0, "dopri5", 1)
    with pytest.raises(SpecError, match="n_steps is 0"):
        odeint(logistic, 1.0, "euler", 0)
