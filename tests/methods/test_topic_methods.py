"""Topics are found where texts have some, and words, proportions and assignment are of the same model."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linprog

from unsupjax import methods, models
from unsupjax.cluster.scores import purity
from unsupjax.data.kinds import Baskets
from unsupjax.methods.embedded_topics import _transport
from unsupjax.methods.parts.topic_model import _kl

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


def neural(factory, texts, steps=150, **arguments):
    encoder = models.MLPEncoder((16,), "softplus")
    method = factory(encoder, optax.adam(2e-2), topics=3, vocabulary=V, **arguments)
    state = jax.jit(method.init)(jax.random.key(0), texts)
    step = jax.jit(method.step)
    for _ in range(steps):
        state, metrics = step(state, texts)
    return method, state, metrics


WORDS = {"kind": KIND, "dimensions": 5, "words": 4, "candidates": 8, "transport": 10.0}


@pytest.mark.parametrize("name", ["prodlda", "embedded_topics"])
def test_neural_topics_do_not_collapse(name, texts):
    rows, y = texts
    arguments = {} if name == "prodlda" else WORDS | {"rows": rows}
    method, state, metrics = neural(getattr(methods, name), rows, **arguments)
    theta = method.encode(state, rows)
    np.testing.assert_allclose(theta.sum(axis=1), 1, rtol=1e-5)
    found = np.asarray(method.assign(state, rows))
    np.testing.assert_array_equal(found, np.argmax(theta, axis=1))
    assert purity(y[:-1], found[:-1]) > 0.95 and metrics["kl"] > 0.3
    tops = np.argsort(-np.asarray(method.topics(state)), axis=1)[:, :4]
    for k in range(3):
        assert np.mean(tops[k] // 9 == np.bincount(y[found == k]).argmax()) >= 0.75


def test_the_plan_of_the_transport_moves_shares_at_least_cost():
    rng = np.random.default_rng(0)
    cost, shares = rng.random((3, 7)), rng.random(7)
    shares = shares / shares.sum()
    equal = [np.kron(np.eye(3), np.ones(7)), np.kron(np.ones(3), np.eye(7))]
    least = linprog(cost.ravel(), A_eq=np.concatenate(equal), b_eq=np.r_[np.ones(3) / 3, shares]).fun
    found = _transport(jnp.asarray(cost, jnp.float32), jnp.asarray(shares, jnp.float32))
    assert least - 1e-3 <= found <= least + 0.05 * np.log(21)  # of its entropy at most


def test_the_divergence_is_zero_for_the_prior_and_that_of_normal_distributions_else():
    spread = 0.4
    at_prior = _kl(jnp.zeros((1, 3)), jnp.full((1, 3), np.log(spread)), spread)
    np.testing.assert_allclose(at_prior, 0, atol=1e-6)
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(2, 4, 3))
    z = mean + np.exp(log_variance / 2) * rng.normal(size=(200_000, 4, 3))
    log = lambda m, v: -0.5 * ((z - m) ** 2 / v + np.log(v))
    drawn = (log(mean, np.exp(log_variance)) - log(0, spread)).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(_kl(jnp.asarray(mean), jnp.asarray(log_variance), spread), drawn, rtol=0.02)


@pytest.mark.parametrize("wrong", [{"topics": 1}, {"alpha": 0.0}, {"dropout": 1.0}, {"relevance": 2.0}])
def test_arguments_of_neural_topics_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        methods.prodlda(models.MLPEncoder((4,)), optax.sgd(1), vocabulary=V, **wrong)
    with pytest.raises(ValueError, match="temperature"):
        methods.embedded_topics(
            models.MLPEncoder((4,)), optax.sgd(1), temperature=0.0, kind=KIND, vocabulary=V
        )


def test_the_mixture_is_that_of_a_loop_over_documents(texts):
    rows, y = texts
    rows = np.where(
        (np.arange(L)[None] < 1) | (np.arange(N)[:, None] % 4 > 0), rows, 0
    )  # a word alone tells little
    facts = {"topics": 3, "words": 4, "candidates": 8, "dimensions": 5, "kind": KIND, "examples": N}
    method = methods.topic_mixture(**facts, rows=rows)
    state, step = jax.jit(method.init)(jax.random.key(0), rows), jax.jit(method.step)
    for _ in range(20):
        state, _ = step(state, rows)
        if state.begun:
            break
    assert state.begun and not state.converged and np.isfinite(state.before)  # a checkpoint of inf is refused
    bags = np.stack([np.bincount(row, minlength=V + 1)[1:] for row in rows])
    counts = np.asarray(state.counts, float)
    for _ in range(2):
        said = (counts + 1) / (counts.sum(axis=1, keepdims=True) + V)
        likely = np.array([[np.prod(said[k] ** bag) / 3 for k in range(3)] for bag in bags])
        shares = likely / likely.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(method.encode(state, rows), shares, atol=1e-4)
        counts = shares.T @ bags
        state, metrics = step(state, rows)
        np.testing.assert_allclose(state.counts, counts, atol=1e-2)
        assert metrics["loss"] == pytest.approx(-np.log(likely.sum(axis=1)).sum() / bags.sum(), rel=1e-5)
    for _ in range(20):
        state, metrics = step(state, rows)
    assert metrics["converged"] == 1 and state.step < 60
    long = (rows > 0).all(axis=1)
    assert purity(y[long], np.asarray(method.assign(state, rows))[long]) == 1
    tops = np.argsort(-np.asarray(method.topics(state)), axis=1)[:, :4] // 9
    assert (tops == tops[:, :1]).all() and len(np.unique(tops)) == 3


def test_a_mixture_counts_each_text_once_where_batches_lie_across_epochs(texts):
    rows, _ = texts
    facts = {"topics": 3, "dimensions": 5, "kind": KIND, "examples": N, "rows": rows}
    method = methods.topic_mixture(**facts)
    state, step = jax.jit(method.init)(jax.random.key(0), rows[:32]), jax.jit(method.step)
    assert (
        float(method.finish(step(state, rows[:32])[0]).counts.sum()) == 32 * L
    )  # of the batch that there was
    for i in range(30):
        state, _ = step(state, np.take(rows, np.arange(32) + 32 * i, axis=0, mode="wrap"))
    assert state.begun and float(state.counts.sum()) == pytest.approx((N - 1) * L, rel=1e-5)
    with pytest.raises(ValueError, match="smoothing=0"):
        methods.topic_mixture(**facts, smoothing=0)
