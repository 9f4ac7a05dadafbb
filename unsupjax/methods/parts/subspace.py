"""Windows of training as a memory and as a Gaussian near a subspace: what distances from both need, on the host."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_ROWS = 1_500  # windows that a subspace is fitted to, evenly spaced
_QUERIES = 2_000  # windows whose scores tell what is usual
_USUAL = 0.99  # their quantile, which both distances are measured in
_LEAST = 1e-4  # of a variance
_BLOCK = 256


class Known(NamedTuple):
    """What is known of the training windows; arrays float32.

    Attributes:
        memory: windows in the order of time, `[M, W * C]`.
        centre: their mean, `[W * C]`.
        axes: principal components, `[Q, W * C]`, Q fixed by the shapes; those that are not used are zeros.
        variance: of each, `[Q]`, noise included.
        noise: the mean variance in the directions that are left.
        usual: the quantiles .99 of both distances over training windows, `[2]`.
    """

    memory: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    variance: np.ndarray
    noise: np.ndarray
    usual: np.ndarray


def known(
    rows: np.ndarray | None, shape: tuple[int, int], kept: int, examples: int, limit: float, share: float
) -> Callable[[], Known]:
    """`() -> Known`, found at the first call; zeros of the same shapes without rows.

    Args:
        rows: the training windows `[N, W, C]`.
        shape: (W, C).
        kept: M.
        examples: N.
        limit: values are brought into [-limit, limit].
        share: of the variance, that the components explain; 0: there are none.
    """
    size = shape[0] * shape[1]
    most = max(min(size, _ROWS, examples) - 1, 1) if share else 1

    @functools.cache
    def found() -> Known:
        zeros = lambda *of: np.zeros(of, np.float32)
        if rows is None:
            shapes = zeros(kept, size), zeros(size), zeros(most, size), zeros(most), zeros(), zeros(2)
            return Known(*shapes)
        read = lambda at: np.clip(np.asarray(rows[at], np.float32), -limit, limit).reshape(len(at), size)
        memory = read((np.arange(kept) * (len(rows) / kept)).astype(np.int64))
        radius = max(int(shape[0] * kept / len(rows) / 2), 1)
        some = read(np.unique(np.linspace(0, len(rows) - 1, _ROWS).astype(np.int64)))
        parts = (
            _components(some, share, most)
            if share
            else (some.mean(0), zeros(most, size), zeros(most) + 1, 1.0)
        )
        made = Known(memory, *(np.asarray(p, np.float32) for p in parts), zeros(2))
        queries = memory[np.unique(np.linspace(0, kept - 1, _QUERIES).astype(np.int64))]
        first = np.concatenate(
            [to_others(queries[i : i + _BLOCK], memory, radius) for i in range(0, len(queries), _BLOCK)]
        )
        usual = [np.quantile(d, _USUAL) for d in (first, _beyond(queries, made))]
        return made._replace(usual=np.maximum(np.array(usual, np.float32), 1e-6))

    return found


def _components(x: np.ndarray, share: float, most: int) -> tuple:
    """Centre, axes, their variances and the noise of rows `[N, D]`."""
    centre = x.mean(axis=0)
    _, values, axes = np.linalg.svd(x - centre, full_matrices=False)
    variance = values**2 / len(x)
    part = np.cumsum(variance) / max(variance.sum(), 1e-12)
    q = max(min(int(np.searchsorted(part, share)) + 1, most, len(variance) - 1), 1)
    noise = max(variance[q:].sum() / max(x.shape[1] - q, 1), _LEAST)
    kept, scale = np.zeros((most, x.shape[1])), np.ones(most)
    kept[:q], scale[:q] = axes[:q], variance[:q] + noise
    return centre, kept, scale, noise


def to_others(q: np.ndarray, memory: np.ndarray, radius: int) -> np.ndarray:
    """The distance of rows q of a memory to the nearest of its others, but those within less than `radius` places."""
    squares = np.square(memory).sum(axis=1)
    d = squares - 2 * q @ memory.T
    first = d.argmin(axis=1)
    d[np.abs(np.arange(len(memory))[None] - first[:, None]) < radius] = np.inf
    least = d.min(axis=1) + np.square(q).sum(axis=1)
    return np.sqrt(np.maximum(np.where(np.isfinite(least), least, 0), 0))


def _beyond(x: np.ndarray, made: Known) -> np.ndarray:
    """The squared Mahalanobis length of windows, as `nearest_windows` has it."""
    y = x - made.centre
    inside = y @ made.axes.T
    rest = np.maximum(np.square(y).sum(axis=1) - np.square(inside).sum(axis=1), 0)
    return (np.square(inside) / made.variance).sum(axis=1) + rest / made.noise
