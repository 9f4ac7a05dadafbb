"""Coefficients to bits and back, and the tables in between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import laplace

from unsupjax.codec import coder, contexts, tables
from unsupjax.methods.parts import lapped

RNG = np.random.default_rng(0)


def drawn(planes, hidden=40):
    """Random parameters of a small codec."""
    order = contexts.layout(planes, hidden)
    x = jnp.asarray(RNG.random((2, 32, 32, planes)), jnp.float32)
    params = lapped.start(jax.random.key(0), x, order, 4, 2)
    params = jax.tree.map(np.array, params)
    for name in ("scale", "location"):
        params[name] = RNG.normal(scale=0.1, size=params[name].shape).astype(np.float32)
    params["filters"][-1]["kernel"] += 0.002
    return params


@pytest.fixture(scope="module", params=[1, 3])
def net(request):
    planes = request.param
    params = drawn(planes)
    return params, coder.whole(params, contexts.layout(planes, 40), 21)


def coefficients(order, shape=(3, 4)):
    size = 40 * np.exp(-np.arange(order.channels) / 20) + 0.1
    return np.rint(RNG.laplace(size=(*shape, order.channels)) * size).astype(np.int64)


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (1, 5), (4, 1)])
def test_coefficients_come_back(net, shape):
    _, net = net
    q = coefficients(net.order, shape)
    q[0, 0, 0], q[-1, -1, 3] = coder.MOST, -coder.MOST  # far beyond the tables
    q[0, 0, 200] = 77
    content = coder.encode(net, q, net.order.channels)
    np.testing.assert_array_equal(coder.decode(net, shape, net.order.channels, *content), q)


def test_a_grey_picture_of_a_model_of_colours():
    net = coder.whole(drawn(3), contexts.layout(3, 40), 21)
    q = coefficients(net.order)
    q[..., 256:] = 0
    content = coder.encode(net, q, 256)
    np.testing.assert_array_equal(coder.decode(net, (3, 4), 256, *content), q)


def test_whole_numbers_are_the_network_that_was_trained(net):
    params, net = net
    q = coefficients(net.order)
    location, scale = lapped.predicted(
        params, jnp.asarray(q[None], jnp.float32), jnp.array([21 / coder.STEPS]), net.order
    )
    found = coder.predictions(net, q)
    np.testing.assert_allclose(found[0], location[0], atol=0.05)
    np.testing.assert_allclose(np.log2(found[1]), np.clip(scale[0], -4, 9), atol=0.05)


def test_nothing_is_predicted_from_what_is_not_decoded_yet(net):
    """What changes with a coefficient comes behind it: in a later group, or in the same of a later block."""
    _, net = net
    order, q = net.order, coefficients(net.order)
    c = order.channels
    q[1, 1] = 0
    out = coder._outputs(net, q)
    blocks = 4 * np.arange(3)[:, None] + np.arange(4)[None]  # in the order of a page
    for channel in (0, 5, 100, 255, c - 1):
        changed = q.copy()
        changed[1, 1, channel] = 40
        moved = coder._outputs(net, changed) != out
        moved = moved[..., :c] | moved[..., c:]
        later = order.groups[None, None] > order.groups[channel]
        same = (order.groups == order.groups[channel])[None, None] & (blocks > blocks[1, 1])[..., None]
        assert moved.any() and not (moved & ~(later | same)).any()


def test_waves_hold_every_block_once_and_only_after_those_before_it():
    for h, w in ((5, 7), (1, 4), (6, 1)):
        seen = np.zeros((h + 1, w + 2), bool)
        for i, j in coder._waves(h, w):
            for a, b in zip(i, j, strict=True):
                before = [(a + di, b + dj) for di, dj in contexts.BEFORE]
                assert all(seen[p] for p in before if p[0] >= 0 and 0 <= p[1] < w)
            seen[i, j] = True
        assert seen[:h, :w].all()


def test_tables_are_the_distributions():
    found = tables.tables(0.5, 1.5)
    assert (found.sum(axis=1) == tables.TOTAL).all() and found.min() >= 1
    share = 1 / (1 + np.exp(-0.5))
    for level, fraction in ((0, -4), (13, 3), (20, 0), (24, 0), (51, 0)):
        b, shift = 2 ** ((level - 16) / 4), int(tables.shift_of(np.array(level)))
        numbers = np.arange(-8000, 8001)
        cdf = lambda x, b=b: share * laplace.cdf(x, scale=b) + (1 - share) * laplace.cdf(x, scale=b * 2**1.5)
        p = cdf(numbers + 0.5 - fraction / 8) - cdf(numbers - 0.5 - fraction / 8)
        symbols = (numbers + (1 << shift >> 1)) >> shift
        expected = [p[symbols == s].sum() for s in range(-tables.MOST, tables.MOST + 1)]
        row = found[int(tables.row_of(np.array(level), np.array(fraction)))]
        np.testing.assert_allclose(row[:-1] / tables.TOTAL, expected, atol=4e-5)


def test_logarithms():
    n = np.arange(coder.MOST + 1)
    np.testing.assert_array_equal(tables.logarithms(coder.MOST), np.round(16 * np.log2(1 + n)))


def test_probabilities_of_training_are_those_of_the_tables():
    y = jnp.array([-7.0, -1.0, 0.0, 1.0, 4.0])
    for level, location in ((4, 0.25), (16, -0.5), (20, 0.0)):
        scale = jnp.full(5, (level - 16) / 4)
        p = lapped.probability(y, jnp.full(5, location), scale, jnp.array([0.5, 1.5]))
        row = tables.tables(0.5, 1.5)[int(tables.row_of(np.array(level), np.array(int(8 * location))))]
        np.testing.assert_allclose(p, row[np.asarray(y, int) + tables.MOST] / tables.TOTAL, atol=4e-5)


@pytest.mark.parametrize("cut", [(4, 0), (0, 1), (1, 0)])
def test_bits_that_are_missing_are_noticed(net, cut):
    _, net = net
    q = coefficients(net.order)
    q[0, 0, 0] = 3000
    words, beside = coder.encode(net, q, net.order.channels)
    with pytest.raises((ValueError, AssertionError)):
        found = coder.decode(
            net, (3, 4), net.order.channels, words[: len(words) - cut[0]], beside[: len(beside) - cut[1]]
        )
        assert (found == q).all()


def test_sums_are_exact_in_whatever_order(net):
    """What rounds would differ: a sum in another order, and one of Python's whole numbers."""
    _, net = net
    x = contexts.inputs_of(coder.levels_of(coefficients(net.order)), net.order).reshape(
        -1, len(net.order.inputs)
    )
    expected = x @ net.hidden
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(x.shape[1])
        np.testing.assert_array_equal(x[:, order] @ net.hidden[order], expected)
    np.testing.assert_array_equal(x[:2].astype(np.int64) @ net.hidden.astype(np.int64), expected[:2])
