"""Texts as sums of word vectors: counted, and trained by views that lack words; against loops over words."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, topics
from unsupjax.data.kinds import Baskets

NAMES = ("dance", "dancing", "dancer", "guitar", "guitars", "river", "rivers", "the")
KIND = Baskets(6, NAMES, in_order=True)
ROWS = np.array(
    [
        [1, 8, 2, 0, 0, 0],
        [3, 8, 1, 1, 0, 0],
        [4, 8, 5, 0, 0, 0],
        [6, 7, 8, 6, 0, 0],
        [0] * 6,
        [8, 0, 0, 0, 0, 0],
    ],
    np.int32,
)


def text(row, vectors, weights):
    """One text's vector by a loop over its words."""
    words = [word - 1 for word in row if word]
    found = sum((1 + np.log(words.count(w))) * weights[w] * vectors[w] for w in set(words))
    return np.zeros(vectors.shape[1]) if not words else found / max(np.linalg.norm(found), 1e-12)


def test_spelling_brings_words_together():
    vectors = topics.spelling_vectors(NAMES, 20)
    assert vectors.shape == (8, 20) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    near = vectors @ vectors.T
    assert min(near[0, 1], near[0, 2], near[3, 4], near[5, 6]) > 0.2 > np.abs(near[7, :7]).max()
    # All directions are kept: inner products are the sets' own, counted by hand.
    sets = [
        {f" {w} "[i : i + n] for n in (3, 4, 5) for i in range(len(w) + 3 - n)} | {f"<{w}>"} for w in NAMES
    ]
    idf = {piece: 1 + np.log(8 / sum(piece in s for s in sets)) for s in sets for piece in s}
    norm = [np.sqrt(sum(idf[piece] ** 2 for piece in s)) for s in sets]
    expected = sum(idf[piece] ** 2 for piece in sets[0] & sets[1]) / (norm[0] * norm[1])
    assert near[0, 1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("vectors", ["context", "spelling"])
def test_means_are_those_of_a_loop(vectors):
    method = methods.word_means(vectors=vectors, dimensions=4, kind=KIND, rows=ROWS)
    state = method.init(jax.random.key(0), ROWS)
    state, metrics = jax.jit(method.step)(state, ROWS)
    assert state.step == 1 and metrics["converged"] == 1
    counts = np.bincount(ROWS[ROWS > 0] - 1, minlength=8)
    weights = 1e-3 / (1e-3 + counts / counts.sum())
    known = np.asarray(method.items(state))
    means = np.array([text(row, known, weights) for row in ROWS])
    common = means.mean(0) / np.linalg.norm(means.mean(0))
    expected = means - np.outer(means @ common, common)
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(method.encode(state, ROWS), expected, atol=2e-5)


def test_the_contrast_is_that_of_a_loop():
    arguments = {"dropped": 0.5, "temperature": 0.5, "vectors": "spelling", "dimensions": 5, "kind": KIND}
    method = methods.word_contrast(optax.sgd(0.1), rows=ROWS, **arguments)
    state = jax.jit(method.init)(jax.random.key(0), ROWS)
    _, metrics = jax.jit(method.step)(state, ROWS)
    vectors, weights = np.asarray(state.params["vectors"]), np.exp(np.asarray(state.params["log_weights"]))
    views = []
    for i, row in enumerate(ROWS):
        u = np.asarray(jax.random.uniform(jax.random.fold_in(jax.random.fold_in(state.key, 0), i), (8,)))
        halves = [
            [w for w in row if w and kept(u[w - 1])] for kept in (lambda u: u >= 0.5, lambda u: u < 0.5)
        ]
        assert sorted(halves[0] + halves[1]) == sorted(row[row > 0])  # one has what the other lacks
        if all(halves):
            views.append([text(half, vectors, weights) for half in halves])
    z1, z2 = np.array(views).transpose(1, 0, 2)
    scores = z1 @ z2.T / 0.5
    assert 1 < len(views) < len(ROWS)  # the empty text, and that of one word, are not among them
    expected = np.mean(np.log(np.exp(scores).sum(1)) - np.diag(scores))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        method.encode(state, ROWS), [text(row, vectors, weights) for row in ROWS], atol=1e-5
    )


def test_views_bring_the_words_of_a_text_together():
    rng = np.random.default_rng(0)
    kind = Baskets(6, tuple(f"w{i}" for i in range(12)), in_order=True)
    rows = (np.arange(64) % 2)[:, None] * 6 + np.argsort(rng.random((64, 6)), axis=1) + 1
    rows[:, 4:] = 0
    method = methods.word_contrast(optax.adam(3e-2), vectors="spelling", dimensions=8, kind=kind, rows=rows)
    state, step = jax.jit(method.init)(jax.random.key(1), rows), jax.jit(method.step)
    for _ in range(60):
        state, metrics = step(state, rows)
    z = np.asarray(method.items(state))
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    near = z @ z.T
    assert near[:6, :6].mean() > 0.9 and near[:6, 6:].mean() < 0 and np.isfinite(metrics["loss"])
    assert np.isfinite(jax.tree.reduce(lambda a, b: a + jnp.abs(b).sum(), state.params, 0.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropped": 1.0}, "dropped=1.0 must be between"),
        ({"vectors": "glove"}, "vectors='glove' must be one of context, spelling"),
        ({"dimensions": 0}, "dimensions=0 at least 1"),
        ({"window": 1}, "window=1 at least 2"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        methods.word_contrast(optax.sgd(0.1), kind=KIND, **arguments)
