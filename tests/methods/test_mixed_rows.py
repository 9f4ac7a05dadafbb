"""Mixed rows: the linear model against loops, strange categories, missing numbers, what is imputed and trimmed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import methods, models
from unsupjax.data.columns import Column
from unsupjax.data.kinds.table import fit
from unsupjax.errors import UserError
from unsupjax.methods.parts import mixed

KEY = jax.random.key(0)


def drawn(n, seed=0):
    """An amount that a kind of customer explains, its double, and a colour; as columns."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 2, n)
    amount = np.exp(3 + 2 * who + rng.normal(0, 0.2, n))
    rows = np.empty(n, [("amount", float), ("who", "U5"), ("double", float), ("colour", "U5")])
    rows["amount"], rows["double"] = amount, 2 * amount * np.exp(rng.normal(0, 0.05, n))
    rows["who"], rows["colour"] = (
        np.array(["shop", "bank"])[who],
        np.array(["red", "blue", "gray"])[rng.integers(0, 3, n)],
    )
    rows["double"][::20] = np.nan
    return rows


COLUMNS = (
    Column("amount", "float", False),
    Column("who", "text", True),
    Column("double", "float", False),
    Column("colour", "text", True),
)
TABLE = drawn(400)
KIND = fit(TABLE, COLUMNS, missing=True)._replace(strange=True)
ROWS = KIND.prepare(TABLE)


def made(**arguments):
    networks = models.MLPEncoder((32,), "tanh"), models.MLPDecoder((8,), (32,), "tanh")
    arguments = {"term_weights": (1.0, 1.0, 1.0), "kind": KIND, "rows": ROWS} | arguments
    return methods.mixed_rows(*networks, optax.adam(1e-2), latent_dim=4, examples=400, **arguments)


@pytest.fixture(scope="module")
def trained():
    method = made()
    state, step = method.init(KEY, ROWS[:100]), jax.jit(method.step)
    for i in range(200):
        state, metrics = step(state, ROWS[(np.arange(100) + 100 * i) % 400])
    assert np.isfinite(metrics["loss"])
    return method, jax.jit(method.finish)(state)


def test_what_the_network_sees_and_the_linear_model():
    lay, known = mixed.layout(KIND), mixed.known(mixed.layout(KIND), ROWS, 400)()
    y = np.asarray(mixed.seen(lay, known, jnp.asarray(ROWS)), np.float64)
    a = TABLE["amount"]
    np.testing.assert_allclose(y[:, 0], (a - a.mean()) / a.std(), atol=1e-4)
    assert (y[:, 3] == np.isnan(TABLE["double"])).all() and (y[y[:, 3] == 1, 1] == 0).all()
    np.testing.assert_array_equal(
        y[:, 4:7], np.stack([TABLE["who"] == "bank", TABLE["who"] == "shop", TABLE["who"] == ""], 1)
    )
    less = y - y.mean(axis=0)
    covariance = less.T @ less / len(less) + 1e-2 * np.eye(y.shape[1])
    found = np.asarray(mixed.conditional(lay, known, jnp.asarray(less, jnp.float32)))
    for j, at in enumerate(mixed.blocks(lay)):
        rest = np.setdiff1d(np.arange(y.shape[1]), at)
        slope = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[np.ix_(rest, at)])
        error = less[:, at] - less[:, rest] @ slope
        own = covariance[np.ix_(at, at)] - covariance[np.ix_(at, rest)] @ slope
        m = np.einsum("ni,ij,nj->n", error, np.linalg.inv(own), error)
        np.testing.assert_allclose(found[:, j], np.log1p(m), rtol=2e-2, atol=2e-3)
    white = np.asarray(mixed.whitened(lay, known, jnp.asarray(less, jnp.float32)))
    z = less / np.where(y.std(axis=0) > 1e-9, y.std(axis=0), 1)
    variance, axes = np.linalg.eigh(z.T @ z / len(z))
    total = np.log1p(np.square(z @ axes) / (variance.clip(0) + 1e-2)).sum(axis=1)
    np.testing.assert_allclose(white.sum(axis=1), total, rtol=1e-2, atol=1e-2)


def test_a_row_is_as_far_as_the_nearest_other_row():
    lay, known = mixed.layout(KIND), mixed.known(mixed.layout(KIND), ROWS, 400)()
    y = np.asarray(mixed.seen(lay, known, jnp.asarray(ROWS)), np.float64)
    inside = np.linalg.norm(y[:, None] - y[None], axis=2)
    np.fill_diagonal(inside, np.inf)
    fresh = np.asarray(mixed.seen(lay, known, jnp.asarray(KIND.prepare(drawn(60, seed=5)))), np.float64)
    outside = np.linalg.norm(fresh[:, None] - y[None], axis=2)
    apart = jax.jit(lambda less: mixed.apart(lay, known, less))
    for given, table in ((y, inside), (fresh, outside)):
        found = np.asarray(apart(jnp.asarray(given - y.mean(axis=0), jnp.float32)))
        assert found.shape == (len(given), 4)
        np.testing.assert_allclose(found.sum(axis=1), table.min(axis=1), atol=2e-3)
    differs = np.square(fresh - y[outside.argmin(axis=1)])
    share = np.stack([differs[:, at].sum(axis=1) for at in mixed.blocks(lay)], axis=1)
    np.testing.assert_allclose(found, share / outside.min(axis=1, keepdims=True), atol=5e-3)
    assert known.usual[2] == pytest.approx(inside.min(axis=1).std(), rel=1e-3)


