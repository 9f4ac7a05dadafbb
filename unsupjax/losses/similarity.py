"""Losses of pairs of embeddings by their cosine similarity or distance on the unit sphere."""

import chex
import jax
import jax.numpy as jnp

from unsupjax.losses.streaming import log_sum_exp
from unsupjax.parallel.collectives import example_ids, gather_rows, pmean

SHORTEST = 1e-12  # a vector shorter than this has no direction that float32 could tell


def normalize(x: jax.Array, axis: int = -1) -> jax.Array:
    r"""Unit length, :math:`x / \|x\|`.

    Args:
        x: real numbers of any shape and dtype.
        axis: the axis along which the length is taken.

    Returns:
        float32, of the shape of `x`. Vectors shorter than 1e-12, zeros among them, are returned as they are, and
        have a gradient of finite size.

    >>> normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    Array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    x = x.astype(jnp.float32)
    square = jnp.square(x).sum(axis=axis, keepdims=True)
    # As a product with rsqrt: the compiler makes that of a quotient in some programs and not in others, and then does
    # not see that a loss and a metric of the same rows have their similarities in common.
    return x * jax.lax.rsqrt(jnp.where(square >= SHORTEST**2, square, 1))


def negative_cosine(prediction: jax.Array, target: jax.Array) -> jax.Array:
    r"""Negative cosine similarity, :math:`-\frac{p \cdot z}{\|p\| \|z\|}`; `target` is a constant of the gradient.

    Args:
        prediction: p, `[B, D]`.
        target: z, `[B, D]`.

    Returns:
        `[B]` float32 in [-1, 1]; 0 where either is zero.

    >>> negative_cosine(jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 4.0]]))
    Array([-0.6], dtype=float32)

    Source: Chen and He, "Exploring simple Siamese representation learning", CVPR 2021.
    """
    _check_pairs(prediction, target)
    return -(normalize(prediction) * normalize(jax.lax.stop_gradient(target))).sum(axis=1)


def byol(p1: jax.Array, z2: jax.Array, p2: jax.Array, z1: jax.Array) -> jax.Array:
    r"""Squared distances of unit-length predictions from unit-length targets, of both views **summed**.

    :math:`\|\bar p_1 - \bar z_2\|^2 + \|\bar p_2 - \bar z_1\|^2 = (2 - 2\cos(p_1, z_2)) + (2 - 2\cos(p_2, z_1))`. The
    targets are constants of the gradient. Half of it, the mean of the views, would need twice the learning rate.

    Args:
        p1: predictions from the first view, `[B, D]`.
        z2: the target network's projections of the second view, `[B, D]`.
        p2: predictions from the second view, `[B, D]`.
        z1: the target network's projections of the first view, `[B, D]`.

    Returns:
        `[B]` float32 in [0, 8].

    >>> x, y = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 2.0]])
    >>> byol(x, x, y, y), byol(x, y, y, x)
    (Array([0.], dtype=float32), Array([4.], dtype=float32))

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020, Eq. 2.
    """
    return (2 + 2 * negative_cosine(p1, z2)) + (2 + 2 * negative_cosine(p2, z1))


def simsiam(p1: jax.Array, z2: jax.Array, p2: jax.Array, z1: jax.Array) -> jax.Array:
    r"""`negative_cosine` of predictions and projections of the other view, the **mean** of both views.

    :math:`-\frac12 (\cos(p_1, z_2) + \cos(p_2, z_1))`, a quarter of `byol` less 1. The projections are constants of the
    gradient: without that, all embeddings become the same.

    Args:
        p1: predictions from the first view, `[B, D]`.
        z2: projections of the second view, by the same network, `[B, D]`.
        p2: predictions from the second view, `[B, D]`.
        z1: projections of the first view, `[B, D]`.

    Returns:
        `[B]` float32 in [-1, 1].

    >>> x, y = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 2.0]])
    >>> simsiam(x, x, y, y), simsiam(x, y, y, y)
    (Array([-1.], dtype=float32), Array([-0.5], dtype=float32))

    Source: Chen and He, "Exploring simple Siamese representation learning", CVPR 2021, Eq. 4.
    """
    return (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2


def align(z1: jax.Array, z2: jax.Array, alpha: float = 2) -> jax.Array:
    r"""Alignment: how far apart on the unit sphere two views of an example lie, :math:`\|\bar z_1 - \bar z_2\|^\alpha`.

    Args:
        z1: the first views, `[B, D]`; made unit length here.
        z2: the second views, `[B, D]`; made unit length here.
        alpha: the power.

    Returns:
        `[B]` float32 in [0, 2^alpha]; where the views coincide the gradient is 0.

    >>> align(jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 3.0]]))
    Array([2.], dtype=float32)

    Source: Wang and Isola, "Understanding contrastive representation learning through alignment and uniformity on
    the hypersphere", ICML 2020.
    """
    _check_pairs(z1, z2)
    square = jnp.square(normalize(z1) - normalize(z2)).sum(axis=1)
    apart = square > 0
    return jnp.where(apart, jnp.where(apart, square, 1) ** (alpha / 2), 0)


def uniformity(
    z: jax.Array, t: float = 2, *, axis_name: str | None = None, chunk_size: int | None = None
) -> jax.Array:
    r"""Uniformity: how evenly embeddings cover the unit sphere; lower is more even.

    :math:`\log \frac{1}{N(N-1)} \sum_{i \ne j} \exp(-t \|\bar z_i - \bar z_j\|^2)` over the N examples of the global
    batch. It is 0 where all coincide, and about :math:`-2t + 2t^2 / D` for even coverage in D dimensions.

    Args:
        z: embeddings, `[B, D]`; made unit length here. A zero vector counts as at right angles to all others.
        t: how local the kernel is.
        axis_name: the mapped device axis, or None for arrays that hold the global batch.
        chunk_size: rows and columns of the tiles that the N x N similarities are made in; None: all at once.

    Returns:
        A scalar, float32, the same on all devices: a statistic of the batch, so there is no value for each example.

    Raises:
        ValueError: there is only one example.

    >>> uniformity(jnp.array([[1.0, 0.0], [-2.0, 0.0]]))
    Array(-8., dtype=float32)

    Source: Wang and Isola, ICML 2020, as above.
    """
    chex.assert_rank(z, 2)
    z, ids = normalize(z), example_ids(len(z), axis_name)
    n = len(z) if axis_name is None else len(z) * jax.lax.axis_size(axis_name)
    if n < 2:
        raise ValueError("uniformity is of pairs: it needs at least 2 examples")
    keys = (None, None) if axis_name is None else (gather_rows(z, axis_name), gather_rows(ids, axis_name))
    each = log_sum_exp(z, keys[0], ids, keys[1], 2 * t, chunk_size)
    total = jax.nn.logsumexp(gather_rows(each, axis_name))
    return pmean(total - 2 * t - jnp.log(n * (n - 1.0)), axis_name)


def _check_pairs(a, b):
    chex.assert_rank([a, b], 2)
    chex.assert_equal_shape([a, b])
