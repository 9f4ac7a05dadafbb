"""Topics as clusters of documents, which are means of word vectors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import topics as algorithms
from unsupjax.methods.base import Method, Wants
from unsupjax.methods.kmeans import KMeansState, kmeans
from unsupjax.methods.parts.bags import dense
from unsupjax.methods.parts.corpus_words import Words, corpus_words, document_vectors
from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.parallel.collectives import psum

_SHARP = 10.0  # of the proportions: the softmax is of so many times the cosine


class TopicClustersState(NamedTuple):
    """The state of topic clusters.

    Attributes:
        step, key: as of every method.
        words: see `Words`.
        clusters: of the k-means, which has its epochs.
        part: how often each topic has each word, over the examples of this epoch so far, float32 `[K, V]`.
        centers, counts: the model: float32 `[K, D]`, and the sums of the last whole epoch under these centres.
        whole: whether there was a whole epoch.
    """

    step: jax.Array
    key: jax.Array
    words: Words
    clusters: KMeansState
    part: jax.Array
    centers: jax.Array
    counts: jax.Array
    whole: jax.Array


def topic_clusters(
    *,
    topics: int = 20,
    words: int = 10,
    candidates: int = 30,
    dimensions: int = 200,
    window: int = 10,
    sif: float = 1e-3,
    restarts: int = 4,
    tolerance: float = 1e-4,
    least_cosine: float = -1.0,
    kind: Any,
    rows: np.ndarray | None = None,
    examples: int,
    axis_name: str | None = None,
) -> Method:
    r"""k-means of documents' vectors; the words of a topic are those that its documents have and others do not.

    Word vectors factor the positive PMI of the training texts (`topics.word_vectors`). A document is the mean of its
    words, each times :math:`(1 + \ln n)\frac{a}{a + p(w)}` for its count n in the document and its frequency p, less
    the component that all documents share, of length 1. Spherical k-means divides them, an epoch an iteration; the
    words of a topic are those of the class TF-IDF over the counts of its documents, each word in the one topic where it
    weighs most, and of these those that are most alike (`topics.words`).

    `encode` gives proportions `[B, K]`, :math:`\mathrm{softmax}(10 \cos)` with the centres; `assign` the greatest;
    `topics` weights of words `[K, V]`; `prototypes` the centres, `items` the word vectors. Topics are of the
    last whole epoch.

    Args:
        topics: K.
        words: of a topic, so many stand first that are most alike.
        candidates: they are chosen among so many with the greatest TF-IDF; `words`: these themselves.
        dimensions: D, of word vectors.
        window: words that share a window of so many stand together; of bags without an order, all of a document do.
        sif: a.
        restarts: of the k-means, side by side; the best one counts.
        tolerance: as of `kmeans`.
        least_cosine: documents further than that from all centres get no topic, -1; at -1.0 all get one.
        kind: of the data, baskets.
        rows: the training split as it is stored. Only training needs it.
        examples: in an epoch.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: word vectors: Levy et al., TACL 2015; means: Arora et al., ICLR 2017; clusters of word vectors as topics:
    Sia et al., EMNLP 2020; class TF-IDF: Grootendorst, 2022.
    """
    if topics < 1 or words < 1 or candidates < words:
        raise ValueError(f"{topics=} and {words=} must be at least 1, and {candidates=} at least words")
    size = kind.size
    divided = kmeans(
        clusters=topics,
        restarts=restarts,
        tolerance=tolerance,
        spherical=True,
        examples=examples,
        axis_name=axis_name,
    )

    found = corpus_words(rows, kind, dimensions, window, sif)

    def init(key, batch):
        known = Words(*map(jnp.asarray, found()))
        clusters = divided.init(key, document_vectors(known, dense(batch, size)))
        zeros, false = jnp.zeros((topics, size)), jnp.array(False)
        centers = divided.prototypes(clusters)
        return TopicClustersState(
            jnp.zeros((), jnp.int32), key, known, clusters, zeros, centers, jnp.zeros_like(zeros), false
        )

    def counted(bags, z, centers, weights):
        member = jax.nn.one_hot(jnp.argmax(z @ centers.T, axis=1), topics) * weights[:, None]
        return psum(member.T @ bags, axis_name)

    def step(state: TopicClustersState, x: jax.Array):
        bags = dense(x, size)
        z = document_vectors(state.words, bags)
        at = place(state.clusters.epoch, state.clusters.seen, len(x), examples, axis_name)
        now = of_epoch(at, len(x), axis_name)
        centers = divided.prototypes(state.clusters)
        part = state.part + counted(bags, z, centers, now)
        clusters, metrics = divided.step(state.clusters, z)

        def ended():
            rest = counted(bags, z, divided.prototypes(clusters), 1 - now)
            return rest, centers, part, jnp.array(True)

        part, centers, counts, whole = jax.lax.cond(
            at.ends, ended, lambda: (part, state.centers, state.counts, state.whole)
        )
        state = state._replace(step=state.step + 1, clusters=clusters, part=part)
        return state._replace(centers=centers, counts=counts, whole=whole), metrics

    def finish(state: TopicClustersState):
        """Of a run of less than an epoch, what there is of it."""
        began = lambda: state._replace(centers=divided.prototypes(state.clusters), counts=state.part)
        return jax.lax.cond(state.whole, lambda: state, began)

    def cosines(state, x):
        return document_vectors(state.words, dense(x, size)) @ state.centers.T

    def encode(state, x):
        return jax.nn.softmax(_SHARP * cosines(state, x), axis=1)

    def assign(state, x):
        found = cosines(state, x)
        return jnp.where(found.max(axis=1) < least_cosine, -1, jnp.argmax(found, axis=1)).astype(jnp.int32)

    def weights(state):
        found = algorithms.exclusive(algorithms.class_tfidf(state.counts))
        return algorithms.coherent(found, state.words.vectors, candidates=candidates, words=words)

    return Method(
        init,
        step,
        encode,
        assign=assign,
        prototypes=lambda state: state.centers,
        items=lambda state: state.words.vectors,
        topics=weights,
        finish=finish,
        wants=Wants(kinds=("baskets",)),
    )
