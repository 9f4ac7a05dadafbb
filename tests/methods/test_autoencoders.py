"""The mathematics of each autoencoder, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from scipy.special import expit, rel_entr

from unsupjax import methods
from unsupjax.methods.sparse import top_k
from unsupjax.models import MLPDecoder, MLPEncoder

RNG = np.random.default_rng(0)
X = RNG.uniform(0.05, 0.95, size=(32, 6)).astype(np.float32)
KEY = jax.random.key(0)
FLAT = (MLPEncoder(()), MLPDecoder((6,), ()))


def first_step(factory, rate=0.1, **arguments):
    """The method, its first State, the next, and that step's metrics."""
    method = factory(*FLAT, optax.sgd(rate), **arguments)
    state = jax.jit(method.init)(KEY, X)
    return method, state, *jax.jit(method.step)(state, X)


def layers(state):
    """W, b of the code layer and V, c of the decoder, float64."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), state.params)
    decoder = p["decoder"]["Dense_0"]
    w = p["code"]["kernel"]
    return w, p["code"]["bias"], decoder.get("kernel", w.T), decoder["bias"]


def cross_entropy(logits, x):
    p = expit(logits)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)


def test_the_autoencoder_takes_one_step_of_gradient_descent():
    method, state, new, metrics = first_step(methods.autoencoder, latent_dim=3, likelihood="squared_error")
    w, b, v, c = layers(state)
    z = X @ w + b
    error = z @ v + c - X
    np.testing.assert_allclose(metrics["loss"], np.square(error).sum(axis=1).mean(), rtol=1e-5)
    grad_v = 2 * z.T @ error / len(X)
    grad_w = 2 * X.T @ (error @ v.T) / len(X)
    w1, _, v1, _ = layers(new)
    np.testing.assert_allclose(v1, v - 0.1 * grad_v, atol=1e-5)
    np.testing.assert_allclose(w1, w - 0.1 * grad_w, atol=1e-5)
    np.testing.assert_allclose(method.decode(state, method.encode(state, X)), error + X, atol=1e-5)


def test_a_linear_autoencoder_finds_the_principal_subspace():
    """At its optimum it reconstructs as well as PCA with as many components (Baldi and Hornik, 1989)."""
    x = (RNG.normal(size=(64, 2)) @ RNG.normal(size=(2, 6)) + 0.1 * RNG.normal(size=(64, 6))).astype(
        np.float32
    )
    method = methods.autoencoder(*FLAT, optax.adam(1e-2), latent_dim=2, likelihood="squared_error")
    state = method.init(KEY, x)
    state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: method.step(s, x), s, length=3000))(state)
    error = np.square(method.decode(state, method.encode(state, x)) - x).sum()
    centred = x - x.mean(axis=0)
    best = np.square(np.linalg.svd(centred)[1][2:]).sum()
    np.testing.assert_allclose(error, best, rtol=0.01)


def test_denoising_reconstructs_the_clean_input():
    """With everything masked the output is a constant, and its error is still that against the clean input."""
    _, state, _, metrics = first_step(methods.denoising, latent_dim=3, level=1.0)
    _, b, v, c = layers(state)
    logits = np.broadcast_to(expit(b) @ v + c, X.shape)
    np.testing.assert_allclose(metrics["loss"], cross_entropy(logits, X).mean(), rtol=1e-5)
    plain = first_step(methods.autoencoder, latent_dim=3, code_activation="sigmoid")[3]
    clean = first_step(methods.denoising, latent_dim=3, level=0.0)[3]
    np.testing.assert_allclose(clean["loss"], plain["loss"], rtol=1e-6)


def test_denoising_draws_anew_each_step_and_encodes_clean():
    method, state, new, metrics = first_step(methods.denoising, rate=0.0, latent_dim=3, level=0.5)
    again = jax.jit(method.step)(new, X)[1]
    assert metrics["loss"] != again["loss"]
    w, b, _, _ = layers(state)
    np.testing.assert_allclose(method.encode(state, X), expit(X @ w + b), rtol=1e-5)


def test_kl_sparsity_is_added_once_a_unit():
    _, state, _, metrics = first_step(methods.sparse, latent_dim=4, weight=2.0, target=0.1)
    w, b, v, c = layers(state)
    h = expit(X @ w + b)
    kl = (rel_entr(0.1, h.mean(axis=0)) + rel_entr(0.9, 1 - h.mean(axis=0))).sum()
    np.testing.assert_allclose(metrics["sparsity"], kl, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], cross_entropy(h @ v + c, X).mean() + 2 * kl, rtol=1e-5)


def test_l1_cannot_be_scaled_away():
    """Ten times the dictionary and a tenth of the code is not the same model: the dictionary stays at unit norm."""
    method, state, _, metrics = first_step(methods.sparse, latent_dim=4, penalty="l1", weight=0.5)
    w, b, v, c = layers(state)
    h = np.maximum(X @ w + b, 0)
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    loss = cross_entropy(h @ unit + c, X).mean() + 0.5 * h.sum(axis=1).mean()
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    scaled = jax.tree.map(lambda a: a, state.params)
    scaled["decoder"]["Dense_0"]["kernel"] = 10 * scaled["decoder"]["Dense_0"]["kernel"]
    z = method.encode(state, X)
    np.testing.assert_allclose(
        method.decode(state._replace(params=scaled), z), method.decode(state, z), rtol=1e-5
    )


def test_top_k_keeps_the_k_largest():
    h = RNG.normal(size=(7, 9)).astype(np.float32)
    for k in (1, 4, 9):
        expected = np.zeros_like(h)
        for row, kept in zip(h, expected, strict=True):
            largest = np.argsort(row)[-k:]
            kept[largest] = row[largest]
        np.testing.assert_array_equal(top_k(h, k), expected)
        np.testing.assert_array_equal(jax.jit(lambda h, k: top_k(h, k, 9))(h, k), expected)


def test_k_sparse_falls_to_k_and_counts_dead_units():
    method = methods.k_sparse(
        *FLAT,
        optax.sgd(0.01),
        latent_dim=20,
        k=2,
        k_start=10,
        anneal_steps=4,
        encode_factor=3.0,
        dead_after=5,
    )
    state, ks = method.init(KEY, X), []
    for _ in range(12):
        state, metrics = jax.jit(method.step)(state, X)
        ks.append(float(metrics["k"]))
    assert ks[:6] == [10, 8, 6, 4, 2, 2]
    np.testing.assert_array_equal((method.encode(state, X) != 0).sum(axis=1), 6)
    np.testing.assert_allclose(state.mean, X.mean(axis=0), rtol=1e-5)
    code = jax.tree.map(np.asarray, state.params["code"])
    active = np.asarray(top_k((X - np.asarray(state.mean)) @ code["kernel"] + code["bias"], 2) != 0).any(
        axis=0
    )
    assert set(np.flatnonzero(active)) <= set(np.flatnonzero(state.last_active >= 10))
    assert metrics["dead_units"] == np.mean(12 - np.asarray(state.last_active) > 5) > 0


def test_k_sparse_keeps_the_mean_of_all_it_saw():
    method = methods.k_sparse(*FLAT, optax.sgd(0.01), latent_dim=8, k=2, k_start=2)
    state = method.init(KEY, X)
    for batch in (X, 2 * X, 6 * X):
        state, _ = jax.jit(method.step)(state, batch)
    np.testing.assert_allclose(state.mean, 3 * X.mean(axis=0), rtol=1e-5)


def test_the_contractive_penalty_is_the_jacobian_in_all_forms():
    """Closed form and exact give the same loss and the same next parameters; Hutchinson's is near them."""
    results = {
        e: first_step(methods.contractive, latent_dim=5, weight=3.0, estimator=e)
        for e in ("closed_form", "exact")
    }
    (_, state, closed, metrics), (_, _, exact, _) = results["closed_form"], results["exact"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), closed.params, exact.params
    )
    w, b, v, c = layers(state)
    h = expit(X @ w + b)
    norms = [np.square((hi * (1 - hi)) * w).sum() for hi in h]
    np.testing.assert_allclose(metrics["jacobian"], np.mean(norms), rtol=1e-5)
    np.testing.assert_allclose(
        metrics["loss"], cross_entropy(h @ v + c, X).mean() + 3 * np.mean(norms), rtol=1e-5
    )
    estimate = first_step(methods.contractive, latent_dim=5, estimator="hutchinson", probes=300)[3]
    np.testing.assert_allclose(estimate["jacobian"], metrics["jacobian"], rtol=0.05)


