"""What a corpus tells of its words before anything is trained."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from unsupjax import topics as algorithms

_SAMPLE = 20_000  # documents, at most, of which the common component is found


class Words(NamedTuple):
    """What is known of words before the first step: their vectors, their SIF weights, and what all documents have in
    common; float32 `[V, D]`, `[V]` and `[D]`."""

    vectors: jax.Array
    sif: jax.Array
    common: jax.Array


def corpus_words(
    rows: np.ndarray | None, kind: Any, dimensions: int, window: int, sif: float
) -> Callable[[], Words]:
    """`() -> Words`, computed on the host at the first call; zeros of the same shapes without rows.

    Args:
        rows: the training split as it is stored.
        kind: baskets.
        dimensions: D, of word vectors.
        window: words that share a window of so many stand together; of bags without an order, all of a document do.
        sif: a of `topics.sif_weights`.
    """

    @functools.cache
    def found():
        if rows is None:
            shapes = Words((kind.size, dimensions), (kind.size,), (dimensions,))
            return Words(*(np.zeros(shape, np.float32) for shape in shapes))
        return _words(kind.rows(rows), kind.size, dimensions, window if kind.in_order else 0, sif)

    return found


def _words(rows: Any, size: int, dimensions: int, window: int, sif: float) -> Words:
    """Found on the host, of rows as the kind has them; `window` 0: they have no order."""
    from scipy import sparse

    ones = np.ones(len(rows.items)) if rows.counts is None else rows.counts
    bags = sparse.csr_matrix((ones.astype(np.float32), rows.items, rows.starts), (len(rows), size), copy=True)
    bags.sum_duplicates()
    if window:
        together = algorithms.cooccurrences(rows.starts, rows.items, size, window)
    else:
        together = (bags > 0).astype(np.float32)
        together = together.T @ together
        together.setdiag(0)
        together.eliminate_zeros()
    vectors = algorithms.word_vectors(together.tocsr(), dimensions)
    weights = algorithms.sif_weights(np.asarray(bags.sum(axis=0)).ravel(), sif)
    some = bags[:: -(-len(rows) // _SAMPLE)]
    some.data = 1 + np.log(some.data)
    means = some @ (vectors * weights[:, None])
    means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return Words(vectors, weights, algorithms.common_component(means))
