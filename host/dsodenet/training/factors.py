"""Low-rank and separable forms of convolution weights, and how much rank a weight has. NumPy and SciPy, no network."""

from __future__ import annotations

import math

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
GRID = 200  # points at which the noise variance is tried before the best one is refined


def low_rank(weight: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """(first, second): weights of two convolutions in a row that are nearest, in the Frobenius norm, to one.

    weight: (out, in, kernel, kernel) -> first (rank, in, kernel, kernel), second (out, rank, 1, 1). For a 1x1 kernel
    this is the truncated SVD; for a larger one the Tucker-2 decomposition whose input factor, at full rank, is left
    in the core. The singular values are shared evenly, so that both have the same range.
    """
    u, s, v = np.linalg.svd(weight.reshape(len(weight), -1), full_matrices=False)
    root = np.sqrt(s[:rank])
    return (root[:, None] * v[:rank]).reshape(rank, *weight.shape[1:]), (u[:, :rank] * root)[:, :, None, None]


def separable(weight: Matrix) -> tuple[Matrix, Matrix]:
    """(depthwise (in, 1, kernel, kernel), pointwise (out, in, 1, 1)) nearest to a full convolution (Frobenius norm).

    The canonical polyadic form of rank 1 of each input channel's (out, kernel * kernel) slice: its leading singular
    pair.
    """
    out, inputs, *kernel = weight.shape
    u, s, v = np.linalg.svd(weight.transpose(1, 0, 2, 3).reshape(inputs, out, -1), full_matrices=False)
    root = np.sqrt(s[:, 0, None])
    return (root * v[:, 0]).reshape(inputs, 1, *kernel), (root * u[:, :, 0]).T[:, :, None, None]


def evbmf_rank(matrix: Matrix) -> int:
    """The rank that empirical variational Bayesian matrix factorisation finds in a matrix of signal and noise.

    Global analytic solution of Nakajima, Sugiyama, Babacan, Tomioka (JMLR 14, 2013), theorems 2 and 3: singular
    values above a threshold are kept, which depends on the noise variance only, and that minimises a function of one
    variable.
    """
    rows, columns = sorted(matrix.shape)
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    alpha = rows / columns
    threshold = evbmf_threshold(alpha)
    most = min(math.ceil(rows / (1 + alpha)) - 1, rows)  # components, whatever the noise is
    tail = squares[most:]
    low = max(tail[0] / (columns * threshold), tail.mean() / columns) if len(tail) else 0.0
    high = squares.sum() / (rows * columns)
    if not low < high:
        return 0
    grid = np.geomspace(max(low, high * 1e-12), high, GRID)
    energies = [free_energy(variance, squares, columns, alpha, threshold) for variance in grid]
    best = int(np.argmin(energies))
    around = grid[max(0, best - 1)], grid[min(GRID - 1, best + 1)]
    refined = scipy.optimize.minimize_scalar(
        free_energy,
        bounds=around,
        args=(squares, columns, alpha, threshold),
        method="bounded",
        options={"xatol": 1e-12 * high},
    )
    variance = refined.x if refined.fun < energies[best] else grid[best]
    return int((squares > columns * variance * threshold).sum())


def evbmf_threshold(alpha: float) -> float:
    """The square of a singular value, in units of columns * variance, above which its component is kept (theorem 2)."""

    def balance(tau: float) -> float:
        return sum(math.log1p(z) / z - 0.5 for z in (tau, tau / alpha))

    tau = scipy.optimize.brentq(balance, 1e-6, 100.0)
    return float((1 + tau) * (1 + alpha / tau))


def free_energy(variance: float, squares: Matrix, columns: int, alpha: float, threshold: float) -> float:
    """What the noise variance minimises (theorem 3), up to a factor.

    squares: singular values squared, one for each row.
    """
    x = squares / (columns * variance)
    kept = x[x > threshold]
    tau = 0.5 * (kept - (1 + alpha) + np.sqrt((kept - (1 + alpha)) ** 2 - 4 * alpha))
    total = (x - np.log(x)).sum() + (np.log1p(tau) + alpha * np.log1p(tau / alpha) - tau).sum()
    return float(total)
