"""Two sets of rows: what they must have in common, and walks over all pairs of them."""

from collections.abc import Iterator

import numpy as np

from unsupjax.numerics import checks

_BLOCK = 2**23  # pairs at once: 64 MiB of float64


def pair(x: np.ndarray, y: np.ndarray, user: str, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Both sets as float64 on the host, `[N, D]` and `[M, D]`.

    Raises:
        ValueError: no tables of finite numbers; another D; fewer rows than `least`, which `user` needs.
    """
    x, y = (checks.rows(a, user).astype(np.float64) for a in (x, y))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{user} needs two sets with the same features and got {x.shape} and {y.shape}")
    if min(len(x), len(y)) < least:
        raise ValueError(f"{user} needs at least {least} rows in each set and got {len(x)} and {len(y)}")
    return x, y


def blocks(n: int, m: int) -> Iterator[slice]:
    """Slices of n rows that together with m others make a bounded number of pairs."""
    size = max(1, _BLOCK // m)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    r""":math:`\|x_i - y_j\|^2`, some rows of x at a time: pairs of a slice and a `[rows, M]` array of its own.

    Of one matrix product, :math:`\|x\|^2 + \|y\|^2 - 2 x \cdot y`, after both sets are moved to the mean of x; what
    is not above its round-off is 0, so that copies lie at distance 0.
    """
    centre = x.mean(axis=0)
    x, y = x - centre, y - centre
    xx, yy = (np.einsum("nd,nd->n", a, a) for a in (x, y))
    for rows in blocks(len(x), len(y)):
        norms = xx[rows, None] + yy[None]
        squared = norms - 2 * (x[rows] @ y.T)
        squared[squared < 1e-12 * norms] = 0
        yield rows, squared
