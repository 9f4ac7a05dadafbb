"""The sliced Wasserstein distance."""

import jax
import numpy as np

from unsupjax.generation.pairs import pair


def sliced_wasserstein(
    key: jax.Array, x: np.ndarray, y: np.ndarray, *, projections: int = 256, p: float = 2.0
) -> float:
    r"""The p-Wasserstein distance of projections on random directions, averaged.

    .. math::
        \Big( \frac1P \sum_{k=1}^P \int_0^1 |F^{-1}_{\theta_k \cdot x}(u) - F^{-1}_{\theta_k \cdot y}(u)|^p du
        \Big)^{1/p}, \qquad \theta_k \sim \text{uniform on the unit sphere}

    Each integral is exact: quantile functions of N and M rows are steps, and all their edges are walked. Moving a
    set by v gives about :math:`\|v\| / \sqrt D` for p = 2, and :math:`|v|` for D = 1. Two samples of one
    distribution are not at 0 but at a distance that falls as :math:`N^{-1/2}` and slower: compare at the same N.

    Args:
        key: typed PRNG key of the directions.
        x: `[N, D]`.
        y: `[M, D]`; the two may be swapped.
        projections: P.
        p: order, at least 1.

    Raises:
        ValueError: no tables of finite numbers, another D, p below 1, no projection.

    Source: Bonneel et al., "Sliced and Radon Wasserstein barycenters of measures", JMIV 2015.
    """
    x, y = pair(x, y, "sliced_wasserstein")
    if projections < 1 or p < 1:
        raise ValueError(f"sliced_wasserstein: {projections=} and {p=} must be at least 1")
    directions = np.asarray(jax.random.normal(key, (x.shape[1], projections)), np.float64)
    directions /= np.linalg.norm(directions, axis=0)
    xs, ys = (np.sort(a @ directions, axis=0) for a in (x, y))
    n, m = len(xs), len(ys)
    # Edges i / N and j / M in units of 1 / (N M): integers, and so exact.
    edges = np.union1d(m * np.arange(n + 1), n * np.arange(m + 1))
    width, start = np.diff(edges) / (n * m), edges[:-1]
    apart = np.abs(xs[start // m] - ys[start // n])
    return float((width @ apart**p).mean() ** (1 / p))
