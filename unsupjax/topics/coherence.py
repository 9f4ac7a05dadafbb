"""How well the top words of topics belong together, and how far topics differ."""

import numpy as np

_EPSILON = 1e-12


def window_npmi(
    tops: np.ndarray, starts: np.ndarray, items: np.ndarray, *, window: int = 10, words: int = 10
) -> np.ndarray:
    """NPMI of each topic's top words in sliding windows over texts: the measure `c_npmi` of gensim.

    A text of T words has T - window + 1 windows, one of fewer words has one; texts without any of the words of all
    topics are no evidence and left out, as gensim does. The higher the more often words stand beside each other; what
    it gives depends on what was left out of the texts before, such as stop words.

    Args:
        tops: int `[K, n]`, the numbers of the words of K topics, best first.
        starts: where each text begins in `items`, and where the last one ends, int `[N + 1]`.
        items: the numbers of the words of all texts in reading order, int `[T]`.
        window: words of a window.
        words: so many words of each topic count.

    Returns:
        `[K]`, see `npmi`.
    """
    tops, known, place = _numbered(np.asarray(tops)[:, :words], items)
    lengths = np.diff(starts)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    at = np.flatnonzero(place >= 0)
    relevant = np.unique(owners[at])
    count = np.maximum(lengths - window + 1, 1)
    first = np.zeros(len(lengths), np.int64)
    first[relevant] = np.cumsum(count[relevant]) - count[relevant]
    inside = at - starts[owners[at]]
    low, high = np.maximum(inside - window + 1, 0), np.minimum(inside, count[owners[at]] - 1)
    many = high - low + 1
    spread = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    windows = np.repeat(first[owners[at]] + low, many) + spread
    total = int(count[relevant].sum())
    return npmi(tops, *_together(windows, np.repeat(place[at], many), total, known), total)


def document_npmi(tops: np.ndarray, starts: np.ndarray, items: np.ndarray, *, words: int = 10) -> np.ndarray:
    """NPMI of each topic's top words by whole documents, `[K]`; some 0.1 higher than by windows.

    Args:
        tops: int `[K, n]`, as of `window_npmi`.
        starts: where each document begins in `items`, and where the last one ends, int `[N + 1]`.
        items: the numbers of the words of all documents in any order, int `[T]`.
        words: so many words of each topic count.
    """
    tops, known, place = _numbered(np.asarray(tops)[:, :words], items)
    owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    at = place >= 0
    total = len(starts) - 1
    return npmi(tops, *_together(owners[at], place[at], total, known), total)


def npmi(tops: np.ndarray, alone: np.ndarray, together: np.ndarray, total: int) -> np.ndarray:
    r"""The mean over pairs of a topic's words of :math:`\ln\frac{p(v, w)}{p(v) p(w)} / -\ln p(v, w)`.

    From -1, never together, over 0, independent, to 1, always together. A pair with a word that is nowhere counts 0.

    Args:
        tops: int `[K, n]`, words numbered from 0 to W - 1.
        alone: in how many of all windows each word is, `[W]`.
        together: in how many any two are, `[W, W]`.
        total: how many windows there are.

    Returns:
        `[K]`.

    Source: Bouma, "Normalized (pointwise) mutual information in collocation extraction", GSCL 2009; as a measure of
    topics: Röder et al., "Exploring the space of topic coherence measures", WSDM 2015.
    """
    i, j = np.triu_indices(tops.shape[1], 1)
    v, w = tops[:, i], tops[:, j]
    joint = together[v, w] / max(total, 1)
    apart = alone[v] * alone[w] / max(total, 1) ** 2
    ratio = np.log((joint + _EPSILON) / np.where(apart > 0, apart, 1))
    value = np.where(apart > 0, ratio / -np.log(joint + _EPSILON), 0)
    return value.mean(axis=1) if len(i) else np.zeros(len(tops))


def diversity(tops: np.ndarray) -> float:
    """The fraction of all top words `[K, n]` that are different ones, in (0, 1]: 1 where no two topics share any.

    Source: Dieng et al., "Topic modeling in embedding spaces", TACL 2020.
    """
    return len(np.unique(tops)) / np.size(tops)


def _numbered(tops: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Words numbered among those of all topics, how many these are, and the number of each item or -1."""
    unique, inverse = np.unique(tops, return_inverse=True)
    items = np.asarray(items)
    place = np.minimum(np.searchsorted(unique, items), len(unique) - 1)
    return inverse.reshape(tops.shape), len(unique), np.where(unique[place] == items, place, -1)


def _together(
    windows: np.ndarray, words: np.ndarray, total: int, known: int
) -> tuple[np.ndarray, np.ndarray]:
    """In how many windows each word is, and any two."""
    from scipy import sparse

    found = sparse.csr_matrix((np.ones(len(words), np.float64), (windows, words)), (total, known))
    found.sum_duplicates()
    found.data[:] = 1
    together = (found.T @ found).toarray()
    return together.diagonal().copy(), together
