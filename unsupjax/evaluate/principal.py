"""Principal components of inputs that need not be in memory: what a linear code of the same width does."""

from typing import Any, NamedTuple

import numpy as np

from unsupjax.evaluate.subject import chunks

WIDEST = 4096  # elements of an input, whose covariance is held: 128 MiB of float64


class Components(NamedTuple):
    """The principal components of rows; float64.

    Attributes:
        mean: `[D]`.
        directions: `[K, D]`, orthonormal, of the largest variance first.
    """

    mean: np.ndarray
    directions: np.ndarray

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Float64 `[N, K]` of inputs `[N, ...]`."""
        return (x.reshape(len(x), -1) - self.mean) @ self.directions.T

    def squared_error(self, x: np.ndarray) -> float:
        """The sum over inputs `[N, ...]` and their elements of the squared error of reconstruction."""
        if len(self.directions) == len(self.mean):
            return 0.0
        apart = x.reshape(len(x), -1) - self.mean
        return float(np.square(apart - (apart @ self.directions.T) @ self.directions).sum())


def components(x: Any, width: int) -> Components | None:
    r"""The first `width` principal components of inputs, from their covariance, summed some inputs at a time.

    They are the eigenvectors of :math:`\frac1N \sum_i (x_i - \bar x)(x_i - \bar x)^\top` with the largest
    eigenvalues; of N inputs at most N - 1, as no more directions vary.

    Args:
        x: inputs `[N, ...]` of D elements each, an array or what reads them when it is indexed by a slice.
        width: of a code.

    Returns:
        the components; None where D is above 4096, whose covariance would fill the memory, or an entry is missing.
    """
    from scipy.linalg import eigh

    n, d = len(x), int(np.prod(x.shape[1:]))
    if d > WIDEST:
        return None
    shift, total, square = None, np.zeros(d), np.zeros((d, d))
    for part in chunks(x):
        rows = part.reshape(len(part), d).astype(np.float32)
        # About the mean of the first inputs, so that little is lost where inputs are far from zero.
        shift = rows.mean(axis=0) if shift is None else shift
        rows -= shift
        total += rows.sum(axis=0, dtype=np.float64)
        square += rows.T @ rows
    if not np.isfinite(total).all():
        return None
    width = max(1, min(width, d, n - 1))
    covariance = square / n - np.outer(total, total) / n**2
    _, vectors = eigh(covariance, subset_by_index=(d - width, d - 1), overwrite_a=True)
    return Components(shift + total / n, vectors.T[::-1])
