"""The Fréchet distance between two sets of features, each taken for a Gaussian."""

import numpy as np

from unsupjax.generation.pairs import pair


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    r"""`frechet_of_moments` of the sample means and (unbiased) covariances of two sets.

    It is biased upwards by an amount that falls as 1 / N and grows with D: compare it only at the same N, beside
    what two sets of real data have between them. The covariances are never formed: with
    :math:`A = R_x^\top R_x` from a QR decomposition of the centred rows nothing is squared, and sets with fewer rows
    than features, or constant features, lose no digits.

    Args:
        x: `[N, D]`, N >= 2.
        y: `[M, D]`, M >= 2; the two may be swapped.

    Returns:
        a squared distance, at least 0; 0 for identical sets.

    Raises:
        ValueError: no tables of finite numbers, another D, fewer than 2 rows.

    Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
    NeurIPS 2017.
    """
    x, y = pair(x, y, "frechet_distance", least=2)
    return _distance(x.mean(axis=0), _factor(x), y.mean(axis=0), _factor(y))


def frechet_of_moments(
    mean_x: np.ndarray, covariance_x: np.ndarray, mean_y: np.ndarray, covariance_y: np.ndarray
) -> float:
    r"""The squared 2-Wasserstein distance of two Gaussians.

    .. math::
        \|\mu_x - \mu_y\|^2 + \mathrm{tr} A + \mathrm{tr} B - 2\, \mathrm{tr} (A^{1/2} B A^{1/2})^{1/2}

    The last trace is the sum of the singular values of :math:`A^{1/2} B^{1/2}`, with both roots from symmetric
    eigendecompositions: it is real, and singular covariances are as good as others.

    Args:
        mean_x, mean_y: `[D]`.
        covariance_x, covariance_y: `[D, D]`, symmetric and positive semi-definite; eigenvalues below 0 are
            taken for round-off.

    Returns:
        a squared distance, at least 0.

    Raises:
        ValueError: the shapes do not fit; numbers that are not finite.
    """
    means = [np.asarray(a, np.float64) for a in (mean_x, mean_y)]
    covariances = [np.asarray(a, np.float64) for a in (covariance_x, covariance_y)]
    d = means[0].shape
    if len(d) != 1 or means[1].shape != d or any(c.shape != d + d for c in covariances):
        raise ValueError(
            "frechet_of_moments needs means [D] and covariances [D, D] and got "
            + ", ".join(str(a.shape) for a in (*means, *covariances))
        )
    if not all(np.isfinite(a).all() for a in (*means, *covariances)):
        raise ValueError("frechet_of_moments: the moments hold NaN or infinity")
    return _distance(means[0], _root(covariances[0]), means[1], _root(covariances[1]))


def _factor(x: np.ndarray) -> np.ndarray:
    """R `[rank, D]` with `R.T @ R` the covariance of rows `[N, D]`."""
    import scipy.linalg

    centred = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return (
        centred
        if len(x) <= x.shape[1]
        else scipy.linalg.qr(centred, mode="r", check_finite=False)[0][: x.shape[1]]
    )


def _root(covariance: np.ndarray) -> np.ndarray:
    """R `[D, D]` with `R.T @ R` the covariance."""
    import scipy.linalg

    values, vectors = scipy.linalg.eigh((covariance + covariance.T) / 2)
    return np.sqrt(values.clip(min=0))[:, None] * vectors.T


def _distance(mean_x: np.ndarray, r_x: np.ndarray, mean_y: np.ndarray, r_y: np.ndarray) -> float:
    import scipy.linalg

    # Of R_x R_y^T and not the root of eigenvalues: a root of round-off 1e-16 would be an error of 1e-8.
    common = scipy.linalg.svdvals(r_x @ r_y.T).sum()
    squared = np.square(mean_x - mean_y).sum() + np.square(r_x).sum() + np.square(r_y).sum() - 2 * common
    return max(float(squared), 0.0)
