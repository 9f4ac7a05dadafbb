"""Losses of two views that keep embeddings apart by their statistics over the batch, without negatives or a teacher.

All statistics are of the global batch, and are averaged over devices before anything that is not linear in them.
"""

import chex
import jax
import jax.numpy as jnp

from unsupjax.parallel.collectives import device_count, pmean


def barlow_twins(
    z1: jax.Array, z2: jax.Array, *, weight: float = 5e-3, eps: float = 1e-5, axis_name: str | None = None
) -> jax.Array:
    r"""Barlow Twins: each feature of one view goes with the same feature of the other, and with no other feature.

    :math:`\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2`, with :math:`C_{ij} = \frac{\overline{\hat a_i \hat
    b_j}}{\sqrt{\overline{\hat a_i^2} + \epsilon} \sqrt{\overline{\hat b_j^2} + \epsilon}}` the correlation of feature i
    of the first views and j of the second over the batch: :math:`\hat a`, :math:`\hat b` have the mean 0.

    Args:
        z1: the first views, `[B, D]`, any float dtype.
        z2: the second views, `[B, D]`.
        weight: :math:`\lambda`; the more features there are, the smaller.
        eps: :math:`\epsilon`, added to the biased variances as batch norm does it: a constant feature correlates with
            nothing, and its gradient is finite.
        axis_name: the mapped device axis, or None for arrays that hold the global batch.

    Returns:
        A scalar, float32, the same on all devices: a statistic of the batch, so there is no value for each example.

    Raises:
        ValueError: there is only one example.

    >>> z = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> barlow_twins(z, z[:, ::-1], weight=0.5)  # every feature goes with the wrong one
    Array(2.99998, dtype=float32)

    Source: Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", ICML 2021, Eq. 1.
    """
    a, b = _centred(z1, z2, axis_name)
    moments = jnp.square(a).mean(axis=0), jnp.square(b).mean(axis=0), a.T @ b / len(a)
    variance1, variance2, product = pmean(moments, axis_name)
    scale1, scale2 = jax.lax.rsqrt(variance1 + eps), jax.lax.rsqrt(variance2 + eps)
    correlation = scale1[:, None] * product * scale2[None, :]
    return jnp.square(1 - jnp.diagonal(correlation)).sum() + weight * _off_diagonal(correlation)


def vicreg(
    z1: jax.Array,
    z2: jax.Array,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    gamma: float = 1.0,
    eps: float = 1e-4,
    axis_name: str | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    r"""VICReg: views are alike, every feature varies over the batch, and no two features vary together.

    The weighted sum of three terms, with N examples in the global batch and the covariances :math:`C_{ij} = \frac{1}{N
    - 1} \sum_n \hat z_{ni} \hat z_{nj}` of each view:

    - invariance, :math:`\frac{1}{N D} \|Z_1 - Z_2\|^2`;
    - variance, :math:`\frac{1}{D} \sum_i \max(0, \gamma - \sqrt{C_{ii} + \epsilon})`, the **mean** of both views;
    - covariance, :math:`\frac{1}{D} \sum_{i \ne j} C_{ij}^2`, the **sum** of both views.

    Means and sums are those of the authors' code. The paper sums the squared differences over features, and the
    variance over views: its weights are for the code.

    Args:
        z1: the first views, `[B, D]`, any float dtype.
        z2: the second views, `[B, D]`.
        invariance, variance, covariance: weights of the terms.
        gamma: the standard deviation that is enough.
        eps: under the root, whose gradient is finite for a constant feature.
        axis_name: the mapped device axis, or None for arrays that hold the global batch.

    Returns:
        The loss, a float32 scalar that is the same on all devices, and its terms before they are weighted, by name.

    Raises:
        ValueError: there is only one example.

    >>> z = jnp.array([[1.0, 1.0], [-1.0, -1.0]])
    >>> loss, terms = vicreg(z, z)  # both features are the same one, of variance 2
    >>> loss, terms["covariance"]
    (Array(8., dtype=float32), Array(8., dtype=float32))

    Source: Bardes, Ponce and LeCun, "VICReg: variance-invariance-covariance regularization for self-supervised
    learning", ICLR 2022.
    """
    views = _centred(z1, z2, axis_name)
    n = len(z1) * device_count(axis_name)
    # The mean of products on each device: of devices of as many examples each, the mean of these is the whole one.
    products = pmean([z.T @ z / len(z) for z in views], axis_name)
    covariances = [n / (n - 1) * product for product in products]
    short = [jax.nn.relu(gamma - jnp.sqrt(jnp.diagonal(c) + eps)).mean() for c in covariances]
    differences = z1.astype(jnp.float32) - z2.astype(jnp.float32)
    terms = {
        "invariance": pmean(jnp.square(differences).mean(), axis_name),
        "variance": (short[0] + short[1]) / 2,
        "covariance": sum(_off_diagonal(c) for c in covariances) / z1.shape[1],
    }
    weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
    return sum(weights[name] * term for name, term in terms.items()), terms


def _centred(z1, z2, axis_name):
    """Both views in float32, each feature less its mean over the global batch."""
    chex.assert_rank([z1, z2], 2)
    chex.assert_equal_shape([z1, z2])
    if len(z1) * device_count(axis_name) < 2:
        raise ValueError("features vary together over a batch of 2 examples or more; make it larger")
    z1, z2 = z1.astype(jnp.float32), z2.astype(jnp.float32)
    mean1, mean2 = pmean((z1.mean(axis=0), z2.mean(axis=0)), axis_name)
    return z1 - mean1[None], z2 - mean2[None]


def _off_diagonal(square):
    """The sum of squares of a matrix but for those of its diagonal."""
    return jnp.square(jnp.where(jnp.eye(len(square), dtype=bool), 0, square)).sum()
