"""Texts as means of word vectors that are counted, not trained."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.methods.base import Method, Wants
from unsupjax.methods.parts.bags import dense
from unsupjax.methods.parts.corpus_words import Words, corpus_words, document_vectors


class WordMeansState(NamedTuple):
    """The state of word means: step and key as of every method, and `Words`."""

    step: jax.Array
    key: jax.Array
    words: Words


def word_means(
    *,
    vectors: str = "context",
    dimensions: int = 200,
    window: int = 10,
    sif: float = 1e-3,
    kind: Any,
    rows: np.ndarray | None = None,
    axis_name: str | None = None,
) -> Method:
    r"""A text is the mean of its words, the frequent ones lighter, less what all texts have in common.

    A word that is n times in a text has the weight :math:`(1 + \ln n)\frac{a}{a + p(w)}`, for its frequency p in the
    training texts. Nothing is trained: all is counted before the first step, and the run has converged then.
    `encode` gives rows of length 1, `items` the word vectors.

    Args:
        vectors: "context": of words that stand beside the same ones (`topics.word_vectors`); "spelling": of words that
            are spelt alike (`topics.spelling_vectors`), which tells more where texts are few or short.
        dimensions: D.
        window: words that share a window of so many stand together; of bags without an order, all of a document do.
        sif: a.
        kind: of the data, baskets.
        rows: the training split as it is stored. Only training needs it.
        axis_name: the mapped device axis under `pmap` or `shard_map`; nothing is exchanged.

    Raises:
        ValueError: an argument out of its range.

    Source: Arora, Liang and Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017.
    """
    del axis_name
    found = corpus_words(rows, kind, dimensions, window, sif, vectors)

    def init(key, batch):
        del batch
        return WordMeansState(jnp.zeros((), jnp.int32), key, Words(*map(jnp.asarray, found())))

    def step(state: WordMeansState, x: jax.Array):
        del x
        return state._replace(step=state.step + 1), {"loss": jnp.zeros(()), "converged": jnp.ones(())}

    def encode(state: WordMeansState, x: jax.Array):
        return document_vectors(state.words, dense(x, kind.size))

    return Method(
        init, step, encode, items=lambda state: state.words.vectors, wants=Wants(kinds=("baskets",))
    )
