"""Mixed rows: the linear model against loops, strange categories, missing numbers, what is imputed and trimmed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from unsupjax import methods, models
from unsupjax.data.columns import Column
from unsupjax.data.kinds.table import Table, fit
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
    arguments = {"term_weights": (1.0, 1.0, 1.0, 0.0), "kind": KIND, "rows": ROWS} | arguments
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


def test_a_copula_of_normal_scores():
    """Against ranks and a Gaussian by loops; a value beyond those of training is as far from the last as it is."""
    lay, known = mixed.layout(KIND), mixed.known(mixed.layout(KIND), rows := ROWS[:250], 250)()
    y = np.asarray(mixed.seen(lay, known, jnp.asarray(rows)), np.float64)
    scores = y.copy()
    for j in range(2):
        there = y[:, 2 + j] == 0
        rank = scipy.stats.rankdata(y[there, j])
        scores[there, j] = scipy.stats.norm.ppf((rank - 0.5) / there.sum())
    z = np.asarray(mixed.normal(lay, known.copula, jnp.asarray(y, jnp.float32)))
    np.testing.assert_allclose(z, scores, atol=1e-3)
    less = scores - scores.mean(axis=0)
    precision = np.linalg.inv(less.T @ less / len(less) + 1e-2 * np.eye(y.shape[1]))
    found = np.asarray(mixed.by_copula(lay, known, jnp.asarray(y - y.mean(axis=0), jnp.float32)))
    for j, at in enumerate(mixed.blocks(lay)):
        e = less @ precision[:, at]
        m = np.einsum("ni,ij,nj->n", e, np.linalg.inv(precision[np.ix_(at, at)]), e)
        np.testing.assert_allclose(found[:, j], np.log1p(m), rtol=2e-2, atol=2e-3)
    far = y[[y[:, 0].argmax()]] + np.eye(y.shape[1])[0] * 7
    last = scores[:, 0].max()
    assert mixed.normal(lay, known.copula, jnp.asarray(far, jnp.float32))[0, 0] == pytest.approx(
        last + 7, abs=1e-3
    )


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
    for name, term_weights in (("network", (1.0, 0.0, 0.0, 0.0)), ("all", (1.0, 1.0, 1.0, 1.0))):
        parts = jax.jit(made(term_weights=term_weights).surprise)(state, jnp.asarray(ROWS))
        each.append(np.asarray(parts).sum(axis=1))
        assert name == "all" or each[0].std() == pytest.approx(1, rel=1e-2)
    others = [
        f(lay := mixed.layout(KIND), state.known, less_of(lay, state))
        for f in (mixed.conditional, mixed.whitened, mixed.apart, mixed.by_copula)
    ]
    rest = sum(np.asarray(p).sum(axis=1) / u for p, u in zip(others, state.known.usual, strict=True))
    np.testing.assert_allclose(each[1], each[0] + rest, rtol=1e-3, atol=1e-2)
    numbers = fit(TABLE[["amount", "double"]], COLUMNS[::2], missing=True)
    rows = numbers.prepare(TABLE[["amount", "double"]])
    chosen = [made(kind=numbers, rows=rows, term_weights=w) for w in ((), (1.0, 0.0, 1.0, 0.0))]
    state = jax.jit(chosen[0].init)(KEY, rows[:100])
    np.testing.assert_array_equal(*(jax.jit(m.surprise)(state, rows[:50]) for m in chosen))
    for term_weights in ((0.0, 0.0, 0.0, 0.0), (1.0, 1.0), (1.0, -1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="must be four numbers of at least 0"):
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


MANY = 300  # shops, each of one of three towns


def shops(n, seed):
    rng = np.random.default_rng(seed)
    rows = np.empty(n, [("shop", "U5"), ("town", "U5"), ("amount", float)])
    shop = np.minimum(rng.integers(0, MANY, n), rng.integers(0, MANY, n))  # the first are more frequent
    rows["shop"] = [f"s{i:03d}" for i in shop]
    rows["town"] = np.array(["Bonn", "Graz", "Bern"])[shop % 3]
    rows["amount"] = rng.normal(0, 1, n)
    return rows


def test_many_categories_are_embedded():
    columns = Column("shop", "text", True), Column("town", "text", True), Column("amount", "float", False)
    table = shops(6000, 0)
    kind = fit(table, columns, embedded=64)._replace(strange=True)
    assert [c.type for c in kind.columns] == ["index", "category", "number"] and kind.shape == (5,)
    assert (
        Table.from_json({k: v for k, v in json.loads(json.dumps(kind.to_json())).items() if k != "kind"})
        == kind
    )
    rows = kind.prepare(table)
    assert (kind.restore(rows)["shop"] == table["shop"]).all()
    lay = mixed.layout(kind)
    y = np.asarray(mixed.seen(lay, mixed.known(lay, rows, 6000)(), jnp.asarray(rows)))
    names, counts = np.unique(table["shop"], return_counts=True)
    rare = -np.log(counts / 6000)[np.searchsorted(names, table["shop"])]
    np.testing.assert_allclose(y[:, -2], (rare - rare.mean()) / rare.std(), atol=1e-3)
    method = made(kind=kind, rows=rows, term_weights=(1.0, 0.0, 0.0, 0.0), beta=0.0)
    state, step = method.init(KEY, rows[:100]), jax.jit(method.step)
    assert jax.tree.map(jnp.shape, state.params["embeddings"]) == ((len(names), 16),)
    for i in range(400):
        state, _ = step(state, rows[(np.arange(200) + 200 * i) % 6000])
    state = method.finish(state)
    fresh = shops(300, 1)
    moved = fresh.copy()
    moved["town"] = np.roll(["Bonn", "Graz", "Bern"], 1)[[int(s[1:]) % 3 for s in fresh["shop"]]]
    moved["shop"][:10] = "new"
    surprise = jax.jit(method.surprise)
    usual, other = (np.asarray(surprise(state, kind.prepare(r))) for r in (fresh, moved))
    known = np.isin(fresh["shop"], names)
    assert np.median(other[10:, 1]) > 5 * np.median(usual[10:, 1])  # no such shop in that town
    assert (other[:10].argmax(axis=1) == 0).all() and other[:10, 0].min() > usual[known, 0].max()
    away = np.zeros((300, 3), bool)
    away[:, 0] = True
    guess = kind.restore(np.asarray(method.impute(state, kind.prepare(fresh), away)))["shop"]
    assert (
        np.mean([int(g[1:]) % 3 == int(s[1:]) % 3 for g, s in zip(guess, fresh["shop"], strict=True)]) > 0.9
    )


@pytest.mark.parametrize("names", (("amount", "double"), ("who", "colour")))
def test_columns_of_one_sort(names):
    """No array of a state is empty, which no checkpoint could hold."""
    columns = tuple(c for c in COLUMNS if c.name in names)
    kind = fit(TABLE[list(names)], columns, missing=True)
    rows = kind.prepare(TABLE[list(names)])
    method = made(kind=kind, rows=rows, term_weights=(1.0, 1.0, 1.0, 1.0))
    state = jax.jit(method.init)(KEY, rows[:100])
    assert all(x.size for x in jax.tree.leaves(state))
    parts = jax.jit(method.surprise)(method.finish(state), rows[:50])
    assert parts.shape == (50, 2) and np.isfinite(parts).all()
    assert method.impute(state, rows[:5], np.ones((5, 2), bool)).shape == (5, *kind.shape)


def test_a_variational_code():
    """The loss is the likelihoods and beta times the divergence; a beta that is large leaves nothing in the code."""
    states = []
    for beta in (0.01, 100.0):
        method = made(beta=beta, hidden=0.0, level=0.0)
        state, step = method.init(KEY, ROWS[:100]), jax.jit(method.step)
        for i in range(150):
            state, metrics = step(state, ROWS[(np.arange(100) + 100 * i) % 400])
        state = jax.jit(method.finish)(state)
        code = np.asarray(method.encode(state, jnp.asarray(ROWS)))
        parts = np.asarray(jax.jit(method.surprise)(state, ROWS))
        assert code.shape == (400, 4) and parts.shape == (400, 4) and np.isfinite(parts).all()
        states.append((np.std(code), float(metrics["loss"])))
    assert states[0][0] > 0.3 > 0.1 > states[1][0] and states[0][1] < states[1][1]


def test_arguments_and_kinds_are_refused():
    with pytest.raises(ValueError, match="level=-1 at least 0"):
        made(level=-1)
    with pytest.raises(ValueError, match=r"set config\.data\.numbers='standardised'"):
        mixed.layout(fit(TABLE, COLUMNS, missing=True, numbers="modes"))
    with pytest.raises(ValueError, match="models rows of tables"):
        mixed.layout(None)
