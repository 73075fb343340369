"""Decompositions against tensorly, EVBMF against the variational problem it solves and against planted ranks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorly
from tensorly.decomposition import parafac, partial_tucker

from dsodenet.training.factors import evbmf_rank, evbmf_threshold, free_energy, low_rank, separable


def random(*shape: int, seed: int = 0):
    return np.random.default_rng(seed).normal(size=shape)


def product(first, second):
    return np.tensordot(second[:, :, 0, 0], first, axes=1)


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("shape", [(8, 6, 1, 1), (6, 9, 1, 1), (10, 2, 3, 3)])
def test_low_rank_is_tensorlys_tucker_2_with_a_whole_input_mode(shape, rank):
    weight = random(*shape, seed=rank)
    first, second = low_rank(weight, rank)
    assert first.shape == (rank, *shape[1:])
    assert second.shape == (shape[0], rank, 1, 1)
    (core, factors), _ = partial_tucker(
        weight, rank=[rank, shape[1]], modes=[0, 1], init="svd", tol=1e-10, n_iter_max=200
    )
    expected = tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1])
    assert np.linalg.norm(weight - product(first, second)) == pytest.approx(np.linalg.norm(weight - expected), rel=1e-6)
    assert np.allclose(product(first, second), expected, atol=1e-4)


def test_a_weight_of_low_rank_is_kept_exactly():
    weight = np.tensordot(random(8, 3), random(3, 2, 3, 3, seed=1), axes=1)
    assert np.allclose(product(*low_rank(weight, 3)), weight)
    assert not np.allclose(product(*low_rank(weight, 2)), weight, atol=1e-2)


def test_separable_is_tensorlys_cp_of_rank_one_of_each_input_channel():
    weight = random(7, 4, 3, 3)
    depthwise, pointwise = separable(weight)
    assert (depthwise.shape, pointwise.shape) == ((4, 1, 3, 3), (7, 4, 1, 1))
    found = pointwise * depthwise[None, :, 0]
    for channel in range(4):
        cp = parafac(weight[:, channel].reshape(7, 9), rank=1, init="svd", n_iter_max=500, tol=1e-12)
        assert np.allclose(found[:, channel].reshape(7, 9), tensorly.cp_to_tensor(cp), atol=1e-5)
    again = separable(found)
    assert np.allclose(again[1] * again[0][None, :, 0], found)


@pytest.mark.parametrize(("rows", "columns"), [(20, 30), (30, 20), (24, 24)])
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_evbmf_finds_planted_ranks(rows, columns, rank):
    for seed in range(5):
        signal = 2 * random(rows, rank, seed=seed) @ random(rank, columns, seed=seed + 50)
        assert evbmf_rank(signal + 0.5 * random(rows, columns, seed=seed + 100)) == rank


def test_evbmf_does_not_depend_on_scale_or_orientation():
    matrix = random(12, 3) @ random(3, 20, seed=1) + 0.7 * random(12, 20, seed=2)
    ranks = {evbmf_rank(m) for m in (matrix, matrix.T, 1e-6 * matrix, 1e6 * matrix)}
    assert len(ranks) == 1


def variational_energy(matrix, variance, starts=6, sweeps=2000):
    """Least free energy of a variational Bayes matrix factorisation B A^T with empirical prior variances, by
    coordinate descent.

    The problem itself, of whose components the closed form speaks: q(A) q(B) Gaussian, column by column, on the
    singular basis, where the components are independent (Nakajima et al., section 3). Returns (energy, kept
    components).
    """
    rows, columns = matrix.shape
    energy, kept = 0.0, 0
    for gamma in np.linalg.svd(matrix, compute_uv=False):
        best = (gamma**2 / variance, False)  # a component of zero
        for start in np.linspace(0.2, 1, starts):
            a, b = np.sqrt(start * gamma), np.sqrt(start * gamma)
            va = vb = variance / gamma
            for _ in range(sweeps):
                ca, cb = a * a / columns + va, b * b / rows + vb  # empirical priors
                va = 1 / ((b * b + rows * vb) / variance + 1 / ca)
                a = va * gamma * b / variance
                ca, cb = a * a / columns + va, b * b / rows + vb
                vb = 1 / ((a * a + columns * va) / variance + 1 / cb)
                b = vb * gamma * a / variance
            ca, cb = a * a / columns + va, b * b / rows + vb
            fit = (gamma**2 - 2 * gamma * a * b + (a * a + columns * va) * (b * b + rows * vb)) / variance
            value = fit + columns * np.log(ca / va) + rows * np.log(cb / vb)
            if value < best[0] - 1e-9:
                best = (value, True)
        energy, kept = energy + best[0], kept + best[1]
    return energy + rows * columns * np.log(variance), kept


def test_evbmf_is_the_least_free_energy_of_the_variational_problem():
    matrix = 1.5 * random(5, 2, seed=3) @ random(2, 8, seed=4) + 0.4 * random(5, 8, seed=5)
    squares, threshold = np.linalg.svd(matrix, compute_uv=False) ** 2, evbmf_threshold(5 / 8)
    low, high = squares.sum() / 400, squares.sum() / 40
    variances = np.geomspace(low, high, 12)
    numeric = [variational_energy(matrix, v) for v in variances]
    closed = np.array([8 * free_energy(v, squares, 8, 5 / 8, threshold) for v in variances])
    # Both are the same function of the variance, up to a constant.
    offsets = closed - np.array([energy for energy, _ in numeric])
    assert np.ptp(offsets) < 1e-3 * np.ptp(closed)
    best = int(np.argmin(closed))
    assert numeric[best][1] == evbmf_rank(matrix) == 2
    for variance, (_, kept) in zip(variances, numeric):
        assert kept == (squares > 8 * variance * threshold).sum()
