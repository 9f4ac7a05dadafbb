"""The kernel distance between two sets of features."""

import numpy as np

from unsupjax.generation.pairs import blocks, pair


def kernel_distance(
    x: np.ndarray, y: np.ndarray, *, subsets: int = 0, subset_size: int = 1000, seed: int = 0
) -> float:
    r"""The unbiased squared maximum mean discrepancy with the cubic kernel :math:`k(x, y) = (x \cdot y / D + 1)^3`.

    .. math::
        \frac{\sum_{i \ne j} k(x_i, x_j)}{N (N - 1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{M (M - 1)}
        - \frac{2 \sum_{i, j} k(x_i, y_j)}{N M}

    Its expectation is 0 for two samples of one distribution at every N, and single values may be negative.

    Args:
        x: `[N, D]`, N >= 2.
        y: `[M, D]`, M >= 2.
        subsets: number of random pairs of subsets whose mean is returned, as in the paper; 0: all rows at once,
            the estimate of least variance.
        subset_size: rows of x, and of y, in each subset (without replacement).
        seed: of the subsets.

    Raises:
        ValueError: no tables of finite numbers, another D, fewer than 2 rows; subsets larger than a set.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018.
    """
    x, y = pair(x, y, "kernel_distance", least=2)
    if not subsets:
        return _squared_mmd(x, y)
    if not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            f"kernel_distance: {subset_size=} must be from 2 to {min(len(x), len(y))}, the smaller set"
        )
    rng = np.random.default_rng(seed)
    choose = lambda a: a[rng.choice(len(a), subset_size, replace=False)]
    return float(np.mean([_squared_mmd(choose(x), choose(y)) for _ in range(subsets)]))


def _kernel(products: np.ndarray, d: int) -> np.ndarray:
    base = products / d + 1
    return base * base * base  # numpy's power is several times slower


def _total(x: np.ndarray, y: np.ndarray) -> float:
    """The kernel summed over all pairs."""
    return sum(_kernel(x[rows] @ y.T, x.shape[1]).sum() for rows in blocks(len(x), len(y)))


def _within(x: np.ndarray) -> float:
    """The mean of the kernel over pairs of different rows."""
    n, d = x.shape
    own = _kernel(np.einsum("nd,nd->n", x, x), d).sum()
    return (_total(x, x) - own) / (n * (n - 1))


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    return float(_within(x) + _within(y) - 2 * _total(x, y) / (len(x) * len(y)))
