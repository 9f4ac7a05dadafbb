"""k-means over a stream is k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import methods
from unsupjax.cluster import kmeans
from unsupjax.data.feeds import example_order

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def rows(digits):
    """Digits with a little noise, so that no distances tie."""
    return (digits[:500] + np.random.default_rng(0).normal(0, 0.01, (500, 8, 8, 1))).astype(np.float32)


def run(method, rows, batch_size, steps):
    """The State after so many steps of the stream, and all metrics."""
    order = example_order(np.arange(steps * batch_size), len(rows), 0).reshape(steps, batch_size)
    state = jax.jit(method.init)(KEY, rows[order[0]])
    advance = jax.jit(lambda state, x, order: jax.lax.scan(lambda s, i: method.step(s, x[i]), state, order))
    return state, *advance(state, jnp.asarray(rows), order)


@pytest.mark.thorough
@pytest.mark.parametrize("batch_size", [500, 120])
def test_an_epoch_of_batches_is_an_iteration_of_lloyd(rows, batch_size):
    """Also where batches lie across the ends of epochs; to the same convergence, and no further."""
    method = methods.kmeans(clusters=12, examples=500)
    first, last, metrics = run(method, rows, batch_size, 200)
    flat = rows.reshape(500, -1)
    expected = kmeans.fit(KEY, flat, 12, init=first.runs.centers[0].reshape(12, -1))
    np.testing.assert_allclose(last.runs.centers[0].reshape(12, -1), expected.centers, atol=1e-5)
    np.testing.assert_array_equal(method.assign(last, rows), expected.labels)
    np.testing.assert_allclose(last.runs.inertia[0] * 500, expected.inertia, rtol=1e-5)
    converged = int(np.argmax(np.asarray(metrics["converged"])))
    assert (converged + 1) * batch_size // 500 == expected.iterations
    np.testing.assert_allclose(metrics["loss"][-20:].mean() * 500, expected.inertia, rtol=0.05)


@pytest.mark.thorough
def test_the_best_of_several_restarts_counts(rows):
    method = methods.kmeans(clusters=12, restarts=4, examples=500)
    _, state, _ = run(method, rows, 250, 100)
    inertia = [float(kmeans.score(c.reshape(12, -1), rows.reshape(500, -1))) for c in state.runs.centers]
    best = int(np.argmin(inertia))
    assert len(set(inertia)) > 1
    np.testing.assert_array_equal(method.prototypes(state), state.runs.centers[best])
    labels = kmeans.predict(state.runs.centers[best].reshape(12, -1), rows.reshape(500, -1))
    np.testing.assert_array_equal(method.assign(state, rows), labels)


@pytest.mark.thorough
def test_decoding_gives_the_nearest_centre(rows):
    method = methods.kmeans(clusters=5, examples=500)
    _, state, _ = run(method, rows, 500, 5)
    codes = method.encode(state, rows)
    assert codes.shape == (500, 5)
    expected = np.asarray(method.prototypes(state))[np.asarray(method.assign(state, rows))]
    np.testing.assert_array_equal(method.decode(state, codes), expected)


@pytest.mark.thorough
def test_mini_batches_move_centres_to_the_mean_of_what_they_were_given(rows):
    method = methods.kmeans(clusters=6, update="minibatch", examples=500)
    first, last, _ = run(method, rows, 50, 30)
    order = example_order(np.arange(30 * 50), 500, 0).reshape(30, 50)
    centers, counts = np.asarray(first.runs.centers[0], np.float64).reshape(6, -1), np.zeros(6)
    for batch in rows.reshape(500, -1)[order]:
        labels = np.square(batch[:, None] - centers[None]).sum(axis=-1).argmin(axis=1)
        for k in range(6):
            counts[k] += (labels == k).sum()
            if (labels == k).any():
                centers[k] += (batch[labels == k] - centers[k]).sum(axis=0) / counts[k]
    np.testing.assert_allclose(last.runs.centers[0].reshape(6, -1), centers, atol=1e-4)


@pytest.mark.thorough
def test_a_cluster_without_examples_takes_the_farthest_one(rows):
    method = methods.kmeans(clusters=6, examples=500)
    state = method.init(KEY, rows)
    lost = state.runs.centers.at[0, 2].set(1e3)
    state = state._replace(runs=state.runs._replace(centers=lost))
    state, _ = jax.jit(method.step)(state, rows)
    assert np.abs(state.runs.centers).max() < 2
    assert 2 in np.asarray(method.assign(state, rows))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update": "hamerly"}, "update 'hamerly' is unknown"),
        ({"seeding": "kmeans++"}, "seeding 'kmeans\\+\\+' is unknown"),
        ({"clusters": 0}, "clusters=0"),
        ({"restarts": 0}, "restarts=0"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        methods.kmeans(examples=10, **settings)


@pytest.mark.thorough
def test_a_batch_must_hold_a_row_for_each_centre(rows):
    with pytest.raises(ValueError, match="12 clusters need a batch_size of at least that, not 10"):
        methods.kmeans(clusters=12, examples=500).init(KEY, rows[:10])
    with pytest.raises(ValueError, match="10 examples is more than an epoch of 5"):
        method = methods.kmeans(clusters=2, examples=5)
        method.step(method.init(KEY, rows[:10]), rows[:10])
