"""What stands between the networks: one-hots that can be drawn and differentiated, scalars, and the critic's view."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.tables import from_columns, networks, transform, view

LAYOUT = networks.Layout((2, 3), (3, 2))
SPREAD = jnp.array([1.0, 0, 1, 1, 1])


def inputs(n):
    keys = jax.random.split(jax.random.key(0), 3)
    raw = jax.random.normal(keys[0], (n, 15))
    return keys[1], raw, (jnp.zeros((n, 10)), 0.1 * jax.random.normal(keys[2], (n, 5)))


COMPOSE = jax.jit(networks.compose, static_argnums=0)


def test_groups_against_a_loop():
    x = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    parts = np.split(x, np.cumsum(LAYOUT.hots)[:-1], axis=1)
    expected = np.concatenate([np.exp(p) / np.exp(p).sum(1, keepdims=True) for p in parts], axis=1)
    np.testing.assert_allclose(networks.by_group(jax.nn.softmax, LAYOUT.hots, x), expected, rtol=1e-5)
    condition = np.zeros((4, 5), np.float32)
    condition[np.arange(4), [0, 2, 3, 4]] = 1
    log_p = np.log(expected[:, 5:])
    loss = networks.condition_loss(LAYOUT, x, condition)
    np.testing.assert_allclose(loss, -log_p[np.arange(4), [0, 2, 3, 4]], rtol=1e-5)


def test_vectors_are_hard_and_have_the_scalar_of_their_mode():
    key, raw, start = inputs(2000)
    vectors, logits = COMPOSE(LAYOUT, key, raw, start, SPREAD)
    hots = np.asarray(vectors[:, 2:])
    np.testing.assert_allclose(hots, hots.round(), atol=1e-6)
    at = 0
    for width in LAYOUT.hots:
        np.testing.assert_allclose(hots[:, at : at + width].sum(axis=1), 1, atol=1e-6)
        at += width
    scalars = np.asarray(SPREAD[None] * jnp.tanh(start[1] + raw[:, :5]))
    for column, modes in enumerate((slice(0, 2), slice(2, 5))):
        expected = scalars[:, modes][np.arange(2000), hots[:, modes].argmax(axis=1)]
        np.testing.assert_allclose(vectors[:, column], expected, atol=1e-6)
    np.testing.assert_array_equal(logits, raw[:, 5:])


def test_categories_are_drawn_by_the_softmax_of_the_logits():
    n = 20_000
    logits = jnp.array([0.0, 0, 0, 0, 0, 1.0, 0, -1, 2, 0])
    raw = jnp.tile(jnp.concatenate([jnp.zeros(5), logits]), (n, 1))
    start = jnp.zeros((n, 10)), jnp.zeros((n, 5))
    vectors, _ = COMPOSE(LAYOUT, jax.random.key(0), raw, start, SPREAD)
    np.testing.assert_allclose(vectors[:, 7:10].mean(axis=0), jax.nn.softmax(logits[5:8]), atol=0.012)
    np.testing.assert_allclose(vectors[:, 10:].mean(axis=0), jax.nn.softmax(logits[8:]), atol=0.012)


def test_the_gradient_through_hard_one_hots_is_that_of_soft_ones():
    key, raw, start = inputs(5)
    weight = jax.random.normal(jax.random.key(3), (5, 12))

    def soft(raw):
        noisy = (raw[:, 5:] + jax.random.gumbel(key, (5, 10))) / 0.2
        hots, scalars = [], jax.lax.stop_gradient(SPREAD[None] * jnp.tanh(start[1] + raw[:, :5]))
        for part in jnp.split(noisy, np.cumsum(LAYOUT.hots)[:-1], axis=1):
            hots.append(jax.nn.softmax(part))
        one = jnp.concatenate(hots[:2], axis=1) * scalars
        numbers = jnp.stack([one[:, :2].sum(axis=1), one[:, 2:].sum(axis=1)], axis=1)
        return (weight * jnp.concatenate([numbers, *hots], axis=1)).sum()

    def hard(raw):
        return (weight * networks.compose(LAYOUT, key, raw, start, SPREAD)[0]).sum()

    expected, found = jax.jit(jax.grad(soft))(raw), jax.jit(jax.grad(hard))(raw)
    np.testing.assert_allclose(found[:, 5:], expected[:, 5:], rtol=1e-4, atol=1e-6)
    assert np.abs(found[:, 5:]).max() > 0.1
    # Only the drawn mode's scalar is seen, and never one of a mode that is a single value.
    assert ((found[:, :2] != 0).sum(axis=1) <= 1).all() and ((found[:, 2:5] != 0).sum(axis=1) == 1).all()
    assert not found[:, 1].any()


def test_the_critic_sees_numbers_in_deviations_and_their_components():
    random = np.random.default_rng(0)
    x = random.normal(10, 3, 3000)
    table = from_columns(
        {"x": x, "y": 2 * x + random.normal(0, 1, 3000), "c": random.choice(["a", "b"], 3000)}
    )
    found = transform.fit(table)
    vectors, layout = jnp.asarray(transform.encode(found, table)), networks.layout(found)
    seen = view.fit(found, layout, vectors)
    numbers = view.numbers(seen, layout, vectors)
    for j, part in enumerate(found.continuous):
        values = table.values[part.column]
        np.testing.assert_allclose(numbers[:, j], (values - values.mean()) / values.std(), atol=0.06)
    condition = jnp.ones((3000, 2))
    everything = view.see(seen, layout, vectors, condition)
    np.testing.assert_array_equal(everything[:, : layout.width], vectors)
    np.testing.assert_array_equal(everything[:, layout.width : layout.width + 2], condition)
    components = everything[:, -2:] / 0.3
    np.testing.assert_allclose(np.cov(components.T), np.eye(2), atol=0.2)


def test_a_generator_starts_at_zero():
    generator = networks.TableGenerator(4, (8,))
    variables = generator.init(jax.random.key(0), jnp.zeros((1, 3)))
    assert not generator.apply(variables, jax.random.normal(jax.random.key(1), (5, 3))).any()
