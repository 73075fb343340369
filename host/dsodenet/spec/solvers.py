"""Explicit Runge-Kutta methods as Butcher tableaus, and the one loop that runs them.

The loop knows nothing of numbers: floats, torch tensors and integers differ only in how `combine` adds a weighted sum
of slopes to the state. Order conditions: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, II.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from dsodenet.errors import SpecError

State = TypeVar("State")
Rational = Fraction | int
Condition = tuple[str, Rational, Rational]  # text, left side, right side


@dataclass(frozen=True)
class Tableau:
    """An explicit method: stage i sees z + sum_j dt*a[i][j]*k_j at t + c[i]*dt.

    The step ends at z + sum_j dt*b[j]*k_j.
    """

    name: str
    order: int
    a: tuple[tuple[Rational, ...], ...]
    b: tuple[Rational, ...]
    c: tuple[Rational, ...]

    def __post_init__(self) -> None:
        if any(len(row) != i for i, row in enumerate(self.a)) or not len(self.a) == len(self.b) == len(self.c):
            raise SpecError(
                f"tableau {self.name}: a must be strictly lower triangular, one row for each entry of b and c"
            )
        wrong = [text for text, left, right in self._conditions() if left != right]
        if wrong:
            raise SpecError(f"tableau {self.name}: order {self.order} needs {'; '.join(wrong)}")

    @property
    def num_stages(self) -> int:
        return len(self.b)

    def _conditions(self) -> list[Condition]:
        """Row sums, then all eight order conditions up to order 4, as (text, left side, right side)."""
        b, c = self.b, self.c
        ac = [sum((x * y for x, y in zip(row, c)), Fraction(0)) for row in self.a]
        acc = [sum((x * y * y for x, y in zip(row, c)), Fraction(0)) for row in self.a]
        aac = [sum((x * y for x, y in zip(row, ac)), Fraction(0)) for row in self.a]

        def dot(*columns: Sequence[Rational]) -> Fraction:
            total = Fraction(0)
            for entries in zip(b, *columns):
                product = Fraction(1)
                for entry in entries:
                    product *= entry
                total += product
            return total

        by_order: dict[int, list[Condition]] = {
            1: [("sum b = 1", dot(), 1)],
            2: [("sum b c = 1/2", dot(c), Fraction(1, 2))],
            3: [("sum b c^2 = 1/3", dot(c, c), Fraction(1, 3)), ("sum b A c = 1/6", dot(ac), Fraction(1, 6))],
            4: [
                ("sum b c^3 = 1/4", dot(c, c, c), Fraction(1, 4)),
                ("sum b c A c = 1/8", dot(c, ac), Fraction(1, 8)),
                ("sum b A c^2 = 1/12", dot(acc), Fraction(1, 12)),
                ("sum b A A c = 1/24", dot(aac), Fraction(1, 24)),
            ],
        }
        rows: list[Condition] = [
            (f"row {i} of a to sum to c[{i}]", sum(row), c) for i, (row, c) in enumerate(zip(self.a, self.c))
        ]
        return rows + [item for order in range(1, self.order + 1) for item in by_order[order]]


def _row(text: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(word) for word in text.split())


TABLEAUS: dict[str, Tableau] = {
    t.name: t
    for t in (
        Tableau("euler", 1, ((),), _row("1"), _row("0")),
        Tableau("midpoint", 2, ((), _row("1/2")), _row("0 1"), _row("0 1/2")),
        Tableau("heun", 2, ((), _row("1")), _row("1/2 1/2"), _row("0 1")),
        # Ralston's third-order method: the least error bound of its order, and one slope per stage in hardware.
        Tableau("rk3", 3, ((), _row("1/2"), _row("0 3/4")), _row("2/9 1/3 4/9"), _row("0 1/2 3/4")),
        Tableau(
            "rk4", 4, ((), _row("1/2"), _row("0 1/2"), _row("0 0 1")), _row("1/6 1/3 1/3 1/6"), _row("0 1/2 1/2 1")
        ),
        # Kutta's 3/8 rule, which torchdiffeq calls rk4.
        Tableau(
            "rk4_38", 4, ((), _row("1/3"), _row("-1/3 1"), _row("1 -1 1")), _row("1/8 3/8 3/8 1/8"), _row("0 1/3 2/3 1")
        ),
    )
}
MAX_STAGES = max(t.num_stages for t in TABLEAUS.values())


def tableau(method: str) -> Tableau:
    """Look a method up by name; SpecError names the known ones."""
    if method not in TABLEAUS:
        raise SpecError(f"solver method is {method!r}, but it must be one of {', '.join(TABLEAUS)}")
    return TABLEAUS[method]


def evaluation_times(method: Tableau, n_steps: int, t0: float, t1: float) -> list[Fraction]:
    """The time of every evaluation of f, in order: n_steps * num_stages exact rationals."""
    start, dt = Fraction(t0), (Fraction(t1) - Fraction(t0)) / n_steps
    return [start + dt * (step + Fraction(c)) for step in range(n_steps) for c in method.c]


def step_coefficients(method: Tableau, dt: Rational) -> list[list[Rational]]:
    """dt * a, row by row, and dt * b as the last row: what `integrate` combines slopes with."""
    return [[dt * entry for entry in row] for row in (*method.a, method.b)]


def integrate(
    f: Callable[[State, int], Any],
    z: State,
    rows: Sequence[Sequence[Any]],
    n_steps: int,
    combine: Callable[[State, Sequence[Any], list[Any]], State],
    on_step: Callable[[int, State], None] | None = None,
) -> State:
    """Run n_steps of an explicit method.

    f(z, evaluation) is the slope at the evaluation-th node (0 .. n_steps * num_stages - 1); `rows` are the step
    coefficients of `step_coefficients`, in whatever number type `combine(z, row, slopes)` takes to return
    z + sum row[j] * slopes[j]. `on_step(step, z)` sees the state before the first step (step 0) and after each.
    """
    *stages, final = rows
    if on_step is not None:
        on_step(0, z)
    for step in range(n_steps):
        slopes: list[Any] = []
        for i, row in enumerate(stages):
            slopes.append(f(combine(z, row, slopes), step * len(stages) + i))
        z = combine(z, final, slopes)
        if on_step is not None:
            on_step(step + 1, z)
    return z


def weighted_sum(z: Any, row: Sequence[Any], slopes: list[Any]) -> Any:
    """z + sum row[j] * slopes[j] in the numbers' own arithmetic (float, NumPy, torch); zero entries cost nothing."""
    for coefficient, slope in zip(row, slopes):
        if coefficient:
            z = z + float(coefficient) * slope
    return z


