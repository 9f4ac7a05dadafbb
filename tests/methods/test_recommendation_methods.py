"""EASE against its closed form in float64, bags dense and sparse, Mult-VAE's objective, and what their items say."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import sparse

from unsupjax import methods, models
from unsupjax.data.bags import Rows
from unsupjax.methods.ease import weights
from unsupjax.methods.parts.bags import dense, unit_rows

KEY = jax.random.key(0)
V = 12


@pytest.fixture(scope="module")
def table():
    """Forty users of twelve items, of which 0 to 5 and 6 to 11 go together."""
    rng = np.random.default_rng(0)
    likes = np.repeat(np.eye(2), 20, axis=0) @ np.kron(np.eye(2), np.full((1, 6), 0.6)) + 0.1
    return (rng.random((40, V)) < likes).astype(np.float32)


def padded(table, length=V):
    csr = sparse.csr_matrix(table)
    rows = Rows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data.astype(np.int32))
    return rows.padded(length, bool((table > 1).any()))


def networks(hidden=8):
    return models.MLPEncoder((hidden,), "tanh"), models.MLPDecoder((V,), (hidden,), "tanh")


def test_sparse_is_dense_and_padding_never_counts():
    counts = np.random.default_rng(1).poisson(0.7, (9, V)).astype(np.float32)
    codes = padded(counts)
    np.testing.assert_array_equal(dense(codes, V), counts)
    shuffled = codes[:, np.random.default_rng(2).permutation(V)]  # padding anywhere
    np.testing.assert_array_equal(dense(shuffled, V), counts)
    ones = padded(np.minimum(counts, 1))
    np.testing.assert_array_equal(dense(np.pad(ones, ((0, 0), (0, 5))), V), np.minimum(counts, 1))
    np.testing.assert_array_equal(dense(np.stack([ones, np.ones_like(ones)], 2), V), np.minimum(counts, 1))
    assert dense(np.zeros((2, 3), np.int32), V).sum() == 0 and dense(ones, V).dtype == jnp.float32
    assert np.isfinite(unit_rows(jnp.zeros((2, 3)))).all()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_ease_is_its_closed_form(table, dropout):
    """Of every example once, wherever batches end; in float64, by another solver."""
    method = methods.ease(regularization=2.0, dropout=dropout, vocabulary=V, examples=40, latent_dim=3)
    codes = padded(table)
    state, step = method.init(KEY, codes[:16]), jax.jit(method.step)
    for start in (0, 16, 32, 48):
        state, metrics = step(state, codes[np.arange(start, start + 16) % 40])
    gram = table.T.astype(np.float64) @ table
    p = np.linalg.inv(gram + np.diag(2.0 + dropout / (1 - dropout) * np.diag(gram)))
    b = np.eye(V) - p / np.diag(p)
    np.testing.assert_allclose(state.matrix, b, atol=2e-6)
    assert np.diag(state.matrix).tolist() == [0] * V and bool(state.solved) and metrics["converged"] == 1
    np.testing.assert_allclose(metrics["loss"], np.square(table - table @ b).sum() / 40, rtol=1e-5)
    np.testing.assert_allclose(method.recommend(state, codes), table @ b, atol=1e-5)
    again = method.finish(state)
    np.testing.assert_array_equal(again.matrix, state.matrix)
    half = step(method.init(KEY, codes), codes[:20])[0]  # an end before the epoch's
    gram = table[:20].T.astype(np.float64) @ table[:20]
    p = np.linalg.inv(gram + np.diag(2.0 + dropout / (1 - dropout) * np.diag(gram)))
    np.testing.assert_allclose(jax.jit(method.finish)(half).matrix, np.eye(V) - p / np.diag(p), atol=2e-6)


def test_no_other_weights_are_better(table):
    """B minimises what it says, among matrices without a diagonal."""
    gram = jnp.asarray(table.T @ table)
    b = weights(gram, 2.0)
    of = lambda b: jnp.square(table - table @ b).sum() + 2.0 * jnp.square(b).sum()
    gradient = jax.grad(of)(b) * (1 - jnp.eye(V))
    assert float(jnp.abs(gradient).max()) < 1e-3


def test_embeddings_are_leading_eigenvectors(table):
    method = methods.ease(vocabulary=V, examples=40, latent_dim=2)
    state, _ = method.step(method.init(KEY, padded(table)), padded(table))
    gram = table.T @ table
    count = np.sqrt(np.diag(gram))
    values, vectors = np.linalg.eigh(gram / count[:, None] / count[None])
    leading = vectors[:, -2:] * np.sqrt(values[-2:])
    e = np.asarray(method.items(state))
    np.testing.assert_allclose(e @ e.T, leading @ leading.T, atol=0.02)
    np.testing.assert_allclose(method.encode(state, padded(table)), unit_rows(table) @ e, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_mult_vae_lowers_its_bound(table, tied):
    method = methods.mult_vae(
        *networks(), optax.adam(1e-2), latent_dim=3, tied=tied, dropout=0.0, vocabulary=V, total_steps=200
    )
    codes = padded(table)
    state = method.init(KEY, codes)
    state, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: method.step(s, codes), s, None, length=200))(
        state
    )
    popular = table.mean(0) / table.mean(0).sum()
    alone = -(table * np.log(popular)).sum(1).mean()  # of no latent
    assert metrics["loss"][-1] < alone < metrics["loss"][0] + 1
    np.testing.assert_allclose(
        metrics["loss"], metrics["nll"] + 0.2 * np.minimum(np.arange(200) / 100, 1) * metrics["kl"], rtol=1e-5
    )
    log_p = method.recommend(state, codes)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-5)
    assert (
        log_p[:20, :6].mean() > log_p[:20, 6:].mean() + 0.5
        and ("kernel" in state.params["decoder"]["Dense_0"]) != tied
    )
    np.testing.assert_allclose(method.recommend(state, np.pad(codes, ((0, 0), (0, 4)))), log_p, rtol=1e-5)
    e = unit_rows(method.items(state))
    same = np.asarray(e @ e.T)
    assert same[:6, :6].mean() > same[:6, 6:].mean() + 0.3
    np.testing.assert_allclose(method.items(state)[4], method.encode(state, np.array([[5, 0]]))[0], rtol=1e-5)


def test_both_are_added(table):
    codes = padded(table)
    facts = {"vocabulary": V, "total_steps": 3}
    tx = optax.adam(1e-2)
    both = methods.ease_vae(
        *networks(), tx, weight=0.5, regularization=2.0, latent_dim=3, examples=40, **facts
    )
    alone = methods.ease(regularization=2.0, latent_dim=3, vocabulary=V, examples=40)
    other = methods.mult_vae(*networks(), tx, latent_dim=3, **facts)
    state, metrics = jax.jit(both.step)(both.init(KEY, codes), codes)
    assert set(metrics) == {"loss", "nll", "kl", "ease_loss"}
    z = lambda s: (s - s.mean(1, keepdims=True)) / s.std(1, keepdims=True)
    parts = np.asarray(alone.recommend(state.linear, codes)), np.asarray(other.recommend(state.latent, codes))
    np.testing.assert_allclose(
        both.recommend(state, codes), z(parts[0]) + 0.5 * z(parts[1]), rtol=1e-4, atol=1e-4
    )
    assert both.items(state).shape == (V, 6)
    assert np.isfinite(both.recommend(state, np.zeros((1, 3), np.int32))).all()  # nothing known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regularization": 0.0}, "regularization"),
        ({"dropout": 1.0}, "dropout"),
        ({"latent_dim": 0}, "latent_dim"),
    ],
)
def test_ease_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        methods.ease(vocabulary=V, examples=4, **arguments)
    with pytest.raises(ValueError, match=r"1000000 items would take 11176 GiB; .* config.data.min_users"):
        methods.ease(vocabulary=10**6, examples=4)
    with pytest.raises(ValueError, match="anneal"):
        methods.mult_vae(*networks(), optax.sgd(1), anneal=2.0, vocabulary=V, total_steps=1)
