"""Losses of codes that are to cluster: soft assignments, targets that sharpen them, distances on a map."""

import chex
import jax
import jax.numpy as jnp

TINY = jnp.finfo(jnp.float32).tiny


def squared_distances(z: jax.Array, centers: jax.Array) -> jax.Array:
    r"""Squared Euclidean distances :math:`\|z_i - \mu_j\|^2`.

    From differences, not from an expanded square, which cancels where codes lie far from zero.

    Args:
        z: codes, `[B, D]`.
        centers: `[K, D]`.

    Returns:
        `[B, K]` float32.

    >>> squared_distances(jnp.zeros((1, 2)), jnp.array([[1.0, 1.0], [0.0, 3.0]]))
    Array([[2., 9.]], dtype=float32)
    """
    chex.assert_rank([z, centers], 2)
    chex.assert_equal_shape_suffix([z, centers], 1)
    z, centers = z.astype(jnp.float32), centers.astype(jnp.float32)
    return jnp.square(z[:, None] - centers[None]).sum(axis=2)


def student_t(z: jax.Array, centers: jax.Array) -> jax.Array:
    r"""Soft assignment of codes to centres by Student's t with one degree of freedom.

    :math:`q_{ij} \propto (1 + \|z_i - \mu_j\|^2)^{-1}`, normalised over j.

    Args:
        z: codes, `[B, D]`.
        centers: `[K, D]`.

    Returns:
        q, `[B, K]` float32; rows sum to 1.

    >>> student_t(jnp.zeros((1, 1)), jnp.array([[0.0], [1.7320508]]))
    Array([[0.8, 0.2]], dtype=float32)

    Source: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008; as here: Xie et al., ICML 2016.
    """
    kernel = 1 / (1 + squared_distances(z, centers))
    return kernel / kernel.sum(axis=1, keepdims=True)


def target_distribution(q: jax.Array, frequencies: jax.Array) -> jax.Array:
    r"""What soft assignments are drawn to: themselves, sharpened, and evened out over clusters.

    :math:`p_{ij} \propto q_{ij}^2 / f_j`, normalised over j, with :math:`f_j = \sum_i q_{ij}` over the **whole**
    data set: frequencies of a single batch are another, noisier target. A common factor of f cancels.

    Args:
        q: soft assignments, `[B, K]`.
        frequencies: f, `[K]`.

    Returns:
        p, `[B, K]` float32; rows sum to 1.

    >>> target_distribution(jnp.array([[0.5, 0.5]]), jnp.array([1.0, 3.0]))
    Array([[0.75, 0.25]], dtype=float32)

    Source: Xie, Girshick and Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016.
    """
    chex.assert_rank([q, frequencies], [2, 1])
    chex.assert_equal_shape_suffix([q, frequencies], 1)
    q = q.astype(jnp.float32)
    weight = jnp.square(q) / jnp.maximum(frequencies.astype(jnp.float32), TINY)[None]
    return weight / jnp.maximum(weight.sum(axis=1, keepdims=True), TINY)


def dec_loss(p: jax.Array, q: jax.Array) -> jax.Array:
    r"""KL divergence of soft assignments from their target, :math:`\sum_j p_{ij} \log (p_{ij} / q_{ij})`.

    Args:
        p: the target, `[B, K]`, held constant by callers; an entry of 0 contributes 0.
        q: soft assignments, `[B, K]`.

    Returns:
        `[B]` float32, nats; finite wherever q underflows to 0.

    >>> dec_loss(jnp.array([[1.0, 0.0]]), jnp.array([[0.5, 0.5]]))
    Array([0.6931472], dtype=float32)

    Source: Xie, Girshick and Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016.
    """
    chex.assert_rank([p, q], 2)
    chex.assert_equal_shape([p, q])
    p, q = p.astype(jnp.float32), jnp.maximum(q.astype(jnp.float32), TINY)
    # The logarithm of 1 where p is 0 keeps its gradient finite there too.
    return (p * (jnp.log(jnp.where(p > 0, p, 1)) - jnp.log(q))).sum(axis=1)


def som_distortion(z: jax.Array, codebook: jax.Array, neighbourhood: jax.Array) -> jax.Array:
    r"""Distortion of a self-organizing map, :math:`\sum_k h_{k\,b(i)} \|z_i - m_k\|^2`.

    The best unit :math:`b(i) = \arg\min_k \|z_i - m_k\|` (of equals the lowest) is a constant of the gradient,
    which reaches codes and codebook through the distances alone.

    Args:
        z: codes, `[B, D]`.
        codebook: m, `[K, D]`.
        neighbourhood: h, `[K, K]`, symmetric: how strongly each unit moves with each best unit.

    Returns:
        `[B]` float32.

    >>> som_distortion(jnp.zeros((1, 1)), jnp.array([[1.0], [2.0]]), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
    Array([3.], dtype=float32)

    Source: Heskes, "Energy functions for self-organizing maps", 1999; of codes: Forest et al., ESANN 2019.
    """
    distances = squared_distances(z, codebook)
    chex.assert_shape(neighbourhood, (codebook.shape[0],) * 2)
    weights = jax.lax.stop_gradient(neighbourhood[distances.argmin(axis=1)])
    return (weights * distances).sum(axis=1)
