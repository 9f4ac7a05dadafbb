"""Topics are found where texts have some, and words, proportions and assignment are of the same model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import methods
from unsupjax.cluster.scores import purity
from unsupjax.data.kinds import Baskets

V, N, L = 30, 48, 12
KIND = Baskets(L, tuple(f"w{i}" for i in range(V)), in_order=True)


@pytest.fixture(scope="module")
def texts():
    """Three topics of nine words each, and three words that all have; the last text is empty."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    rows = np.where(
        rng.random((N, L)) < 0.2, rng.integers(27, 30, (N, L)), y[:, None] * 9 + rng.integers(0, 9, (N, L))
    )
    rows[-1] = -1
    return (rows + 1).astype(np.int32), y


def trained(texts, steps=8, batch=24, **arguments):
    facts = {"kind": KIND, "rows": texts, "examples": N}
    method = methods.topic_clusters(
        **{"topics": 3, "words": 4, "candidates": 8, "dimensions": 5} | facts | arguments
    )
    state = jax.jit(method.init)(jax.random.key(0), texts[:batch])
    step = jax.jit(method.step)
    for i in range(steps):
        state, metrics = step(state, np.resize(np.roll(texts, -i * batch, axis=0), (batch, L)))
    return method, method.finish(state), metrics


def test_clusters_of_texts_and_their_words(texts):
    rows, y = texts
    method, state, metrics = trained(rows)
    found = np.asarray(method.assign(state, rows))
    assert purity(y[:-1], found[:-1]) == 1 and metrics["converged"] == 1
    np.testing.assert_array_equal(found, np.argmax(method.encode(state, rows), axis=1))
    np.testing.assert_allclose(method.encode(state, rows).sum(axis=1), 1, rtol=1e-5)
    weights = np.asarray(method.topics(state))
    for k in range(3):
        words = np.argsort(-weights[k])[:4]
        assert {w // 9 for w in words} == {y[found == k][0]}  # of that topic, and none that all have
    counts = np.zeros((3, V))  # the words of the documents that have the topic
    np.add.at(counts, (np.repeat(found[:-1], L), rows[:-1].ravel() - 1), 1)
    np.testing.assert_allclose(state.counts, counts, atol=1e-4)


def test_batches_that_lie_across_epochs_count_each_text_once(texts):
    rows, _ = texts
    _, state, _ = trained(rows, steps=9, batch=32)
    assert state.whole and float(state.counts.sum()) == (N - 1) * L
    _, state, _ = trained(rows, steps=1)
    assert not state.whole and float(state.counts.sum()) == 24 * L  # of the batch that there was


def test_a_bag_without_order_and_documents_without_a_topic(texts):
    rows, y = texts
    bags = KIND._replace(in_order=False)
    method, state, _ = trained(rows, kind=bags, least_cosine=0.1)
    found = np.asarray(method.assign(state, rows))
    assert found[-1] == -1 and purity(y[:-1], found[:-1]) == 1
    assert method.items(state).shape == (V, 5)


def test_the_state_of_a_checkpoint_needs_no_rows(texts):
    rows, _ = texts
    restored = methods.topic_clusters(topics=3, dimensions=5, kind=KIND, examples=N)
    shapes = jax.eval_shape(restored.init, jax.random.key(0), jnp.asarray(rows[:24]))
    _, state, _ = trained(rows, steps=1)
    assert jax.tree.map(lambda a: a.shape, shapes) == jax.tree.map(lambda a: a.shape, state)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="candidates=5 at least words"):
        methods.topic_clusters(candidates=5, kind=KIND, examples=N)
