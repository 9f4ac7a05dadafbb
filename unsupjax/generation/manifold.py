"""Fidelity and diversity apart: precision, recall, density and coverage by nearest neighbours."""

from typing import NamedTuple

import numpy as np

from unsupjax.generation.pairs import pair, squared_distances


class PRDC(NamedTuple):
    """What `prdc` finds."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, fake: np.ndarray, *, neighbours: int = 5) -> PRDC:
    r"""Precision, recall, density and coverage of samples.

    The ball of a point reaches to the k-th nearest *other* point of its own set. Then

    - precision: the share of samples in the ball of at least one real example (fidelity);
    - recall: the share of real examples in the ball of at least one sample (diversity);
    - density: :math:`\frac{1}{k M}` times the number of pairs of a real ball and a sample in it; fidelity that one
      outlier among the real examples cannot raise. About 1 where both sets are of one distribution, unbounded;
    - coverage: the share of real balls with a sample in them (diversity); for one distribution about
      :math:`1 - 2^{-k}` where N = M.

    Balls are open, as in the authors' code, and always hold copies of their centre: a set against itself has 1
    everywhere.

    Args:
        real: `[N, D]`, N > k.
        fake: `[M, D]`, M > k.
        neighbours: k.

    Raises:
        ValueError: no tables of finite numbers, another D, k below 1 or a set of k rows or fewer.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019;
    Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020.
    """
    if neighbours < 1:
        raise ValueError(f"prdc: {neighbours=} must be at least 1")
    real, fake = pair(real, fake, f"prdc with {neighbours} neighbours", least=neighbours + 1)
    real_radii, fake_radii = _squared_radii(real, neighbours), _squared_radii(fake, neighbours)
    precise, recalled, covered = (np.zeros(n, bool) for n in (len(fake), len(real), len(real)))
    inside = 0
    for rows, squared in squared_distances(real, fake):
        in_real = _inside(squared, real_radii[rows, None])
        precise |= in_real.any(axis=0)
        covered[rows] = in_real.any(axis=1)
        inside += int(np.count_nonzero(in_real))
        recalled[rows] = _inside(squared, fake_radii[None]).any(axis=1)
    density = inside / (neighbours * len(fake))
    return PRDC(float(precise.mean()), float(recalled.mean()), density, float(covered.mean()))


def _inside(squared: np.ndarray, radii: np.ndarray) -> np.ndarray:
    # A distance computed from either side differs by round-off: points on the sphere are all outside.
    return (squared < (1 - 1e-9) * radii) | (squared == 0)


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest other row, `[N]`."""
    radii = np.empty(len(x))
    for rows, squared in squared_distances(x, x):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        radii[rows] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return radii
