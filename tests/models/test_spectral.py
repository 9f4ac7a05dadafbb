import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.models.convolve import Conv
from unsupjax.models.gan.spectral import SpectralConv, SpectralDense
from unsupjax.numerics.spectral import power_iteration

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 4, 4, 3)).astype(np.float32)
ROWS = RNG.normal(size=(4, 6)).astype(np.float32)
LAYERS = {"dense": (SpectralDense(5), ROWS), "conv": (SpectralConv(5, 4, 2), IMAGES)}


@functools.cache
def started(name):
    module, x = LAYERS[name]
    return module, x, jax.jit(module.init)(jax.random.key(1), x)


def matrix(variables):
    kernel = np.asarray(variables["params"]["kernel"], float)
    return kernel.reshape(-1, kernel.shape[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_sigma_becomes_the_largest_singular_value(name):
    _, _, variables = started(name)
    w = matrix(variables)
    sigma = lambda s: float(np.asarray(s["u"], float) @ w @ np.asarray(s["v"], float))
    largest = np.linalg.svd(w)[1][0]
    assert sigma(variables["spectral"]) < 0.97 * largest  # at first it is not
    moved = jax.jit(power_iteration, static_argnums=2)(variables["params"], variables["spectral"], 300)
    np.testing.assert_allclose(sigma(moved), largest, rtol=1e-5)


def test_one_turn_is_that_of_numpy_wherever_the_kernel_lies():
    unit = lambda a: a / np.linalg.norm(a)
    kernel = RNG.normal(size=(3, 3, 2, 5)).astype(np.float32)
    u, v = unit(RNG.normal(size=18)), unit(RNG.normal(size=5))
    params = {"block": {"conv": {"kernel": kernel, "bias": np.zeros(5)}, "free": {"kernel": kernel}}}
    spectral = {"block": {"conv": {"u": jnp.asarray(u, jnp.float32), "v": jnp.asarray(v, jnp.float32)}}}
    for _ in range(2):
        v = unit(kernel.reshape(18, 5).T @ u)
        u = unit(kernel.reshape(18, 5) @ v)
    moved = jax.jit(power_iteration, static_argnums=2)(params, spectral, 2)
    assert jax.tree.structure(moved) == jax.tree.structure(spectral)
    np.testing.assert_allclose(moved["block"]["conv"]["u"], u, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved["block"]["conv"]["v"], v, rtol=1e-4, atol=1e-6)
    assert power_iteration(params, {}) == {}


def test_no_gradient_passes_through_the_iteration():
    _, _, variables = started("dense")
    total = lambda params: sum(
        a.sum() for a in jax.tree.leaves(power_iteration(params, variables["spectral"]))
    )
    assert not np.any(jax.grad(total)(variables["params"])["kernel"])


@pytest.mark.parametrize("name", LAYERS)
def test_at_first_the_vectors_have_had_one_turn(name):
    _, _, variables = started(name)
    u, v = (np.asarray(variables["spectral"][k], float) for k in "uv")
    w = matrix(variables)
    assert u.shape == (len(w),) and v.shape == (5,)
    np.testing.assert_allclose([np.linalg.norm(u), np.linalg.norm(v)], 1, rtol=1e-5)
    np.testing.assert_allclose(u, w @ v / np.linalg.norm(w @ v), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_a_call_moves_nothing(name):
    module, x, variables = started(name)
    before = jax.tree.map(np.array, variables["spectral"])
    _, after = module.apply(variables, x, mutable=["spectral"])
    jax.tree.map(np.testing.assert_array_equal, after["spectral"], before)


@pytest.mark.parametrize("name", LAYERS)
def test_the_output_is_that_of_a_plain_layer_with_the_kernel_over_sigma(name):
    module, x, variables = started(name)
    s, bias = variables["spectral"], RNG.normal(size=5).astype(np.float32)
    kernel = variables["params"]["kernel"] / (np.asarray(s["u"]) @ matrix(variables) @ np.asarray(s["v"]))
    plain = nn.Dense(5) if name == "dense" else Conv(5, 4, 2)
    params = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": bias}
    bound = {"params": variables["params"] | {"bias": bias}, "spectral": s}
    expected = plain.apply({"params": params}, x)
    np.testing.assert_allclose(module.apply(bound, x), expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_w_over_sigma_with_fixed_vectors():
    module, x, variables = started("dense")
    s = variables["spectral"]
    u, v = (np.asarray(s[k], float) for k in "uv")
    weights = RNG.normal(size=(4, 5))

    def value(w):
        return ((x.astype(float) @ (w / (u @ w @ v))) * weights).sum()

    w, numeric = matrix(variables), np.zeros((6, 5))
    for i, j in np.ndindex(6, 5):
        step = np.zeros((6, 5))
        step[i, j] = 1e-6
        numeric[i, j] = (value(w + step) - value(w - step)) / 2e-6

    def loss(params, spectral):
        return (module.apply({"params": params, "spectral": spectral}, x) * weights.astype(np.float32)).sum()

    params, spectral = jax.grad(loss, argnums=(0, 1))(variables["params"], s)
    np.testing.assert_allclose(params["kernel"], numeric, rtol=1e-3, atol=1e-4)
    assert not any(np.any(a) for a in jax.tree.leaves(spectral))


def test_sigma_is_float32_under_bfloat16():
    module, x, variables = started("dense")
    low = module.clone(dtype=jnp.bfloat16)
    output = low.apply(variables, x)
    assert output.dtype == jnp.bfloat16
    kernel = module.apply(variables, np.eye(6, dtype=np.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(low.apply(variables, jnp.eye(6)), kernel)
