"""Topics as a mixture of distributions over words, which begins at clusters of documents."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import topics as algorithms
from unsupjax.methods.base import Method, Wants
from unsupjax.methods.parts.bags import dense
from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.methods.topic_clusters import TopicClustersState, topic_clusters
from unsupjax.parallel.collectives import psum


class TopicMixtureState(NamedTuple):
    """The state of a mixture of topics.

    Attributes:
        step, key: as of every method.
        clusters: what it begins at.
        begun: whether that has converged and the mixture is fitted.
        counts: the model: how often each topic is expected to have each word, float32 `[K, V]`.
        part: the same over the examples of this epoch so far, under `counts`.
        nll, words: in nats and words, the sums over the examples of this epoch so far.
        before: nats a word of the last whole epoch; the greatest float32 before, as no part of a state may be infinite.
        converged: for good.
        epoch, seen: the epoch of the next example, and its position within it.
    """

    step: jax.Array
    key: jax.Array
    clusters: TopicClustersState
    begun: jax.Array
    counts: jax.Array
    part: jax.Array
    nll: jax.Array
    words: jax.Array
    before: jax.Array
    converged: jax.Array
    epoch: jax.Array
    seen: jax.Array


def topic_mixture(
    *,
    topics: int = 20,
    words: int = 10,
    candidates: int = 30,
    dimensions: int = 200,
    window: int = 10,
    sif: float = 1e-3,
    restarts: int = 4,
    smoothing: float = 1.0,
    tolerance: float = 1e-4,
    kind: Any,
    rows: np.ndarray | None = None,
    examples: int,
    axis_name: str | None = None,
) -> Method:
    r"""Every document has one topic k, which draws its words, :math:`p(d) = \frac1K \sum_k \prod_w p(w | k)^{n_w}`.

    Expectation maximisation, an epoch an iteration: documents are shared out among topics by
    :math:`p(k | d)`, and :math:`p(w | k) = \frac{n_{kw} + a}{\sum_v n_{kv} + a}` of the words so shared. That finds
    what is near its beginning, which is `topic_clusters`, until its k-means has converged: word vectors tell which
    documents are alike that have no word in common, and the mixture which words tell topics apart.

    `encode` gives :math:`p(k | d)`, of documents of more than a few words nearly all of it one topic's; `assign` the
    greatest; `topics` weights of words as of `topic_clusters`, of the expected counts; `prototypes` :math:`p(w | k)`,
    `items` the word vectors.

    Args:
        topics: K.
        words: of a topic, so many stand first that are most alike.
        candidates: they are chosen among so many with the greatest class TF-IDF; `words`: these themselves.
        dimensions, window, sif, restarts: of `topic_clusters`.
        smoothing: a, words that each topic has of each word beforehand.
        tolerance: it has converged when an epoch lowers the nats a word by less than that share of them.
        kind: of the data, baskets.
        rows: the training split as it is stored. Only training needs it.
        examples: in an epoch.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: Nigam, McCallum, Thrun and Mitchell, "Text classification from labeled and unlabeled documents using EM",
    Machine Learning 2000, here of unlabelled documents alone.
    """
    if smoothing <= 0 or tolerance < 0:
        raise ValueError(f"{smoothing=} must be above 0 and {tolerance=} at least 0")
    size = kind.size
    facts = {"kind": kind, "rows": rows, "examples": examples, "axis_name": axis_name}
    vectors = {"dimensions": dimensions, "window": window, "sif": sif}
    first = topic_clusters(
        topics=topics, words=words, candidates=candidates, restarts=restarts, **vectors, **facts
    )

    def init(key, batch):
        clusters = first.init(key, batch)
        zero, none, false = jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.array(False)
        counts = jnp.zeros_like(clusters.counts)
        model = (counts, jnp.copy(counts), none, none, jnp.full((), jnp.finfo(jnp.float32).max), false)
        return TopicMixtureState(zero, key, clusters, false, *model, zero, zero)

    def log_words(counts):
        return jnp.log((counts + smoothing) / (counts + smoothing).sum(axis=1, keepdims=True))

    def log_likely(counts, bags):
        return bags @ log_words(counts).T

    def shared_out(counts, bags, weights):
        """The expected counts, the nats and the words of these documents."""
        logits = log_likely(counts, bags)
        nats = jnp.log(topics) - jax.nn.logsumexp(logits, axis=1)
        expected = (jax.nn.softmax(logits, axis=1) * weights[:, None]).T @ bags
        return psum((expected, nats @ weights, bags.sum(axis=1) @ weights), axis_name)

    def added(state, found):
        sums = zip((state.part, state.nll, state.words), found, strict=True)
        return state._replace(**dict(zip(("part", "nll", "words"), (a + b for a, b in sums), strict=True)))

    def anew(state, counts, bags, rest):
        """Of this model, with what the batch has of the next epoch."""
        zeros = {"part": jnp.zeros_like(state.part), "nll": jnp.zeros(()), "words": jnp.zeros(())}
        return added(state._replace(counts=counts, **zeros), shared_out(counts, bags, rest))

    def begins(state, x, bags, at, now):
        """k-means, and at its end the first model."""
        clusters, metrics = first.step(state.clusters, x)
        state = state._replace(clusters=clusters)
        begun = lambda: anew(state._replace(begun=jnp.array(True)), clusters.counts, bags, 1 - now)
        return jax.lax.cond(at.ends & (metrics["converged"] > 0), begun, lambda: state), metrics["loss"]

    def fits(state, x, bags, at, now):
        del x
        found = shared_out(state.counts, bags, now)
        state = added(state, found)

        def ended():
            nats = state.nll / jnp.maximum(state.words, 1)
            still = state.converged | (state.before - nats <= tolerance * nats)
            counts = jnp.where(state.converged, state.counts, state.part)
            return anew(state._replace(before=nats, converged=still), counts, bags, 1 - now)

        return jax.lax.cond(at.ends, ended, lambda: state), found[1] / jnp.maximum(found[2], 1)

    def step(state: TopicMixtureState, x: jax.Array):
        bags = dense(x, size)
        at = place(state.epoch, state.seen, len(x), examples, axis_name)
        now = of_epoch(at, len(x), axis_name)
        state, loss = jax.lax.cond(state.begun, fits, begins, state, x, bags, at, now)
        state = state._replace(step=state.step + 1, epoch=at.following, seen=at.seen)
        return state, {"loss": loss, "converged": state.converged.astype(jnp.float32)}

    def finish(state: TopicMixtureState):
        """Of a run that ended before k-means did, the counts of its clusters."""
        clusters = first.finish(state.clusters)
        return state._replace(clusters=clusters, counts=jnp.where(state.begun, state.counts, clusters.counts))

    def encode(state, x):
        return jax.nn.softmax(log_likely(state.counts, dense(x, size)), axis=1)

    def assign(state, x):
        return jnp.argmax(log_likely(state.counts, dense(x, size)), axis=1).astype(jnp.int32)

    def weights(state):
        found = algorithms.exclusive(algorithms.class_tfidf(state.counts))
        return algorithms.coherent(found, first.items(state.clusters), candidates=candidates, words=words)

    return Method(
        init,
        step,
        encode,
        assign=assign,
        prototypes=lambda state: jnp.exp(log_words(state.counts)),
        items=lambda state: first.items(state.clusters),
        topics=weights,
        finish=finish,
        wants=Wants(kinds=("baskets",)),
    )
