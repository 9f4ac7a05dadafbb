"""Coherence against loops as gensim's, word vectors and words of topics against numpy."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

from unsupjax import topics

RNG = np.random.default_rng(0)
TEXTS = [RNG.integers(0, 12, n) for n in (30, 7, 10, 1, 0, 25)] + [np.full(40, 11)]
STARTS, ITEMS = np.r_[0, np.cumsum([len(t) for t in TEXTS])], np.concatenate(TEXTS)
TOPS = np.array([[0, 1, 2, 3], [4, 5, 1, 6], [7, 8, 9, 50]])  # 50 is nowhere


def loops(windows):
    """NPMI by sets, as gensim's segmentation s_one_one with its log_ratio_measure has it."""
    found = []
    for topic in TOPS:
        values = []
        for v, w in itertools.permutations(topic, 2):
            p, q = (np.mean([word in window for window in windows]) for word in (v, w))
            both = np.mean([v in window and w in window for window in windows])
            ratio = np.log((both + 1e-12) / (p * q)) if p * q else 0
            values.append(ratio / -np.log(both + 1e-12))
        found.append(np.mean(values))
    return found


@pytest.mark.parametrize("window", [2, 10])
def test_npmi_of_windows_is_gensims(window):
    relevant = set(TOPS.ravel())
    texts = [list(t) for t in TEXTS if relevant & set(t)]  # not the last
    windows = [set(text[i : i + window]) for text in texts for i in range(max(1, len(text) - window + 1))]
    found = topics.window_npmi(TOPS, STARTS, ITEMS, window=window)
    np.testing.assert_allclose(found, loops(windows), rtol=1e-9)
    first = topics.window_npmi(TOPS, STARTS, ITEMS, window=window, words=3)
    np.testing.assert_allclose(first, topics.window_npmi(TOPS[:, :3], STARTS, ITEMS, window=window))


def test_npmi_of_documents():
    found = topics.document_npmi(TOPS, STARTS, ITEMS)
    np.testing.assert_allclose(found, loops([set(t) for t in TEXTS]), rtol=1e-9)


def test_npmi_of_words_that_are_always_never_or_sometimes_together():
    texts = [[0, 1], [0, 1], [2, 3], [3], [2], []]
    starts, items = np.r_[0, np.cumsum([len(t) for t in texts])], np.concatenate(texts).astype(int)
    always, never, sometimes = topics.document_npmi(np.array([[0, 1], [0, 2], [2, 3]]), starts, items)
    assert always == pytest.approx(1) and never < -0.9
    assert sometimes == pytest.approx(np.log((1 / 6) / (2 / 6) ** 2) / np.log(6))  # one text of both


def test_diversity():
    assert topics.diversity(np.array([[1, 2], [3, 4]])) == 1
    assert topics.diversity(np.array([[1, 2], [2, 1]])) == 0.5


def test_cooccurrences_and_ppmi_are_those_of_loops():
    counts = np.zeros((12, 12))
    for text in TEXTS:
        for i, j in itertools.combinations(range(len(text)), 2):
            if j - i < 4:
                counts[text[i], text[j]] += 1
                counts[text[j], text[i]] += 1
    found = topics.cooccurrences(STARTS, ITEMS, 12, 4)
    np.testing.assert_array_equal(found.toarray(), counts)
    context = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore"):
        pmi = np.log(counts / counts.sum(axis=1, keepdims=True) / (context / context.sum())[None])
    np.testing.assert_allclose(topics.ppmi(found).toarray(), np.maximum(pmi, 0), rtol=1e-4, atol=1e-6)


def test_word_vectors_factor_the_ppmi_and_repeat():
    blocks = sparse.csr_matrix(np.kron(np.eye(3), np.ones((4, 4))) * 5.0)
    vectors = topics.word_vectors(blocks, 20, smoothing=1.0)
    assert vectors.shape == (12, 20) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors @ vectors.T, topics.ppmi(blocks, 1.0).toarray(), atol=1e-4)
    np.testing.assert_array_equal(vectors, topics.word_vectors(blocks, 20, smoothing=1.0))
    assert not topics.word_vectors(sparse.csr_matrix((3, 3)), 2).any()


def test_sif_weights_and_the_common_component():
    np.testing.assert_allclose(topics.sif_weights([3, 1, 0], a=0.5), [0.5 / 1.25, 0.5 / 0.75, 1])
    two = np.repeat(np.eye(3)[:2], 5, axis=0)  # topics of equal size: what they share is between them
    np.testing.assert_allclose(topics.common_component(two), np.array([1, 1, 0]) / np.sqrt(2), rtol=1e-6)
    assert not topics.common_component(np.zeros((2, 3))).any()


def test_class_tfidf_by_hand():
    counts = np.array([[4, 0, 2, 0], [0, 6, 2, 0]])
    found = topics.class_tfidf(counts)
    expected = [[4 / 6 * np.log(1 + 7 / 4), 0, 2 / 6 * np.log(1 + 7 / 4), 0]]
    expected += [[0, 6 / 8 * np.log(1 + 7 / 6), 2 / 8 * np.log(1 + 7 / 4), 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    alone = np.asarray(topics.exclusive(found))
    assert (alone[0] > 0).tolist() == [True, False, True, False] and not alone[1, 2]


def test_coherent_words_are_those_that_are_left_when_strangers_are_taken_out():
    weights = RNG.random((3, 40)).astype(np.float32)
    weights[:, 30:] = 0
    vectors = RNG.normal(size=(40, 4)).astype(np.float32)
    found = np.asarray(topics.coherent(jnp.asarray(weights), jnp.asarray(vectors), candidates=12, words=5))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row, got in zip(weights, found, strict=True):
        left = list(np.argsort(-row)[:12])
        while len(left) > 5:
            alike = [sum(unit[v] @ unit[w] for w in left if w != v) for v in left]
            left.pop(int(np.argmin(alike)))
        assert set(np.argsort(-got)[:5]) == set(left) and (got > 1).sum() == 5
        assert list(np.argsort(-got)[:5]) == sorted(
            left, key=lambda v: -row[v]
        )  # in the order of their weights
    few = jnp.asarray([[1.0, 0, 0]])
    assert np.asarray(topics.coherent(few, jnp.eye(3), candidates=3, words=2)).tolist() == [[2, 0, 0]]
    assert np.asarray(topics.top_words(few, 9)).shape == (1, 3)