def test_contraction_lowers_the_jacobian():
    norms = {}
    for weight in (0.0, 1.0):
        method = methods.contractive(*FLAT, optax.adam(1e-2), latent_dim=8, weight=weight)
        state = method.init(KEY, X)
        state, metrics = jax.jit(lambda s, m=method: jax.lax.scan(lambda s, _: m.step(s, X), s, length=300))(
            state
        )
        norms[weight] = float(metrics["jacobian"][-1])
    assert norms[1.0] < 0.5 * norms[0.0]


@pytest.mark.parametrize("likelihood, scale", [("bernoulli", 1.0), ("gaussian", 0.5)])
def test_the_elbo_is_its_two_terms(likelihood, scale):
    x = (X > 0.5).astype(np.float32)
    method = methods.vae(*FLAT, optax.sgd(0.1), latent_dim=2, beta=0.7, likelihood=likelihood, scale=scale)
    state = method.init(KEY, x)
    _, metrics = jax.jit(method.step)(state, x)
    w, b, v, c = layers(state)
    mean, log_variance = np.split(x @ w + b, 2, axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1).mean()
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], metrics["nll"] + 0.7 * kl, rtol=1e-5)
    # Many one-sample bounds average to the expected likelihood less the KL.
    z = mean + np.exp(log_variance / 2) * np.random.default_rng(1).normal(size=(4000, *mean.shape))
    output = z @ v + c
    if likelihood == "bernoulli":
        log_p = (x * output - np.logaddexp(0, output)).sum(axis=2).mean()
    else:
        log_p = stats.norm(output, scale).logpdf(x).sum(axis=2).mean()
    bounds = jax.jit(jax.vmap(lambda k: method.log_prob(state, k, x, 1).mean()))(
        jax.random.split(KEY, 10_000)
    )
    np.testing.assert_allclose(bounds.mean(), log_p - kl, rtol=0.01)


