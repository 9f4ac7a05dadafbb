import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.methods.parts.coder import coder
from unsupjax.models import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder

X = np.random.default_rng(0).uniform(size=(5, 6)).astype(np.float32)
KEY = jax.random.key(0)


def test_tied_decoding_is_the_transposed_encoding():
    networks = coder(MLPEncoder((4,)), MLPDecoder((6,), (4,)), 3, tied=True)
    params = jax.jit(networks.init)(KEY, X)
    leaves = lambda tree: sorted(
        "/".join(str(k.key) for k in path) for path, _ in jax.tree.leaves_with_path(tree)
    )
    assert leaves(params["decoder"]) == ["Dense_0/bias", "Dense_1/bias"]
    z = np.array([[0.5, -1.0, 2.0]], np.float32)
    first, last = params["encoder"]["Dense_0"]["kernel"], params["code"]["kernel"]
    expected = np.maximum(z @ np.asarray(last).T, 0) @ np.asarray(first).T
    np.testing.assert_allclose(jax.jit(networks.decode)(params, z), expected, rtol=1e-5)
    # A kernel gets its gradient from both of its uses.
    both = lambda p: networks.decode(p, networks.encode(p, X)).sum()
    once = lambda p: networks.decode(jax.lax.stop_gradient(p) | {"encoder": p["encoder"]}, z).sum()
    of_both, of_once = jax.jit(lambda p: (jax.grad(both)(p), jax.grad(once)(p)))(params)
    assert np.abs(of_both["code"]["kernel"]).sum() > 0
    assert np.abs(of_once["encoder"]["Dense_0"]["kernel"]).sum() > 0


def test_tied_layers_past_the_tenth_keep_their_order():
    widths = tuple(range(7, 19))
    networks = coder(MLPEncoder(widths), MLPDecoder((6,), widths[::-1]), 3, tied=True)
    params = jax.eval_shape(networks.init, KEY, X)
    assert jax.eval_shape(networks.decode, params, jnp.zeros((1, 3))).shape == (1, 6)


@pytest.mark.parametrize("decoder", [MLPDecoder((6,), (5,)), MLPDecoder((6,), (4, 4)), MLPDecoder((6,), ())])
def test_tied_layers_that_do_not_mirror_are_refused(decoder):
    with pytest.raises(ValueError, match="mirrors the encoder"):
        coder(MLPEncoder((4,)), decoder, 3, tied=True).init(KEY, X)


def test_a_decoder_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"makes \(7,\) of an input of \(6,\)"):
        coder(MLPEncoder((4,)), MLPDecoder((7,), (4,)), 3).init(KEY, X)


def test_batch_statistics_are_refused_by_name():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=True)(x)

    with pytest.raises(ValueError, match=r"the encoder keeps .*GroupNorm"):
        coder(Normed(), MLPDecoder((6,), ()), 3).init(KEY, X)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (9, 7, 3), (13, 2)])
def test_convolutional_networks_mirror_any_size(shape):
    x = np.zeros((2, *shape), np.float32)
    networks = coder(ConvEncoder((8, 16)), ConvDecoder(shape, (16, 8)), 3)
    params = jax.eval_shape(networks.init, KEY, x)
    assert jax.eval_shape(networks.decode, params, jnp.zeros((2, 3))).shape == x.shape


def test_convolutions_of_windows_are_those_of_a_loop():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    params = ConvEncoder((8,), "identity").init(KEY, x)
    kernel = np.asarray(params["params"]["Conv_0"]["kernel"])  # [3, 3, 8]
    assert kernel.shape == (3, 3, 8)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    y = np.stack([np.einsum("btc,tcd->bd", padded[:, t : t + 3], kernel) for t in (0, 2, 4)], axis=1)
    flat = y.reshape(2, -1)  # a group of all 8 channels
    expected = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    np.testing.assert_allclose(ConvEncoder((8,), "identity").apply(params, x), expected, atol=1e-4)
    for network, given in ((ConvEncoder(), x[:, :, 0]), (ConvDecoder((5,)), np.zeros((2, 4)))):
        with pytest.raises(ValueError, match=r"images .* or windows"):
            network.init(KEY, given)


def test_examples_do_not_mix():
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    networks = coder(ConvEncoder((8,)), ConvDecoder((8, 8, 1), (8,)), 3)
    params, encode = jax.jit(networks.init)(KEY, x), jax.jit(networks.encode)
    np.testing.assert_allclose(encode(params, x)[:1], encode(params, x[:1]), rtol=1e-4, atol=1e-5)