def test_what_is_added_is_measured_in_its_spread_over_training_rows(trained):
    """And tables of numbers alone are scored without the linear model."""
    _, state = trained
    each = []
    for name, term_weights in (("network", (1.0, 0.0, 0.0)), ("all", (1.0, 1.0, 1.0))):
        parts = jax.jit(made(term_weights=term_weights).surprise)(state, jnp.asarray(ROWS))
        each.append(np.asarray(parts).sum(axis=1))
        assert name == "all" or each[0].std() == pytest.approx(1, rel=1e-2)
    linear = [
        f(lay := mixed.layout(KIND), state.known, less_of(lay, state))
        for f in (mixed.conditional, mixed.whitened)
    ]
    rest = sum(np.asarray(p).sum(axis=1) / u for p, u in zip(linear, state.known.usual, strict=False))
    distance = (
        np.asarray(mixed.apart(lay, state.known, less_of(lay, state))).sum(axis=1) / state.known.usual[2]
    )
    np.testing.assert_allclose(each[1], each[0] + rest + distance, rtol=1e-3, atol=1e-2)
    numbers = fit(TABLE[["amount", "double"]], COLUMNS[::2], missing=True)
    rows = numbers.prepare(TABLE[["amount", "double"]])
    chosen = [made(kind=numbers, rows=rows, term_weights=w) for w in ((), (1.0, 0.0, 1.0))]
    state = jax.jit(chosen[0].init)(KEY, rows[:100])
    np.testing.assert_array_equal(*(jax.jit(m.surprise)(state, rows[:50]) for m in chosen))
    for term_weights in ((0.0, 0.0, 0.0), (1.0, 1.0), (1.0, -1.0, 1.0)):
        with pytest.raises(ValueError, match="must be three numbers of at least 0"):
            made(term_weights=term_weights)


def less_of(lay, state):
    return mixed.seen(lay, state.known, jnp.asarray(ROWS)) - state.known.mean[None]


def test_a_broken_dependence_is_found_in_its_cells(trained):
    method, state = trained
    fresh = drawn(200, seed=1)
    fresh["double"][10] = fresh["amount"][10] * 40
    fresh["who"][11] = "bank" if fresh["who"][11] == "shop" else "shop"
    parts = np.asarray(jax.jit(method.surprise)(state, KIND.prepare(fresh)))
    assert parts.shape == (200, 4) and np.isfinite(parts).all()
    assert set(np.argsort(-parts.sum(axis=1))[:2]) == {10, 11}
    assert parts[10].argmax() in (0, 2) and parts[11].argmax() in (0, 1)


def test_a_strange_category_is_strange_and_no_error(trained):
    method, state = trained
    fresh = drawn(100, seed=2)
    fresh["colour"][3] = "pink"
    parts = np.asarray(method.surprise(state, KIND.prepare(fresh)))
    assert parts.sum(axis=1).argmax() == 3 and parts[3].argmax() == 3
    with pytest.raises(UserError, match="'pink', and the column holds one of"):
        KIND._replace(strange=False).prepare(fresh)


def test_cells_are_imputed_from_the_others(trained):
    method, state = trained
    fresh = drawn(50, seed=3)
    away = np.zeros((50, 4), bool)
    away[:, 1], away[:25, 0] = True, True
    back = KIND.restore(np.asarray(method.impute(state, KIND.prepare(fresh), away)))
    assert (back["who"] == fresh["who"]).mean() > 0.9
    off = np.abs(np.log(back["amount"][:25] / fresh["amount"][:25]))
    assert np.nanmedian(off) < 0.5
    np.testing.assert_allclose(back["amount"][25:], fresh["amount"][25:], rtol=1e-4)


def test_trimmed_rows_are_not_learnt_from():
    """The gradient of a step with one wild row among twenty, trimmed, is that of the nineteen others."""
    wild = ROWS[:20].copy()
    wild[7, 0] = 1e6
    changes = []
    for trim, rows in ((0.05, wild), (0.0, np.delete(wild, 7, axis=0))):
        method = made(trim=trim, hidden=0.0)
        state = jax.jit(method.init)(KEY, ROWS[:100])
        after, _ = jax.jit(method.step)(state, rows)
        changes.append(after.params["head"]["bias"] - state.params["head"]["bias"])
    np.testing.assert_allclose(*changes, rtol=1e-3, atol=1e-6)


def test_arguments_and_kinds_are_refused():
    with pytest.raises(ValueError, match="level=-1 at least 0"):
        made(level=-1)
    with pytest.raises(ValueError, match=r"set config\.data\.numbers='standardised'"):
        mixed.layout(fit(TABLE, COLUMNS, missing=True, numbers="modes"))
    with pytest.raises(ValueError, match="models rows of tables"):
        mixed.layout(None)
