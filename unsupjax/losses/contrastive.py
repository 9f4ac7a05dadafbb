r"""Contrastive losses: tell the other view of an example from all other examples.

All are :math:`-\log \frac{e^{s^+/T}}{e^{s^+/T} + \sum_j e^{s_j/T}} = \operatorname{softplus}(\log \sum_j e^{s_j/T} -
s^+/T)`, s being cosine similarities: of the positive and of the negatives. The second form has no cancellation, and so
keeps its digits where the loss is small.
"""

import chex
import jax
import jax.numpy as jnp

from unsupjax.losses.similarity import normalize
from unsupjax.losses.streaming import DROPPED, highest, log_sum_exp
from unsupjax.parallel.collectives import example_ids, gather_rows, interleaved

_TIE = 1e-6  # similarities closer than this are equal as far as float32 can tell


def info_nce(
    query: jax.Array,
    key: jax.Array,
    *,
    negatives: jax.Array | None = None,
    temperature: jax.Array | float = 0.1,
    axis_name: str | None = None,
    where: jax.Array | None = None,
    chunk_size: int | None = None,
    normalized: bool = False,
) -> jax.Array:
    r"""InfoNCE: cross-entropy of picking a query's own key among candidates.

    :math:`-\log \frac{\exp(q_i \cdot k_i / T)}{\exp(q_i \cdot k_i / T) + \sum_{j} \exp(q_i \cdot n_j / T)}`. The
    negatives n are the other keys of the global batch, or those that are given. log N - loss, N the number of
    candidates, is in expectation at most the mutual information of query and key.

    Args:
        query: q, `[B, D]`, any float dtype.
        key: k, `[B, D]`. Differentiated: apply `stop_gradient` where a method holds keys constant.
        negatives: `[K, D]`, the same on all devices; None: the other keys of the batch, over all devices.
        temperature: T > 0; may be traced and learnt.
        axis_name: the mapped device axis, or None for arrays that hold the global batch.
        where: bool `[B]`, which examples there are; the others have a loss of 0 and are nobody's negatives.
        chunk_size: rows and columns of the tiles that logits are made in, forward and once more backward; None: all
            logits stand in memory. Under `jit` with sharded arrays every device makes all tiles: there, `shard_map`
            with an `axis_name` divides them.
        normalized: use the rows as they are, of unit length or not, instead of making them unit length.

    Returns:
        `[B]` float32, nats.

    Raises:
        ValueError: a temperature that is not above 0, or a `chunk_size` below 1.

    >>> info_nce(jnp.eye(2), jnp.eye(2), temperature=1.0)
    Array([0.3132617, 0.3132617], dtype=float32)

    Source: van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018.
    """
    query, key = _rows(query, key, where, normalized)
    given = negatives is not None
    candidates = _given(negatives, query, normalized) if given else _others(key, axis_name, where)
    return _loss(query, key, *candidates, _inverse(temperature), chunk_size, where)


def moco(
    query: jax.Array,
    key: jax.Array,
    queue: jax.Array,
    *,
    temperature: jax.Array | float = 0.2,
    where: jax.Array | None = None,
    chunk_size: int | None = None,
    normalized: bool = False,
) -> jax.Array:
    """InfoNCE against a queue of earlier keys; key and queue are constants of the gradient.

    Args:
        query: `[B, D]`.
        key: `[B, D]`, by the momentum encoder.
        queue: `[K, D]`, as it is before the batch's keys enter, the same on all devices.
        temperature: T > 0.
        where: bool `[B]`, which examples there are; the others have a loss of 0.
        chunk_size: as in `info_nce`.
        normalized: as in `info_nce`; a queue that is not of unit length and not made so keeps the loss at ln(K + 1).

    Returns:
        `[B]` float32, nats.

    >>> moco(jnp.eye(2), jnp.eye(2), jnp.zeros((3, 2)), temperature=1.0)
    Array([0.7436684, 0.7436684], dtype=float32)

    Source: He et al., "Momentum contrast for unsupervised visual representation learning", CVPR 2020.
    """
    key, queue = jax.lax.stop_gradient((key, queue))
    return info_nce(
        query,
        key,
        negatives=queue,
        temperature=temperature,
        where=where,
        chunk_size=chunk_size,
        normalized=normalized,
    )


def nt_xent(
    z1: jax.Array,
    z2: jax.Array,
    *,
    temperature: jax.Array | float = 0.1,
    axis_name: str | None = None,
    where: jax.Array | None = None,
    chunk_size: int | None = None,
) -> jax.Array:
    r"""NT-Xent, SimCLR's loss: each view must find the other one of its example among all views but itself.

    With B examples in the global batch each of the 2B views has one positive and 2B - 2 negatives. Of all equal
    embeddings it is ln(2B - 1).

    Args:
        z1: the first views, `[B, D]`, any float dtype; made unit length here.
        z2: the second views, `[B, D]`.
        temperature: T > 0; may be traced and learnt.
        axis_name: the mapped device axis, or None for arrays that hold the global batch. Negatives come from all
            devices, and so do gradients.
        where: bool `[B]`, which examples there are; the others have a loss of 0 and are nobody's negatives.
        chunk_size: as in `info_nce`.

    Returns:
        `[B]` float32, nats: the mean of the terms of an example's two views.

    Raises:
        ValueError: as `info_nce`.

    >>> nt_xent(jnp.ones((3, 2)), jnp.ones((3, 2)))  # ln 5
    Array([1.609438, 1.609438, 1.609438], dtype=float32)

    Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020, Eq. 1.
    """
    pairs, candidates, both = _both_views(z1, z2, axis_name, where)
    return _loss(*pairs, *candidates, _inverse(temperature), chunk_size, both).reshape(-1, 2).mean(axis=1)


