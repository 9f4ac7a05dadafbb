"""The deep embedded self-organizing map, against numpy."""

import jax
import numpy as np
import optax
import pytest

from unsupjax import methods, som
from unsupjax.models import MLPDecoder, MLPEncoder

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6)).astype(np.float32)
KEY = jax.random.key(0)
RATE = 0.01


def make(tx=None, **arguments):
    defaults = {"latent_dim": 2, "height": 3, "width": 4, "total_steps": 5}
    networks = (MLPEncoder(()), MLPDecoder((6,), ()))  # linear, so that numpy knows its gradients
    return methods.desom(*networks, tx or optax.sgd(RATE), **defaults | arguments)


def layers(state):
    """float64: W, b of the code layer, V, c of the decoder, the codebook."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), state.params)
    decoder = p["decoder"]["Dense_0"]
    return p["code"]["kernel"], p["code"]["bias"], decoder["kernel"], decoder["bias"], p["codebook"]


@pytest.mark.parametrize(
    "topology, toroidal", [("rectangular", False), ("hexagonal", False), ("rectangular", True)]
)
def test_each_step_is_gradient_descent_on_error_and_distortion(topology, toroidal):
    method = make(topology=topology, toroidal=toroidal, gamma=0.3, start_radius=2.0, end_radius=0.5)
    between = som.distances(som.Grid(3, 4, topology, toroidal))
    state, step = method.init(KEY, X), jax.jit(method.step)
    for t in range(5):
        w, b, v, c, m = layers(state)
        radius = 2.0 * (0.5 / 2.0) ** (t / 4)
        z = X @ w + b
        error = z @ v + c - X
        squares = np.square(z[:, None] - m).sum(axis=2)
        h = np.exp(-np.square(between[squares.argmin(axis=1)]) / radius**2)
        distortion = (h * squares).sum(axis=1).mean()
        pull = 2 * 0.3 * h[:, :, None] * (z[:, None] - m) / len(X)
        d_output = 2 * error / len(X)
        d_z = d_output @ v.T + pull.sum(axis=1)
        steps = (X.T @ d_z, d_z.sum(axis=0), z.T @ d_output, d_output.sum(axis=0), -pull.sum(axis=0))
        expected = [a - RATE * g for a, g in zip((w, b, v, c, m), steps, strict=True)]
        state, metrics = step(state, X)
        for found, value in zip(layers(state), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(metrics["radius"], radius, rtol=1e-5)
        np.testing.assert_allclose(metrics["distortion"], distortion, rtol=1e-4)
        np.testing.assert_allclose(metrics["reconstruction"], np.square(error).sum(axis=1).mean(), rtol=1e-4)
        np.testing.assert_allclose(metrics["loss"], metrics["reconstruction"] + 0.3 * distortion, rtol=1e-4)
        np.testing.assert_allclose(
            metrics["quantization_error"], np.sqrt(squares.min(axis=1)).mean(), rtol=1e-4
        )


def test_without_distortion_it_is_the_autoencoder():
    plain = methods.autoencoder(
        MLPEncoder(()), MLPDecoder((6,), ()), optax.sgd(RATE), latent_dim=2, likelihood="squared_error"
    )
    method = make(gamma=0.0)
    a, b = plain.init(KEY, X), method.init(KEY, X)
    codebook = np.asarray(b.params["codebook"])
    for _ in range(3):
        a, b = jax.jit(plain.step)(a, X)[0], jax.jit(method.step)(b, X)[0]
    np.testing.assert_allclose(b.params["code"]["kernel"], a.params["code"]["kernel"], rtol=1e-5)
    np.testing.assert_array_equal(b.params["codebook"], codebook)


def test_the_radius_stays_at_its_end():
    method, radii = make(total_steps=3, start_radius=4.0, end_radius=1.0), []
    state = method.init(KEY, X)
    for _ in range(5):
        state, metrics = jax.jit(method.step)(state, X)
        radii.append(float(metrics["radius"]))
    np.testing.assert_allclose(radii, [4, 2, 1, 1, 1], rtol=1e-6)
    only = make(total_steps=1)
    assert jax.jit(only.step)(only.init(KEY, X), X)[1]["radius"] == 10


def test_the_codebook_begins_as_codes_of_different_examples():
    method = make()
    state = method.init(KEY, X)
    z, m = np.asarray(method.encode(state, X)), np.asarray(state.params["codebook"])
    apart = np.abs(z[:, None] - m[None]).max(axis=2)
    assert apart.min(axis=0).max() < 1e-6 and len(set(apart.argmin(axis=0))) == 12
    assert list(apart.argmin(axis=0)) != list(range(12))
    # A map of more units than examples begins with some of them more than once.
    assert method.init(KEY, X[:5]).params["codebook"].shape == (12, 2)


def test_units_and_map_are_those_of_the_codes():
    method = make()
    state, _ = jax.jit(method.step)(method.init(KEY, X), X)
    z, m = np.asarray(method.encode(state, X)), np.asarray(state.params["codebook"])
    units = method.assign(state, X)
    np.testing.assert_array_equal(units, np.square(z[:, None] - m).sum(axis=2).argmin(axis=1))
    assert units.dtype == np.int32
    found, points = method.map(state, X)
    np.testing.assert_array_equal(found.codebook, m)
    np.testing.assert_array_equal(points, z)
    assert found.grid == som.Grid(3, 4) and found.metric == "euclidean"
    np.testing.assert_allclose(method.prototypes(state), method.decode(state, m), rtol=1e-6)


def trained(digits, epochs=60, **arguments):
    x, steps = digits[:1792].reshape(-1, 64), 14 * epochs
    networks = (MLPEncoder((128,)), MLPDecoder((64,), (128,)))
    method = methods.desom(*networks, optax.adam(1e-2), total_steps=steps, **arguments)
    order = np.random.default_rng(0).integers(len(x), size=(steps, 128))
    run = jax.jit(
        lambda state: jax.lax.scan(lambda s, rows: method.step(s, jax.numpy.asarray(x)[rows]), state, order)
    )
    state, metrics = run(method.init(KEY, x[:128]))
    return method, state, metrics, x


def topographic_error(found, z):
    """The fraction of codes whose two nearest units do not touch, of 8 neighbours."""
    nearest = np.square(np.asarray(z)[:, None] - np.asarray(found.codebook)).sum(axis=2).argsort(axis=1)
    return 1 - som.adjacency(found.grid, 8)[nearest[:, 0], nearest[:, 1]].mean()


@pytest.mark.thorough
def test_digits_are_laid_out_on_the_map(digits):
    """A trained map is pure and ordered; without a neighbourhood its units lie anyhow."""
    from sklearn.datasets import load_digits

    from unsupjax.evaluate import purity

    results = {}
    for start, end in ((10.0, 0.7), (0.1, 0.1)):
        method, state, metrics, x = trained(digits, start_radius=start, end_radius=end)
        pure = purity(load_digits().target[:1792], np.asarray(method.assign(state, x)))
        results[start] = pure, topographic_error(*method.map(state, x))
        assert metrics["reconstruction"][-1] < 0.5 * metrics["reconstruction"][0]
    (pure, error), (_, disorder) = results[10.0], results[0.1]
    assert pure > 0.8 and error < 0.2 and disorder > 0.6, results


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"total_steps": 0}, "total_steps=0"),
        ({"end_radius": 0.0}, "end_radius=0"),
        ({"start_radius": 0.05}, "start_radius=0.05"),
        ({"height": 0}, "no units"),
        ({"topology": "round"}, "unknown"),
        ({"likelihood": "cauchy"}, "unknown likelihood"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