@dataclass(frozen=True)
class Problem:
    """dz/dt = f(t, z) from t0 to t1 in n_steps fixed steps.

    The slope f takes any t in between, and `parameters` are what it depends on.
    """

    f: Callable[[float, Any], Any]
    parameters: tuple[Any, ...]
    method: str
    n_steps: int
    t0: float
    t1: float

    def solve(self, z0: Any) -> Any:
        return odeint(self.f, z0, self.method, self.n_steps, self.t0, self.t1)


def odeint(
    f: Callable[[float, Any], Any],
    z0: Any,
    method: str,
    n_steps: int,
    t0: float = 0.0,
    t1: float = 1.0,
    on_step: Callable[[int, Any], None] | None = None,
) -> Any:
    """Integrate dz/dt = f(t, z) from t0 to t1 in n_steps fixed steps and return z(t1), in floating point."""
    table = tableau(method)
    if n_steps < 1:
        raise SpecError(f"n_steps is {n_steps}, but it must be at least 1")
    times = [float(t) for t in evaluation_times(table, n_steps, t0, t1)]
    rows = step_coefficients(table, (Fraction(t1) - Fraction(t0)) / n_steps)
    return integrate(lambda z, i: f(times[i], z), z0, rows, n_steps, weighted_sum, on_step)