def contrastive_accuracy(
    query: jax.Array,
    key: jax.Array,
    *,
    negatives: jax.Array | None = None,
    axis_name: str | None = None,
    where: jax.Array | None = None,
    chunk_size: int | None = None,
) -> jax.Array:
    """1 where a query is more similar to its own key than to any other candidate of `info_nce`, otherwise 0.

    Similarities closer than 1e-6 are a tie, and a tie is 0: collapsed embeddings score 0.

    Args:
        query: `[B, D]`.
        key: `[B, D]`.
        negatives: `[K, D]`, the same on all devices; None: the other keys of the batch, over all devices.
        axis_name: the mapped device axis, or None for arrays that hold the global batch.
        where: bool `[B]`, which examples there are; the others score 0 and are nobody's candidates.
        chunk_size: as in `info_nce`; without it `jit` shares the similarities with those of the loss.

    Returns:
        `[B]` float32, no gradient.

    >>> contrastive_accuracy(jnp.eye(2), jnp.array([[1.0, 1.0], [-1.0, 0.0]]))
    Array([1., 0.], dtype=float32)
    """
    query, key = _rows(query, key, where)
    candidates = _given(negatives, query) if negatives is not None else _others(key, axis_name, where)
    return _hit(query, key, *candidates, chunk_size, where)


def nt_xent_accuracy(
    z1: jax.Array,
    z2: jax.Array,
    *,
    axis_name: str | None = None,
    where: jax.Array | None = None,
    chunk_size: int | None = None,
) -> jax.Array:
    """What part of an example's two views, 0, 1/2 or 1, has the other as its most similar one among all views.

    Args:
        z1: the first views, `[B, D]`.
        z2: the second views, `[B, D]`.
        axis_name: the mapped device axis, or None for arrays that hold the global batch.
        where: bool `[B]`, which examples there are; the others score 0 and are nobody's candidates.
        chunk_size: as in `contrastive_accuracy`, and so are ties.

    Returns:
        `[B]` float32, no gradient.

    >>> nt_xent_accuracy(jnp.eye(2), jnp.eye(2))
    Array([1., 1.], dtype=float32)
    """
    pairs, candidates, both = _both_views(z1, z2, axis_name, where)
    return _hit(*pairs, *candidates, chunk_size, both).reshape(-1, 2).mean(axis=1)


def _inverse(temperature):
    if isinstance(temperature, int | float) and not temperature > 0:
        raise ValueError(f"temperature={temperature} must be above 0")
    return 1 / temperature


def _rows(a, b, where, normalized=False):
    """Float32 rows of unit length, and zeros where there is no example: what stood there, NaN maybe, has no effect."""
    chex.assert_rank([a, b], 2)
    chex.assert_equal_shape([a, b])
    if where is not None:
        chex.assert_shape(where, a.shape[:1])
        a, b = (jnp.where(where[:, None], x, 0) for x in (a, b))
    return (a.astype(jnp.float32), b.astype(jnp.float32)) if normalized else (normalize(a), normalize(b))


def _ids(n, axis_name, where):
    """Of each local example, its index in the global batch: rows and keys of one id are no negatives."""
    ids = example_ids(n, axis_name)
    return ids if where is None else jnp.where(where, ids, DROPPED)


def _both_views(z1, z2, axis_name, where):
    """(Views `[2B, D]`, for each the other one), candidates as below with None for the rows themselves, `where`.

    An example's two views follow one another.
    """
    z1, z2 = _rows(z1, z2, where)
    views = interleaved(z1, z2)
    ids = jnp.repeat(_ids(len(z1), axis_name, where), 2)
    candidates = (None, ids, None) if axis_name is None else _gathered(views, ids, axis_name)
    both = None if where is None else jnp.repeat(where, 2)
    return (views, interleaved(z2, z1)), candidates, both


def _others(key, axis_name, where):
    """Candidates: keys, ids of this device's rows, ids of the keys."""
    return _gathered(key, _ids(len(key), axis_name, where), axis_name)


def _gathered(keys, ids, axis_name):
    return gather_rows(keys, axis_name), ids, gather_rows(ids, axis_name)


def _given(negatives, query, normalized=False):
    chex.assert_rank(negatives, 2)
    chex.assert_equal_shape_suffix([negatives, query], 1)
    negatives = negatives.astype(jnp.float32) if normalized else normalize(negatives)
    return negatives, jnp.ones(len(query), jnp.int32), jnp.zeros(len(negatives), jnp.int32)


def _loss(rows, own, keys, row_ids, key_ids, scale, chunk_size, where):
    positive = scale * (rows * own).sum(axis=1)
    loss = jax.nn.softplus(log_sum_exp(rows, keys, row_ids, key_ids, scale, chunk_size) - positive)
    return loss if where is None else jnp.where(where, loss, 0)


def _hit(rows, own, keys, row_ids, key_ids, chunk_size, where):
    hit = (rows * own).sum(axis=1) > highest(rows, keys, row_ids, key_ids, chunk_size) + _TIE
    return (hit if where is None else hit & where).astype(jnp.float32)
