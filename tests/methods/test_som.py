"""A map trained over a stream is the map trained in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import methods, som
from unsupjax.data.feeds import example_order

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def rows(digits):
    """Digits with a little noise, so that no distances tie."""
    return (digits[:500] + np.random.default_rng(0).normal(0, 0.01, (500, 8, 8, 1))).astype(np.float32)


def run(method, rows, batch_size, steps):
    """The State before and after so many steps of the stream, and all metrics."""
    order = example_order(np.arange(steps * batch_size), len(rows), 0).reshape(steps, batch_size)
    state = jax.jit(method.init)(KEY, rows[order[0]])
    advance = jax.jit(lambda state, x, order: jax.lax.scan(lambda s, i: method.step(s, x[i]), state, order))
    return state, *advance(state, jnp.asarray(rows), order)


@pytest.mark.thorough
@pytest.mark.parametrize("batch_size", [500, 120])
@pytest.mark.parametrize("settings", [{}, {"topology": "hexagonal", "neighbourhood": "triangle"}])
def test_an_epoch_of_batches_is_an_epoch_of_the_batch_map(rows, batch_size, settings):
    steps = -(-6 * 500 // batch_size)
    method = methods.som(height=4, width=6, examples=500, total_steps=steps, **settings)
    first, last, metrics = run(method, rows, batch_size, steps)
    topology = settings.get("topology", "rectangular")
    start = first.codebook.reshape(24, -1)
    options = {k: v for k, v in settings.items() if k != "topology"}
    grid = som.Grid(4, 6, topology)
    expected = som.fit(KEY, rows.reshape(500, -1), grid, epochs=6, init=start, **options)
    assert last.epoch == 6
    np.testing.assert_allclose(last.codebook.reshape(24, -1), expected.map.codebook, atol=1e-5)
    np.testing.assert_allclose(metrics["radius"][-1], 1.0, rtol=1e-6)
    map, points = method.map(last, rows)
    np.testing.assert_array_equal(som.bmu(map, points), method.assign(last, rows))
    np.testing.assert_allclose(som.transform(map, points), method.encode(last, rows), atol=1e-6)


def test_mini_batches_learn_by_a_rate(rows):
    """w += rate * sum h (x - w) / max(1, sum h), batch by batch."""
    method = methods.som(height=4, width=6, update="online", examples=500, total_steps=60)
    first, last, metrics = run(method, rows, 50, 60)
    w, apart = np.asarray(first.codebook, np.float64).reshape(24, -1), som.distances(som.Grid(4, 6))
    order = example_order(np.arange(60 * 50), 500, 0).reshape(60, 50)
    for step, batch in enumerate(rows.reshape(500, -1)[order].astype(np.float64)):
        radius, rate = 3 + (1 - 3) * step / 59, 0.5 + (0.01 - 0.5) * step / 59
        best = np.square(batch[:, None] - w[None]).sum(axis=-1).argmin(axis=1)
        h = np.exp(-(apart[:, best] ** 2) / (2 * radius**2))
        w += rate * (h @ batch - h.sum(axis=1)[:, None] * w) / np.maximum(h.sum(axis=1), 1)[:, None]
    np.testing.assert_allclose(last.codebook.reshape(24, -1), w, atol=1e-4)
    np.testing.assert_allclose(metrics["radius"][-1], 1.0, rtol=1e-6)


def test_decoding_gives_the_best_unit(rows):
    method = methods.som(height=4, width=6, examples=500, total_steps=2)
    _, state, _ = run(method, rows, 500, 2)
    expected = np.asarray(state.codebook)[np.asarray(method.assign(state, rows))]
    np.testing.assert_array_equal(method.decode(state, method.encode(state, rows)), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update": "stream"}, "update='stream' must be one of"),
        ({"start": "random"}, "start='random' one of"),
        ({"topology": "hexagonal", "toroidal": True, "height": 5}, "even height, not 5"),
        ({"end_radius": -1.0}, "both above 0"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        methods.som(examples=10, total_steps=10, **settings)
