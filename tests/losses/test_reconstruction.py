import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from unsupjax import losses


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 3, 2)).astype(np.float32), rng.uniform(size=(5, 3, 2)).astype(np.float32)


def test_squared_error_is_a_sum_over_the_event(pair):
    output, x = pair
    expected = [
        sum((o - t) ** 2 for o, t in zip(a.ravel(), b.ravel(), strict=True))
        for a, b in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(losses.squared_error(output, x), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_gaussian_nll_is_scipys(pair, scale):
    mean, x = pair
    expected = -stats.norm(mean, scale).logpdf(x).reshape(5, -1).sum(axis=1)
    np.testing.assert_allclose(losses.gaussian_nll(mean, x, scale), expected, rtol=1e-5)


def test_bernoulli_nll_is_scipys_on_binary_inputs(pair):
    logits, x = pair
    x = (x > 0.5).astype(np.float32)
    expected = (
        -stats.bernoulli(1 / (1 + np.exp(-logits.astype(np.float64)))).logpmf(x).reshape(5, -1).sum(axis=1)
    )
    np.testing.assert_allclose(losses.bernoulli_nll(logits, x), expected, rtol=1e-5)


@pytest.mark.parametrize("name", losses.LIKELIHOODS)
def test_gradients_and_dtypes(pair, name):
    output, x = pair
    nll = losses.likelihood(name).nll
    check_grads(jax.jit(nll), (output, x), order=2, modes=["fwd", "rev"], atol=2e-2, rtol=2e-2, eps=1e-2)
    assert nll(output.astype(jnp.bfloat16), x.astype(jnp.bfloat16)).dtype == jnp.float32
    assert nll(output, x).shape == (5,)


@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_bernoulli_nll_is_finite_at_the_edges(logit):
    x = jnp.array([[0.0, 1.0]])
    value, grad = jax.value_and_grad(lambda l: losses.bernoulli_nll(l, x).sum())(jnp.full((1, 2), logit))
    assert np.isfinite(value) and np.isfinite(grad).all()


def test_the_mean_minimises_each_likelihood():
    """The gradient of the expected loss vanishes where `mean(output)` is the mean of the data."""
    x = jnp.array([[0.2], [0.6], [0.7]])
    for output, name in ((0.5, "squared_error"), (0.5, "gaussian"), (0.0, "bernoulli")):
        p_x = losses.likelihood(name)
        grad = jax.grad(lambda o, p_x=p_x: p_x.nll(jnp.full((3, 1), o), x).mean())(output)
        np.testing.assert_allclose(p_x.mean(jnp.array(output)), 0.5)
        np.testing.assert_allclose(grad, 0, atol=1e-6)


def test_bad_input_is_refused(pair):
    with pytest.raises(AssertionError):
        losses.squared_error(pair[0], pair[1][:, :1])
    with pytest.raises(ValueError, match="one of squared_error, gaussian, bernoulli"):
        losses.likelihood("cauchy")


def test_multinomial_nll_is_scipys_less_what_no_logit_changes():
    rng = np.random.default_rng(1)
    logits, counts = rng.normal(size=(4, 6)).astype(np.float32), rng.poisson(1.5, (4, 6)).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    whole = -stats.multinomial(counts.sum(1).astype(int), p).logpmf(counts)
    ways = [
        stats.multinomial(int(c.sum()), np.full(6, 1 / 6)).logpmf(c) + c.sum() * np.log(6) for c in counts
    ]
    np.testing.assert_allclose(losses.multinomial_nll(logits, counts), whole + ways, rtol=1e-5)
    check_grads(
        losses.multinomial_nll,
        (logits, counts),
        order=2,
        modes=["fwd", "rev"],
        atol=2e-2,
        rtol=2e-2,
        eps=1e-2,
    )
    assert losses.multinomial_nll(logits, 0 * counts).tolist() == [0] * 4
    shifted = losses.multinomial_nll(logits + 100, counts)
    np.testing.assert_allclose(shifted, losses.multinomial_nll(logits, counts), rtol=1e-4)
    far = jnp.array([[1e4, -1e4]])
    assert np.isfinite(jax.grad(lambda l: losses.multinomial_nll(l, jnp.ones((1, 2))).sum())(far)).all()