def test_the_importance_weighted_bound_tends_to_the_likelihood():
    """A linear decoder with Gaussian noise has p(x) = N(c, V'V + s^2 I) in closed form."""
    method = methods.vae(*FLAT, optax.adam(1e-2), latent_dim=2, likelihood="gaussian", scale=0.5)
    state = method.init(KEY, X)
    state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: method.step(s, X), s, length=200))(state)
    _, _, v, c = layers(state)
    exact = stats.multivariate_normal(c, v.T @ v + 0.25 * np.eye(6)).logpdf(X).mean()
    bound = {n: float(method.log_prob(state, KEY, X, n).mean()) for n in (1, 5, 10_000)}
    assert bound[1] < bound[5] < bound[10_000]
    np.testing.assert_allclose(bound[10_000], exact, atol=0.02)


def test_ways_between_samples_begin_and_end_at_samples():
    method, _, state, _ = first_step(methods.vae, latent_dim=3)
    rows = jax.jit(method.interpolate, static_argnums=(2, 3))(state, KEY, 4, 5)
    ends = np.split(np.asarray(method.sample(state, KEY, 8)), 2)
    assert rows.shape == (4, 5, 6) and np.abs(rows[:, 2] - ends[0]).max() > 1e-3
    for at, end in zip((0, -1), ends, strict=True):
        np.testing.assert_allclose(rows[:, at], end, rtol=1e-3, atol=1e-4)


def test_samples_come_from_the_prior():
    method = methods.vae(*FLAT, optax.sgd(0.1), latent_dim=2, likelihood="gaussian")
    state = method.init(KEY, X)
    _, _, v, c = layers(state)
    samples = method.sample(state, KEY, 20_000)
    np.testing.assert_allclose(np.cov(samples, rowvar=False), v.T @ v, atol=0.1)
    np.testing.assert_allclose(samples.mean(axis=0), c, atol=0.05)


@pytest.mark.parametrize(
    "factory, arguments, message",
    [
        (methods.autoencoder, {"likelihood": "cauchy"}, "unknown likelihood"),
        (methods.autoencoder, {"code_activation": "relo"}, "unknown activation"),
        (methods.denoising, {"corruption": "snow"}, "unknown corruption"),
        (methods.sparse, {"penalty": "l2"}, "unknown penalty"),
        (methods.sparse, {"penalty": "l1", "tied": True}, "cannot be tied"),
        (methods.k_sparse, {"latent_dim": 50}, "k_start=100 .* must lie between 1 and latent_dim=50"),
        (methods.k_sparse, {"k": 0}, "k=0"),
        (methods.contractive, {"estimator": "guess"}, "unknown estimator"),
        (methods.contractive, {"code_activation": "tanh"}, "that of a sigmoid code"),
        (methods.vae, {"likelihood": "squared_error"}, "has no density"),
    ],
)
def test_bad_arguments_are_refused(factory, arguments, message):
    with pytest.raises(ValueError, match=message):
        factory(*FLAT, optax.sgd(0.1), **arguments)


def test_the_closed_form_is_refused_for_deep_encoders():
    method = methods.contractive(MLPEncoder((4,)), MLPDecoder((6,), (4,)), optax.sgd(0.1), latent_dim=3)
    with pytest.raises(ValueError, match="use 'hutchinson'"):
        method.init(KEY, X)


def test_parameters_move():
    names = ("autoencoder", "contractive", "denoising", "k_sparse", "sparse", "vae")
    for factory in (methods.METHODS[name] for name in names):
        arguments = {"k": 2, "k_start": 4} if factory is methods.k_sparse else {}
        _, state, new, _ = first_step(factory, latent_dim=8, **arguments)
        moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), state.params, new.params)
        assert all(jax.tree.leaves(moved)), factory.__name__
