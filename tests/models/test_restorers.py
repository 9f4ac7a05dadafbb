"""Networks that take pictures to pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.models.restorers import DnCNN, UNet, shuffle, unshuffle

NETWORKS = {
    "unet": UNet((4, 6)),
    "unet-deep": UNet((3, 4, 5)),
    "dncnn": DnCNN(4, 3),
    "ffdnet": DnCNN(4, 3, 2),
}


def drawn(network, channels=1):
    params = network.init(jax.random.key(0), jnp.zeros((1, 16, 16, channels)))["params"]
    keys = iter(jax.random.split(jax.random.key(1), 100))
    return jax.tree.map(lambda x: 0.3 * jax.random.normal(next(keys), x.shape), params)


def test_shuffling_is_undone_and_keeps_blocks_together():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    y = unshuffle(x)
    np.testing.assert_array_equal(y[1, 1, 2], x[1, 2:4, 4:6].ravel())
    np.testing.assert_array_equal(shuffle(y), x)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_adds_nothing_at_first_and_scales_with_its_input(name):
    network = NETWORKS[name]
    x = jax.random.normal(jax.random.key(2), (1, 16, 24, 2))
    apply = jax.jit(lambda params, x: network.apply({"params": params}, x))
    assert not np.any(apply(network.init(jax.random.key(0), x)["params"], x))
    params = drawn(network, 2)
    np.testing.assert_allclose(apply(params, 3 * x), 3 * apply(params, x), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_beyond_the_margin_counts(name):
    """Of the gradient of one block of outputs, amid rows enough."""
    network = NETWORKS[name]
    params, block = drawn(network), network.multiple
    before = network.margin + block
    x = jax.random.normal(jax.random.key(2), (1, 2 * before + block, block, 1))
    inside = lambda x: jnp.abs(network.apply({"params": params}, x)[:, before : before + block]).sum()
    rows = np.flatnonzero(np.abs(jax.jit(jax.grad(inside))(x)).sum((0, 2, 3)))
    assert before - rows.min() <= network.margin and rows.max() - (before + block - 1) <= network.margin
    assert before - rows.min() >= network.margin / 2  # and it is not much too wide
