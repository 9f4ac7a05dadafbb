"""Word vectors of a corpus of any size, from what stands beside what: positive PMI, factored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse


def word_vectors(
    counts: "sparse.csr_matrix", dimensions: int = 200, *, smoothing: float = 0.75, seed: int = 0
) -> np.ndarray:
    r"""Vectors whose inner products are about the positive pointwise mutual information of words that stand together.

    :math:`E = U \sqrt\Sigma` of the truncated singular value decomposition of `ppmi`. The same seed gives the same
    vectors.

    Args:
        counts: of pairs that stand together, `[V, V]`.
        dimensions: D; of fewer words than that the rest is 0.
        smoothing: of `ppmi`.
        seed: of the randomised decomposition.

    Returns:
        float32 `[V, D]`.

    Source: Levy, Goldberg and Dagan, "Improving distributional similarity with lessons learned from word embeddings",
    TACL 2015.
    """
    from sklearn.utils.extmath import randomized_svd

    matrix = ppmi(counts, smoothing)
    vectors = np.zeros((len(matrix.indptr) - 1, dimensions), np.float32)
    rank = min(dimensions, len(vectors))
    if matrix.nnz:
        u, s, _ = randomized_svd(matrix, rank, random_state=seed, n_iter=4)
        vectors[:, :rank] = u * np.sqrt(s)[None]
    return vectors


def spelling_vectors(
    words: Sequence[str], dimensions: int = 512, *, shortest: int = 3, longest: int = 5, seed: int = 0
) -> np.ndarray:
    r"""Vectors of words that are near where they are spelt alike: "dance" and "dancing", "color" and "colour".

    A word is the set of its own name and of the pieces of `shortest` to `longest` characters that it and a blank at
    either end hold, each times :math:`1 + \ln(V / \mathrm{df})` for the number of words that have it, of length 1. The
    vectors :math:`U \Sigma` of the truncated singular value decomposition have these sets' inner products, about.

    Args:
        words: V of them, each another.
        dimensions: D; of fewer words than that the rest is 0.
        shortest, longest: characters of a piece.
        seed: of the randomised decomposition.

    Returns:
        float32 `[V, D]`, rows of length 1.

    Source: pieces of words: Bojanowski et al., "Enriching word vectors with subword information", TACL 2017.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    def pieces(word: str) -> list[str]:
        spelt = f" {word} "
        sizes = range(shortest, longest + 1)
        # The name is kept apart by its ends: "cat" the word is not "cat" the piece.
        return [f"<{word}>"] + [spelt[i : i + n] for n in sizes for i in range(len(spelt) - n + 1)]

    vectors = np.zeros((len(words), dimensions), np.float32)
    made = TfidfVectorizer(analyzer=pieces, binary=True, smooth_idf=False, dtype=np.float32)
    sets = made.fit_transform(words)
    rank = min(dimensions, *sets.shape)
    u, s, _ = randomized_svd(sets, rank, random_state=seed, n_iter=3)
    vectors[:, :rank] = u * s
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def cooccurrences(starts: np.ndarray, items: np.ndarray, size: int, window: int) -> "sparse.csr_matrix":
    """How often any two words are fewer than `window` places apart in a text, symmetric float32 `[V, V]`.

    Memory grows with the pairs that there are, not with V^2.

    Args:
        starts: where each text begins in `items`, and where the last one ends, int `[N + 1]`.
        items: the numbers of the words of all texts in reading order, from 0, int `[T]`.
        size: V, how many words there are.
        window: words that share a window of so many stand together.
    """
    from scipy import sparse

    owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    counts = sparse.csr_matrix((size, size), dtype=np.float32)
    for apart in range(1, window):
        same = owners[apart:] == owners[:-apart]
        pair = items[:-apart][same], items[apart:][same]
        counts = counts + sparse.csr_matrix((np.ones(same.sum(), np.float32), pair), (size, size))
    return (counts + counts.T).tocsr()


def ppmi(counts: "sparse.csr_matrix", smoothing: float = 0.75) -> "sparse.csr_matrix":
    r""":math:`\max(0, \ln\frac{p(v, w)}{p(v) q(w)})` where it is above 0, `[V, V]`.

    Args:
        counts: of pairs, `[V, V]`.
        smoothing: the power of w's counts in q(w): below 1, rare words say less.
    """
    from scipy import sparse

    cells = counts.tocoo()
    rows = np.asarray(counts.sum(axis=1)).ravel()
    context = np.asarray(counts.sum(axis=0)).ravel() ** smoothing
    context = context / max(context.sum(), 1e-12)
    value = np.log(cells.data / (rows[cells.row] * context[cells.col]))
    kept = value > 0
    return sparse.csr_matrix((value[kept], (cells.row[kept], cells.col[kept])), counts.shape)


def sif_weights(counts: np.ndarray, a: float = 1e-3) -> np.ndarray:
    r""":math:`\frac{a}{a + p(w)}` of words that are counted so often, float32 `[V]`: what is everywhere says little.

    Source: Arora, Liang and Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017.
    """
    p = np.asarray(counts, np.float64) / max(np.sum(counts), 1)
    return (a / (a + p)).astype(np.float32)


def common_component(documents: np.ndarray) -> np.ndarray:
    """The direction of the mean of vectors of documents `[N, D]`, which says nothing of any of them: `[D]`.

    SIF's own is the first singular vector; of few topics of equal size that may be one of these, and this is not.
    """
    mean = documents.mean(axis=0)
    return (mean / max(np.linalg.norm(mean), 1e-12)).astype(np.float32)
