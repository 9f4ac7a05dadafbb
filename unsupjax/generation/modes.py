"""Coverage of known modes, for mixtures whose parts are known."""

from typing import NamedTuple

import numpy as np

from unsupjax.generation.pairs import pair, squared_distances


class ModeCoverage(NamedTuple):
    """What `mode_coverage` finds.

    Attributes:
        covered: number of modes that are covered.
        high_quality: share of samples near the centre that is nearest them.
        kl: Kullback-Leibler divergence of the samples' modes from the uniform distribution, in nats.
    """

    covered: int
    high_quality: float
    kl: float


def mode_coverage(
    samples: np.ndarray,
    centers: np.ndarray,
    std: float | np.ndarray,
    *,
    deviations: float = 3.0,
    least: float = 0.1,
) -> ModeCoverage:
    r"""How samples spread over the modes of a mixture of isotropic Gaussians.

    Each sample belongs to the centre nearest it and is of high quality within `deviations` standard deviations
    of it. In two dimensions a perfect model has 98.9 % of samples there, since
    :math:`1 - e^{-9/2} = 0.989`, and not the 99.7 % of one dimension; in many dimensions next to none:
    `share_within` says how many.

    Args:
        samples: `[N, D]`.
        centers: `[K, D]`.
        std: standard deviation along each axis, of all modes or of each, `[K]`.
        deviations: radius of high quality in units of `std`.
        least: a mode is covered by high-quality samples of its own that are at least this part of its uniform
            share 1 / K of all samples; and by no fewer than one.

    Returns:
        the divergence is over all samples, by nearest centre: 0 where each mode has as many, log K where one has all.

    Raises:
        ValueError: no tables of finite numbers, another D, a standard deviation that is not positive.

    Source: Srivastava et al., "VEEGAN", NeurIPS 2017; the divergence: Lin et al., "PacGAN", NeurIPS 2018.
    """
    samples, centers = pair(samples, centers, "mode_coverage")
    k = len(centers)
    std = np.asarray(std, np.float64)
    if std.shape not in ((), (k,)) or not (std > 0).all():
        raise ValueError(f"mode_coverage: std must be positive, one number or one for each of {k} centers")
    nearest, good = np.empty(len(samples), np.int64), np.empty(len(samples), bool)
    for rows, squared in squared_distances(samples, centers):
        nearest[rows] = squared.argmin(axis=1)
        good[rows] = squared.min(axis=1) < np.square(deviations * np.broadcast_to(std, k)[nearest[rows]])
    counts = np.bincount(nearest[good], minlength=k)
    covered = counts >= max(1, least * len(samples) / k)
    share = np.bincount(nearest, minlength=k) / len(samples)
    return ModeCoverage(int(covered.sum()), float(good.mean()), kl_from_uniform(share))


def share_within(dimensions: int, deviations: float = 3.0) -> float:
    """Share of an isotropic Gaussian within so many standard deviations of its mean; 0.989 for 2 and 3."""
    from scipy.stats import chi

    return float(chi.cdf(deviations, dimensions))


def kl_from_uniform(share: np.ndarray) -> float:
    r""":math:`\sum_k p_k \log (K p_k)` of shares `[K]` that sum to 1, in nats: 0 if uniform, log K if one has all."""
    share = np.asarray(share, np.float64)
    present = share[share > 0]
    return float(np.sum(present * np.log(len(share) * present)))
