import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import losses


@pytest.fixture(scope="module", params=[(7, 3), (3, 7)])
def layer(request):
    """One sigmoid layer and its squared Jacobian norms by central differences in float64."""
    inputs, units = request.param
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, inputs)), rng.normal(size=(inputs, units)), rng.normal(size=units)
    f = lambda x: 1 / (1 + np.exp(-(x @ w + b)))
    h = 1e-6
    columns = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(inputs)]
    expected = np.square(np.stack(columns)).sum(axis=(0, 2))
    x, w, b = (a.astype(np.float32) for a in (x, w, b))
    return x, w, lambda x: jax.nn.sigmoid(x @ w + b[None]), expected


def test_closed_form_is_the_jacobian(layer):
    x, w, encode, expected = layer
    np.testing.assert_allclose(losses.jacobian_sigmoid(encode(x), w), expected, rtol=1e-4)


def test_exact_is_the_jacobian_in_both_modes(layer):
    x, _, encode, expected = layer
    np.testing.assert_allclose(losses.jacobian_exact(encode, x), expected, rtol=1e-4)


def test_exact_takes_images():
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 1)).astype(np.float32)
    # h = 2 times the input, flattened: J is 2 I, of squared norm 4 * 6
    np.testing.assert_allclose(losses.jacobian_exact(lambda x: 2 * x.reshape(len(x), -1), x), 24.0)


def test_hutchinson_is_unbiased_and_divides_by_the_probes(layer):
    x, _, encode, expected = layer
    keys = jax.random.split(jax.random.key(0), len(x))
    many = losses.jacobian_hutchinson(encode, x, keys, probes=4000)
    np.testing.assert_allclose(many, expected, rtol=0.1)
    one = jax.vmap(lambda k: losses.jacobian_hutchinson(encode, x, jax.random.split(k, len(x)), probes=1))
    np.testing.assert_allclose(
        one(jax.random.split(jax.random.key(1), 4000)).mean(axis=0), expected, rtol=0.1
    )


def test_hutchinson_is_exact_for_one_unit():
    """With a code of one number every random sign gives the same squared row."""
    x = jnp.ones((3, 4))
    estimate = losses.jacobian_hutchinson(
        lambda x: (x**2).sum(axis=1, keepdims=True), x, jax.random.split(jax.random.key(0), 3)
    )
    np.testing.assert_allclose(estimate, 16.0, rtol=1e-6)
