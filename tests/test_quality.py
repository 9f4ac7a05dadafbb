"""One small real run of each family, with a bar that a broken implementation fails."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.neighbors import KNeighborsClassifier

from unsupjax import methods, models

pytestmark = pytest.mark.thorough

SHAPE = (8, 8, 1)
FLAT = (models.MLPEncoder(()), models.MLPDecoder(SHAPE, ()))
DEEP = (models.MLPEncoder((128,)), models.MLPDecoder(SHAPE, (128,)))
ORDER = np.random.default_rng(0).permutation(1797)  # neighbours in the file share a writer
RUNS = {  # method, networks, arguments, the largest share of the pixels' variance left, the least kNN accuracy
    "autoencoder": (methods.autoencoder, DEEP, {"latent_dim": 16}, 0.12, 0.96),
    "denoising": (methods.denoising, FLAT, {"latent_dim": 200}, 0.25, 0.96),
    "sparse": (methods.sparse, FLAT, {"latent_dim": 100, "target": 0.1, "weight": 0.1}, 0.12, 0.96),
    "k_sparse": (methods.k_sparse, FLAT, {"latent_dim": 100, "k": 10, "k_start": 20}, 0.15, 0.96),
    "contractive": (methods.contractive, FLAT, {"latent_dim": 200, "weight": 0.01}, 0.08, 0.96),
    "vae": (methods.vae, DEEP, {"latent_dim": 8}, 0.4, 0.91),
}


def run(name, digits, rate=3e-3, steps=1500):
    """Share of variance that the reconstruction leaves, and codes, on held-out digits: before training and after."""
    factory, networks, arguments, _, _ = RUNS[name]
    train, test = np.split(digits[ORDER], [1400])
    method = factory(*networks, optax.adam(rate), **arguments)
    index = np.random.default_rng(0).integers(0, len(train), (steps, 64))

    @jax.jit
    def trained(key, train, test):
        start = method.init(key, train[:64])
        end, _ = jax.lax.scan(lambda state, i: method.step(state, train[i]), start, index)
        return judged(start, train, test), judged(end, train, test)

    def judged(state, train, test):
        z = method.encode(state, test)
        error = jnp.square(method.decode(state, z) - test).sum()
        return error / jnp.square(test - train.mean(axis=0)[None]).sum(), method.encode(state, train), z

    return trained(jax.random.key(0), train, test)


def accuracy(z_train, z_test):
    from sklearn.datasets import load_digits

    labels = load_digits().target
    train, test = np.split(labels[ORDER], [1400])
    return KNeighborsClassifier(5, metric="cosine").fit(z_train, train).score(z_test, test)


@pytest.mark.parametrize("name", RUNS)
def test_reaches_its_bar_and_an_untrained_one_does_not(name, digits):
    untrained, (share, *codes) = run(name, digits)
    assert share < RUNS[name][3] < untrained[0]
    assert accuracy(*codes) > RUNS[name][4]


def test_a_vae_without_its_kl_has_no_use_for_its_prior(digits):
    """Held-out likelihood tells beta = 1 from beta = 0, which reconstructs better."""
    bounds = {}
    batches = digits[np.random.default_rng(0).integers(0, 1400, (800, 64))]
    for beta in (0.0, 1.0):
        method = methods.vae(*DEEP, optax.adam(3e-3), latent_dim=8, beta=beta)

        @jax.jit
        def bound(batches, test, method=method):
            state, _ = jax.lax.scan(method.step, method.init(jax.random.key(0), test[:64]), batches)
            return method.log_prob(state, jax.random.key(1), test, 1).mean()

        bounds[beta] = float(bound(batches, digits[1400:]))
    assert bounds[1.0] > bounds[0.0] + 5
