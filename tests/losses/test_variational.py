import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from unsupjax import losses


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)


def test_kl_is_the_monte_carlo_average(posterior):
    mean, log_variance = (p.astype(np.float64) for p in posterior)
    std = np.exp(log_variance / 2)
    z = mean + std * np.random.default_rng(1).normal(size=(200_000, 4, 3))
    expected = (stats.norm(mean, std).logpdf(z) - stats.norm.logpdf(z)).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(losses.kl_standard_normal(*posterior), expected, rtol=0.01)


def test_kl_is_zero_at_the_prior_and_never_negative():
    tiny = jnp.array([[1e-4, -1e-4, 0.0]])
    value = losses.kl_standard_normal(jnp.zeros((1, 3)), tiny)
    np.testing.assert_allclose(
        value, 0.25 * np.square(1e-4) * 2, rtol=1e-2
    )  # second order; naive float32 gives 0
    assert losses.kl_standard_normal(jnp.zeros((1, 3)), jnp.zeros((1, 3))) == 0
    assert np.isfinite(
        jax.grad(lambda l: losses.kl_standard_normal(l, l).sum())(jnp.full((1, 3), -80.0))
    ).all()


def test_normal_log_prob_is_scipys(posterior):
    mean, log_variance = posterior
    z = np.ones((4, 3), np.float32)
    expected = stats.norm(mean, np.exp(log_variance / 2)).logpdf(z).sum(axis=1)
    np.testing.assert_allclose(losses.normal_log_prob(z, mean, log_variance), expected, rtol=1e-5)


def test_importance_weighted_bound_is_a_log_mean_exp():
    log_w = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32) * 3 - 500
    np.testing.assert_allclose(
        losses.importance_weighted_bound(log_w), logsumexp(log_w, axis=0) - np.log(6), rtol=1e-6
    )
    np.testing.assert_array_equal(losses.importance_weighted_bound(log_w[:1]), log_w[0])
    assert (losses.importance_weighted_bound(log_w) >= log_w.mean(axis=0)).all()  # Jensen
