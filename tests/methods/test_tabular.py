"""What stands between the networks: one-hots that can be drawn and differentiated, scalars, and the critic's view."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.kinds import Table
from unsupjax.data.kinds.columns import Category, Number
from unsupjax.data.kinds.table import fit
from unsupjax.methods.parts import tabular
from unsupjax.tables import from_columns

SPREAD = np.array([1.0, 0, 1, 1, 1])
LAYOUT = tabular.Layout(
    (0, 1), (2, 3), (2, 3), (3, 2), np.arange(12), np.zeros(12, np.float32), np.zeros((5, 2)), SPREAD[:, None]
)


def inputs(n):
    keys = jax.random.split(jax.random.key(0), 3)
    raw = jax.random.normal(keys[0], (n, 15))
    return (
        jax.random.gumbel(keys[1], (n, 10)),
        raw,
        (jnp.zeros((n, 10)), 0.1 * jax.random.normal(keys[2], (n, 5))),
    )


COMPOSE = jax.jit(lambda *arguments: tabular.compose(LAYOUT, *arguments))


def test_groups_against_a_loop():
    x = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    parts = np.split(x, np.cumsum(LAYOUT.hots)[:-1], axis=1)
    expected = np.concatenate([np.exp(p) / np.exp(p).sum(1, keepdims=True) for p in parts], axis=1)
    np.testing.assert_allclose(tabular.by_group(jax.nn.softmax, LAYOUT.hots, x), expected, rtol=1e-5)
    condition = np.zeros((4, 5), np.float32)
    condition[np.arange(4), [0, 2, 3, 4]] = 1
    log_p = np.log(expected[:, 5:])
    loss = tabular.condition_loss(LAYOUT, x, condition)
    np.testing.assert_allclose(loss, -log_p[np.arange(4), [0, 2, 3, 4]], rtol=1e-5)


def test_vectors_are_hard_and_have_the_scalar_of_their_mode():
    gumbel, raw, start = inputs(2000)
    vectors, logits = COMPOSE(gumbel, raw, start)
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
    vectors, _ = COMPOSE(jax.random.gumbel(jax.random.key(0), (n, 10)), raw, start)
    np.testing.assert_allclose(vectors[:, 7:10].mean(axis=0), jax.nn.softmax(logits[5:8]), atol=0.012)
    np.testing.assert_allclose(vectors[:, 10:].mean(axis=0), jax.nn.softmax(logits[8:]), atol=0.012)


def test_the_gradient_through_hard_one_hots_is_that_of_soft_ones():
    gumbel, raw, start = inputs(5)
    weight = jax.random.normal(jax.random.key(3), (5, 12))

    def soft(raw):
        noisy = (raw[:, 5:] + gumbel) / 0.2
        hots, scalars = [], jax.lax.stop_gradient(SPREAD[None] * jnp.tanh(start[1] + raw[:, :5]))
        for part in jnp.split(noisy, np.cumsum(LAYOUT.hots)[:-1], axis=1):
            hots.append(jax.nn.softmax(part))
        one = jnp.concatenate(hots[:2], axis=1) * scalars
        numbers = jnp.stack([one[:, :2].sum(axis=1), one[:, 2:].sum(axis=1)], axis=1)
        return (weight * jnp.concatenate([numbers, *hots], axis=1)).sum()

    def hard(raw):
        return (weight * tabular.compose(LAYOUT, gumbel, raw, start)[0]).sum()

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
    kind = fit(table.structured(), table.columns, numbers="modes")
    layout = tabular.layout(kind)
    vectors = tabular.arranged(layout, jnp.asarray(kind.prepare(table.structured())))
    view = jax.tree.map(jnp.asarray, tabular.fit_view(layout, vectors))
    numbers, *_ = tabular.numbers(layout, vectors)
    for j, i in enumerate(layout.numbers):
        values = table.values[i]
        np.testing.assert_allclose(numbers[:, j], (values - values.mean()) / values.std(), atol=0.06)
    condition = jnp.ones((3000, 2))
    everything = tabular.see(layout, view, vectors, condition)
    np.testing.assert_array_equal(everything[:, : layout.width], vectors)
    np.testing.assert_array_equal(everything[:, layout.width : layout.width + 2], condition)
    components = everything[:, -2:] / 0.3
    np.testing.assert_allclose(np.cov(components.T), np.eye(2), atol=0.2)


def test_a_generator_starts_at_zero():
    generator = tabular.Generator(4, (8,))
    variables = generator.init(jax.random.key(0), jnp.zeros((1, 3)))
    assert not generator.apply(variables, jax.random.normal(jax.random.key(1), (5, 3))).any()


def test_rows_are_arranged_by_width_and_placed_again():
    """Constants are left out of vectors, and stand in rows."""
    random = np.random.default_rng(0)
    columns = {
        "three": random.choice(["p", "q", "r"], 60).tolist(),
        "one": [7] * 60,
        "x": random.normal(size=60).tolist(),
        "two": random.choice(["a", "b"], 60).tolist(),
        "flat": [0.5] * 60,
    }
    table = from_columns(columns)
    kind = fit(table.structured(), table.columns, numbers="modes", modes=2)
    layout = tabular.layout(kind)
    assert (layout.numbers, layout.categories, layout.sizes) == ((2,), (3, 0), (2, 3))
    rows = kind.prepare(table.structured())
    assert layout.width == layout.scalars + sum(layout.hots) == rows.shape[1] - 1 - 2
    rows[0, kind.starts[2]], rows[1, kind.starts[2]] = 3, -3  # far out in their mode
    inside = np.clip(rows, -1, 1)
    vectors = tabular.arranged(layout, jnp.asarray(rows))
    np.testing.assert_array_equal(vectors[:, 0], inside[:, kind.starts[2]])
    np.testing.assert_array_equal(vectors[:, -3:], rows[:, :3])
    np.testing.assert_array_equal(tabular.placed(layout, vectors), inside)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (None, "it models tables, and this is no data"),
        (
            Table((Category("c", ("a", "b")), Number("x"))),
            r"column 'x' is a number.*set config.data.numbers='modes'",
        ),
        (Table((Category("c", ("a",)),)), "every column of the table is constant"),
    ],
)
def test_rows_that_no_layout_has(kind, message):
    with pytest.raises(ValueError, match=message):
        tabular.layout(kind)
