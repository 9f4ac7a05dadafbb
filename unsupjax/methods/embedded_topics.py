"""Topics as points among word vectors, learnt by a variational autoencoder."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import topics as algorithms
from unsupjax.cluster.seeding import SEEDINGS
from unsupjax.methods.base import Method
from unsupjax.methods.parts.bags import unit_rows
from unsupjax.methods.parts.corpus_words import corpus_words
from unsupjax.methods.parts.topic_model import topic_model

_SIF = 1e-3
_ENTROPY, _TURNS = 0.05, 30  # of the transport plan: its entropy's weight, and iterations


class Known(NamedTuple):
    """Vectors of words, of length 1, `[V, D]`, and the roots of their frequencies, which are their shares, `[V]`."""

    vectors: jax.Array
    shares: jax.Array


def embedded_topics(
    encoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    topics: int = 20,
    words: int = 10,
    candidates: int = 30,
    dimensions: int = 200,
    window: int = 10,
    transport: float = 100.0,
    temperature: float = 0.2,
    alpha: float = 0.1,
    dropout: float = 0.2,
    relevance: float = 0.5,
    kind: Any,
    rows: np.ndarray | None = None,
    vocabulary: int,
    axis_name: str | None = None,
) -> Method:
    r"""Words belong to the topics that they are near, :math:`B_{kw} = \mathrm{softmax}_k(-\|t_k - e_w\|^2 / \tau)`.

    The vectors e of words, of length 1, factor the positive PMI of the training texts and stay as they are; topics
    begin at words that lie apart, and are learnt with the proportions of documents (`parts.topic_model`). So that
    each is the middle of words of its own, the cost :math:`\sum_{kw} \pi_{kw} \|t_k - e_w\|^2` of the optimal transport
    plan between topics of equal shares and words by the roots of their frequencies is added, times a weight.

    `encode` gives :math:`\theta` of the posterior's mean, `assign` its greatest, `topics` weights of words, each left
    to the topic where it weighs most, and those first that are most alike; `items` the word vectors.

    Args:
        encoder: a Linen module `[B, V] -> [B, H]`.
        tx: the optimizer.
        topics: K.
        words: of a topic, so many stand first that are most alike.
        candidates: they are chosen among so many with the greatest weights; `words`: these themselves.
        dimensions: D, of word vectors.
        window: words that share a window of so many stand together; of bags without an order, all of a document do.
        transport: the weight of the transport's cost.
        temperature: :math:`\tau`.
        alpha: of the symmetric Dirichlet prior of proportions; below 1 documents have few topics.
        dropout: of hidden units and of proportions.
        relevance: of words for a topic: 1 puts those first that are frequent, 0 those that are found nowhere else.
        kind: of the data, baskets.
        rows: the training split as it is stored. Only training needs it.
        vocabulary: V, how many words there are.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Source: Dieng et al., "Topic modeling in embedding spaces", TACL 2020; the transport: Wu et al., "Effective neural
    topic modeling with embedding clustering regularization", ICML 2023.
    """
    if candidates < words or words < 1 or transport < 0 or temperature <= 0:
        raise ValueError(
            f"{words=} must be at least 1, {candidates=} at least words, {transport=} at least 0 and {temperature=} "
            "above 0"
        )
    found = corpus_words(rows, kind, dimensions, window, _SIF)

    def decoder(key):
        vectors = unit_rows(jnp.asarray(found().vectors))
        frequency = _SIF * (1 / jnp.maximum(jnp.asarray(found().sif), _SIF) - 1)
        shares = jnp.sqrt(jnp.maximum(frequency, 1e-9))
        return SEEDINGS["k-means++"](key, vectors, topics, shares, "euclidean", None), Known(vectors, shares)

    def belongs(t, known):
        return jax.nn.softmax(-_distances(t, known.vectors) / temperature, axis=0)

    def chosen(weights, known):
        apart = algorithms.exclusive(weights)
        return algorithms.coherent(apart, known.vectors, candidates=candidates, words=words)

    return topic_model(
        encoder,
        tx,
        decoder=decoder,
        logits=belongs,
        words=chosen,
        penalty=lambda t, known: transport * _transport(_distances(t, known.vectors), known.shares),
        items=lambda known: known.vectors,
        topics=topics,
        alpha=alpha,
        dropout=dropout,
        relevance=relevance,
        vocabulary=vocabulary,
        axis_name=axis_name,
    )


def _distances(t: jax.Array, vectors: jax.Array) -> jax.Array:
    """Squared, of topics to words of length 1, `[K, V]`."""
    return jnp.sum(jnp.square(t), axis=1)[:, None] + 1 - 2 * t @ vectors.T


def _transport(cost: jax.Array, shares: jax.Array) -> jax.Array:
    """The cost of the plan between K topics of equal shares and V words, of little entropy (Sinkhorn).

    The plan minimises what it is a minimum of: its own gradient is none.
    """
    log_shares = jnp.log(shares / shares.sum())
    log_plan = -jax.lax.stop_gradient(cost) / _ENTROPY

    def turn(_, log_plan):
        log_plan = log_plan - jax.nn.logsumexp(log_plan, axis=1, keepdims=True) - jnp.log(len(cost))
        return log_plan - jax.nn.logsumexp(log_plan, axis=0, keepdims=True) + log_shares[None]

    plan = jnp.exp(jax.lax.fori_loop(0, _TURNS, turn, log_plan))
    return jnp.sum(plan * cost)
