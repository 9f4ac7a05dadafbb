"""Which words stand for a topic."""

import jax
import jax.numpy as jnp


def class_tfidf(counts: jax.Array) -> jax.Array:
    r"""Of counts :math:`n_{kw}` of words in topics, :math:`\frac{n_{kw}}{n_k} \ln(1 + \frac{A}{n_w})`.

    A is the mean number of words of a topic: all documents of a topic are one, and words that are in many of these say
    little.

    Args:
        counts: `[K, V]`, at least 0.

    Returns:
        float32 `[K, V]`.

    Source: Grootendorst, "BERTopic: neural topic modeling with a class-based TF-IDF procedure", 2022.
    """
    counts = jnp.asarray(counts, jnp.float32)
    of_topic, of_word = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
    rarity = jnp.log1p(of_topic.mean() / jnp.maximum(of_word, 1e-9))
    return counts / jnp.maximum(of_topic, 1) * jnp.where(of_word > 0, rarity, 0)


def exclusive(weights: jax.Array) -> jax.Array:
    """`[K, V]` with each word left in that one topic where it weighs most, and 0 elsewhere."""
    best = jnp.argmax(weights, axis=0)
    return jnp.where(jnp.arange(len(weights))[:, None] == best[None], weights, 0)


def coherent(weights: jax.Array, vectors: jax.Array, *, candidates: int = 30, words: int = 10) -> jax.Array:
    """Puts those words first that are most alike, among the heaviest of each topic.

    Of the `candidates` heaviest words of a topic the one that is least like the rest, by the mean cosine between their
    vectors, is left out, and again, until `words` are left. These have the weights 1 to 2, all others 0 to 1.

    Args:
        weights: `[K, V]`, at least 0; words of weight 0 are no candidates.
        vectors: of words, `[V, D]`.
        candidates, words: see above.

    Returns:
        float32 `[K, V]`.
    """
    length = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / jnp.maximum(length, 1e-12)
    candidates = min(candidates, weights.shape[1])
    words = min(words, candidates)

    def topic(row):
        row = row / jnp.maximum(row.max(), 1e-12)
        heavy, at = jax.lax.top_k(row, candidates)
        kept = heavy > 0
        cosines = (unit[at] @ unit[at].T) * (1 - jnp.eye(candidates))

        def leave_out(_, kept):
            alike = jnp.where(kept, cosines @ kept.astype(jnp.float32), jnp.inf)
            return kept & ((jnp.arange(candidates) != jnp.argmin(alike)) | (kept.sum() <= words))

        kept = jax.lax.fori_loop(0, candidates - words, leave_out, kept)
        return row.at[at].add(kept.astype(jnp.float32))

    return jax.lax.map(topic, jnp.asarray(weights, jnp.float32))


def top_words(weights: jax.Array, words: int = 10) -> jax.Array:
    """The numbers of the heaviest words of each topic, best first, int32 `[K, words]`."""
    return jax.lax.top_k(weights, min(words, weights.shape[1]))[1]
