"""Reconstruction, likelihood, anomaly scores and Jacobians: against loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from unsupjax.errors import UserError
from unsupjax.evaluate import JUDGES, anomaly, jacobian, likelihood, reconstruction
from unsupjax.evaluate.principal import components
from unsupjax.evaluate.subject import chunks
from unsupjax.methods.base import Method


def loop_errors(subject):
    """`||x - V V^T (x - mean) - mean||^2` of each test example in float64."""
    kernel, mean = (np.asarray(a, np.float64) for a in jax.tree.leaves(subject.state.params))
    errors = []
    for x in subject.x_test:
        centred = x.ravel() - mean
        errors.append(np.sum((centred - kernel @ (kernel.T @ centred)) ** 2))
    return np.array(errors)


def test_reconstruction_is_the_mean_over_examples_and_elements(subject):
    constant = np.mean([x for x in subject.x_train], axis=0)
    trivial = np.mean([np.mean((x - constant) ** 2) for x in subject.x_test])
    scores = reconstruction(subject)
    assert scores == {
        "reconstruction_mse": pytest.approx(loop_errors(subject).mean() / 16, rel=1e-5),
        "train_mean_mse": pytest.approx(trivial, rel=1e-5),
        "pca_mse": pytest.approx(scores["reconstruction_mse"], rel=1e-5),  # the method is PCA
    }
    assert scores["reconstruction_mse"] < 0.9 * scores["train_mean_mse"]


def wide(subject, train, test, width):
    """Inputs `[N, D]` with codes of a width."""
    codes = np.zeros((len(test), width), np.float32)
    rows = Method(None, None, lambda s, x: x, lambda s, z: 0.9 * z)
    return subject._replace(x_train=train, x_test=test, z_test=codes, method=rows)


@pytest.mark.parametrize(("n", "d", "width"), [(90, 16, 1), (90, 16, 15), (12, 30, 20), (400, 5, 3)])
def test_pca_is_scikit_learns(subject, n, d, width, monkeypatch):
    rng = np.random.default_rng(d)
    mix = rng.normal(size=(d, d))
    train, test = ((rng.normal(size=(m, d)) @ mix + 100).astype(np.float32) for m in (n, 40))
    twin = PCA(min(width, n - 1, d), svd_solver="full").fit(train.astype(float))
    expected = np.mean((test - twin.inverse_transform(twin.transform(test))) ** 2)
    monkeypatch.setitem(chunks.__globals__, "_CHUNK_BYTES", 4 * d * 7)  # seven rows at a time
    scores = reconstruction(wide(subject, train, test, width))
    assert scores["pca_mse"] == pytest.approx(expected, rel=1e-5)
    found = components(train, width)
    np.testing.assert_allclose(np.abs(found.codes(test)), np.abs(twin.transform(test)), rtol=1e-3, atol=1e-2)


def test_pca_of_a_code_as_wide_as_the_input_errs_nowhere(subject):
    train, test = np.random.default_rng(0).normal(size=(2, 50, 4)).astype(np.float32)
    assert reconstruction(wide(subject, train, test, 4))["pca_mse"] == 0
    assert reconstruction(wide(subject, train, test, 9))["pca_mse"] == 0


@pytest.mark.parametrize("split", ["x_train", "x_test"])
def test_pca_of_missing_entries_or_of_wide_inputs_is_not_reported(subject, split, monkeypatch):
    train, test = np.random.default_rng(0).normal(size=(2, 50, 4)).astype(np.float32)
    whole = wide(subject, train, test, 2)
    holed = getattr(whole, split).copy()
    holed[3, 1] = np.nan
    assert set(reconstruction(whole._replace(**{split: holed}))) == {"reconstruction_mse", "train_mean_mse"}
    monkeypatch.setattr("unsupjax.evaluate.principal.WIDEST", 3)
    assert "pca_mse" not in reconstruction(whole)


def test_a_reconstruction_of_another_shape_is_an_error(subject):
    flat = subject.method._replace(decode=lambda state, z: subject.method.decode(state, z).reshape(-1, 16))
    with pytest.raises(AssertionError, match="shape"):
        reconstruction(subject._replace(method=flat))


def gaussian_log_prob(state, key, x, n):
    """The bound of z ~ N(0, 1), x ~ N(z, 1) with proposals from the prior; `p(x) = N(0, 2)`."""
    z = jax.random.normal(key, (n, len(x)))
    return jax.nn.logsumexp(jax.scipy.stats.norm.logpdf(x[None], z, 1.0), axis=0) - jnp.log(n)


def test_likelihood_bounds_are_those_of_a_gaussian(subject):
    x = np.random.default_rng(0).normal(0, 2**0.5, 2000).astype(np.float32)
    gaussian = subject._replace(method=subject.method._replace(log_prob=gaussian_log_prob), x_test=x)
    scores = likelihood(gaussian, samples=500, batch_size=300)
    elbo = np.mean(-0.5 * np.log(2 * np.pi) - 0.5 * (x**2 + 1))
    nll = np.mean(0.5 * np.log(4 * np.pi) + x**2 / 4)
    assert scores == {
        "elbo": pytest.approx(elbo, abs=0.15),  # 4 standard errors
        "importance_weighted_nll": pytest.approx(nll, abs=0.02),
    }


def test_likelihood_draws_anew_for_each_batch_and_takes_all_samples(subject):
    counts, keys = [], []

    def noise(state, key, x, n):
        counts.append(n)
        jax.debug.callback(lambda data: keys.append(tuple(data.tolist())), jax.random.key_data(key))
        return x[:, 0]

    method = subject.method._replace(log_prob=noise)
    likelihood(subject._replace(method=method, x_test=np.zeros((40, 1), np.float32)), samples=7, batch_size=2)
    jax.effects_barrier()
    assert counts == [1, 7]  # one trace each
    assert len(keys) == 40 and len(set(keys)) == 20


def test_anomaly_scores_rank_as_counting_pairs_does(subject):
    scores, anomalous = loop_errors(subject), subject.y_test != 5
    wins = [float(a > b) for a in scores[anomalous] for b in scores[~anomalous]]
    order = np.argsort(-scores)
    hits = np.cumsum(anomalous[order])
    precision = [hits[i] / (i + 1) for i in range(45) if anomalous[order[i]]]
    assert anomaly(subject) == {
        "anomaly_auroc": pytest.approx(np.mean(wins)),
        "anomaly_average_precision": pytest.approx(np.mean(precision)),
        "anomaly_fraction": pytest.approx(2 / 3),
    }


def test_anomaly_refuses_scores_that_rank_nothing(subject):
    perfect = subject.method._replace(
        encode=lambda state, x: x.reshape(len(x), -1), decode=lambda state, z: z.reshape(-1, 4, 4, 1)
    )
    with pytest.raises(UserError, match="collapsed to one value"):
        anomaly(subject._replace(method=perfect))
    broken = subject.method._replace(decode=lambda state, z: jnp.full((len(z), 4, 4, 1), jnp.nan))
    with pytest.raises(UserError, match="not finite"):
        anomaly(subject._replace(method=broken))
    with pytest.raises(UserError, match="needs both, and all 45 test examples are anomalies"):
        anomaly(subject._replace(normal=(0, 1)))
    with pytest.raises(UserError, match="all 45 test examples are normal"):
        anomaly(subject._replace(normal=(2, 5, 9)))


def test_what_is_normal_is_said_and_never_guessed(subject):
    with pytest.raises(
        UserError, match=r"which class is normal, of class 0, .*; set config\.data\.normal_label"
    ):
        anomaly(subject._replace(normal=None))
    both, rest = (anomaly(subject._replace(normal=n))["anomaly_auroc"] for n in ((2, 9), (5,)))
    assert both == pytest.approx(1 - rest)


@pytest.mark.parametrize("width", [3, 40])
def test_jacobian_norm_is_that_of_finite_differences(subject, width):
    weights = np.random.default_rng(0).normal(size=(16, width))
    state = subject.state._replace(params=jnp.asarray(weights, jnp.float32))
    method = subject.method._replace(encode=lambda state, x: jnp.tanh(x.reshape(len(x), 16) @ state.params))
    tanh = subject._replace(state=state, method=method, z_test=np.zeros((45, width), np.float32))
    norms, step = [], 1e-5
    for x in subject.x_test.reshape(45, 16).astype(np.float64):
        columns = [np.tanh((x + d) @ weights) - np.tanh((x - d) @ weights) for d in step * np.eye(16)]
        norms.append(np.linalg.norm(np.stack(columns) / (2 * step)))
    assert jacobian(tanh)["jacobian_frobenius_norm"] == pytest.approx(np.mean(norms), rel=1e-4)


def test_jacobian_norm_of_a_linear_code_is_that_of_its_matrix(subject):
    kernel = np.asarray(subject.state.params["code"]["kernel"])
    assert jacobian(subject, examples=5)["jacobian_frobenius_norm"] == pytest.approx(
        np.linalg.norm(kernel), rel=1e-5
    )


@pytest.mark.parametrize(
    ("name", "what"), [("reconstruction", "decode"), ("anomaly", "decode"), ("likelihood", "log_prob")]
)
def test_what_the_method_lacks_is_named(subject, name, what):
    without = subject._replace(
        method=subject.method._replace(decode=None), y_test=np.arange(45) % 2, normal=(0,)
    )
    with pytest.raises(UserError, match=rf"config\.evaluate\.run: '{name}' needs a method with `{what}`"):
        JUDGES[name].run(without)


def test_counts_below_one_are_refused(subject):
    method = subject.method._replace(log_prob=gaussian_log_prob)
    with pytest.raises(UserError, match="samples=0"):
        likelihood(subject._replace(method=method), samples=0)
    with pytest.raises(UserError, match="examples=0"):
        jacobian(subject, examples=0)
