"""What a corpus tells of its words before anything is trained."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import topics as algorithms
from unsupjax.methods.parts.bags import unit_rows

VECTORS = ("context", "spelling")
_SAMPLE = 20_000  # documents, at most, of which the common component is found


class Words(NamedTuple):
    """What is known of words before the first step: their vectors, their SIF weights, and what all documents have in
    common; float32 `[V, D]`, `[V]` and `[D]`."""

    vectors: jax.Array
    sif: jax.Array
    common: jax.Array


def corpus_words(
    rows: np.ndarray | None, kind: Any, dimensions: int, window: int, sif: float, vectors: str = "context"
) -> Callable[[], Words]:
    """`() -> Words`, computed on the host at the first call; zeros of the same shapes without rows.

    Args:
        rows: the training split as it is stored.
        kind: baskets.
        dimensions: D, of word vectors.
        window: words that share a window of so many stand together; of bags without an order, all of a document do.
        sif: a of `topics.sif_weights`.
        vectors: "context": of words that stand beside the same ones (`topics.word_vectors`); "spelling": of words that
            are spelt alike (`topics.spelling_vectors`), which tells more where texts are few or short.

    Raises:
        ValueError: other vectors, or another argument out of its range.
    """
    if vectors not in VECTORS or dimensions < 1 or window < 2 or sif <= 0:
        raise ValueError(
            f"{vectors=} must be one of {', '.join(VECTORS)}, {dimensions=} at least 1, {window=} at least 2 and "
            f"{sif=} above 0"
        )

    @functools.cache
    def found():
        if rows is None:
            shapes = Words((kind.size, dimensions), (kind.size,), (dimensions,))
            return Words(*(np.zeros(shape, np.float32) for shape in shapes))
        return _words(kind, kind.rows(rows), dimensions, window, sif, vectors)

    return found


def heavy(bags: jax.Array, weights: jax.Array) -> jax.Array:
    r""":math:`(1 + \ln n)\,w` of words that are n times in a document, `[B, V]` of `[B, V]` and `[V]`."""
    return jnp.where(bags > 0, 1 + jnp.log(jnp.maximum(bags, 1)), 0) * weights[None]


def document_vectors(known: Words, bags: jax.Array) -> jax.Array:
    """Means of the words of documents, less what all have in common, of length 1: `[B, D]` of `[B, V]`."""
    means = unit_rows(heavy(bags, known.sif) @ known.vectors)
    return unit_rows(means - (means @ known.common)[:, None] * known.common[None])


def _words(kind: Any, rows: Any, dimensions: int, window: int, sif: float, vectors: str) -> Words:
    """Found on the host, of rows as the kind has them."""
    from scipy import sparse

    size = kind.size
    ones = np.ones(len(rows.items)) if rows.counts is None else rows.counts
    bags = sparse.csr_matrix((ones.astype(np.float32), rows.items, rows.starts), (len(rows), size), copy=True)
    bags.sum_duplicates()
    if vectors == "spelling":
        found = algorithms.spelling_vectors(kind.names, dimensions)
    else:
        found = algorithms.word_vectors(_together(kind, rows, bags, window), dimensions)
    weights = algorithms.sif_weights(np.asarray(bags.sum(axis=0)).ravel(), sif)
    some = bags[:: -(-len(rows) // _SAMPLE)]
    some.data = 1 + np.log(some.data)
    means = some @ (found * weights[:, None])
    means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return Words(found, weights, algorithms.common_component(means))


def _together(kind: Any, rows: Any, bags: Any, window: int) -> Any:
    """How often words stand together: in a window where rows have an order, else in a document."""
    if kind.in_order:
        return algorithms.cooccurrences(rows.starts, rows.items, kind.size, window)
    together = (bags > 0).astype(np.float32)
    together = together.T @ together
    together.setdiag(0)
    together.eliminate_zeros()
    return together.tocsr()
