"""Levels of masking: what they measure, and that files hold them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_range_coder import drawn

from unsupjax.codec import coder, contexts, files, masking
from unsupjax.codec.coder import STEPS
from unsupjax.data.sources.photographs import photographs
from unsupjax.errors import UserError
from unsupjax.methods.parts import lapped

PICTURE = photographs(3)[0, 100:150, 200:277]
RNG = np.random.default_rng(0)


def masked(planes):
    """Random parameters of a small codec that masks."""
    params = drawn(planes)
    c, h = params["scale"].shape[1], params["hidden"].shape[1]
    normal = lambda shape, scale=0.1: RNG.normal(scale=scale, size=shape).astype(np.float32)
    return params | {
        "masking": 0.3 + normal((9, c), 0.02),
        "masked_hidden": normal((9, h)),
        "masked_outputs": normal((9, 2 * c)),
        "map": masking.start() + normal((10, 10, 9), 0.05),
    }


@pytest.fixture(scope="module", params=[1, 3])
def codec(request):
    return files.Codec(masked(request.param), request.param)


def test_levels_by_hand():
    """A flat block, and one whose 2 x 2 means alternate between 128 - d and 128 + d."""
    x = np.full((1, 32, 32), 128.0)
    d = 40.0
    rows, columns = np.indices((16, 16)) // 2
    x[0, :16, :16] += np.where((rows + columns) % 2, d, -d)  # gone at the quarter of the resolution
    c = (0.03 * 255) ** 2
    share = 0.2856 / 0.5857 / (2 * d * d + c) + 0.3001 / 0.5857 / c
    expected = [[[round(-np.log2(share * c)), 0], [0, 0]]]
    np.testing.assert_array_equal(masking.levels_of(x), expected)
    np.testing.assert_array_equal(jax.jit(masking.levels_of)(jnp.asarray(x, jnp.float32)), expected)
    stripes = np.broadcast_to(128 + 120.0 * (-1) ** (np.arange(64) // 4), (1, 64, 64))
    assert (masking.levels_of(stripes) == 8).all()


def test_levels_of_a_block_by_a_loop():
    x = RNG.normal(128, 60, (1, 16, 16))
    half = x[0].reshape(8, 2, 8, 2).mean(axis=(1, 3))
    quarter = half.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    c = (0.03 * 255) ** 2
    parts = [half[i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
    fine = np.mean([1 / (2 * part.var() + c) for part in parts])
    weight = (0.2856 * fine + 0.3001 / (2 * quarter.var() + c)) / 0.5857
    assert masking.levels_of(x).item() == round(-np.log2(weight * c)) > 2


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 1)])
def test_levels_come_back(shape):
    table = masking.probabilities(masking.start() + RNG.normal(size=(10, 10, 9)) / 8)
    assert (np.abs(table.sum(-1, dtype=np.float64) - 1) < 1e-6).all() and table.min() > 0
    levels = RNG.integers(0, 9, shape)
    content = masking.encode(table, levels)
    np.testing.assert_array_equal(masking.decode(table, shape, content), levels)
    with pytest.raises(ValueError, match="ends too soon"):
        masking.decode(table, shape, content[:-1])


def test_bits_of_levels_are_those_of_the_file():
    levels = np.repeat(RNG.integers(0, 9, (30, 10)), 3, axis=1)
    logits = masking.start()
    bits = lapped.level_bits(jnp.asarray(logits), jnp.asarray(levels[None]))
    size = 8 * len(masking.encode(masking.probabilities(logits), levels))
    assert abs(float(bits[0]) - size) < 64


def test_what_is_decoded_is_what_was_encoded(codec):
    x, quality = PICTURE[..., : codec.planes], 20
    q, levels = codec._quantised(x, quality)
    assert np.ptp(levels) > 2
    made = lapped.pictures(
        codec.params,
        jnp.asarray(q[None], jnp.float32),
        jnp.array([quality / STEPS]),
        jnp.asarray(levels[None]),
    )
    found = codec.decompress(codec.compress(x, quality))
    assert np.abs(found - np.clip(np.asarray(made)[0, :50, :77], 0, 255)).max() < 1


def test_contexts_are_told_of_levels(codec):
    q, levels = codec._quantised(PICTURE[..., : codec.planes], 20)
    order = contexts.layout(codec.planes, 40)
    take = lambda x: jnp.asarray(x[None], jnp.float32)
    location, scale = lapped.predicted(codec.params, take(q), jnp.array([20 / STEPS]), order, take(levels))
    found = coder.predictions(codec._net(20), q, levels)
    np.testing.assert_allclose(found[0], location[0], atol=0.05)
    np.testing.assert_allclose(np.log2(found[1]), np.clip(scale[0], -4, 9), atol=0.05)


@pytest.mark.parametrize("planes", [1, 3])
def test_strips_grey_pictures_and_damage(codec, planes, monkeypatch):
    x = np.tile(PICTURE[..., : min(planes, codec.planes)], (3, 1, 1))
    content = codec.compress(x, 30)
    monkeypatch.setattr(files, "_STRIP", 10)
    again = codec.decompress(codec.compress(x, 30))
    assert again.shape == x.shape and np.abs(again.astype(int) - x).mean() < 20
    for length in (24, 26, 40):
        with pytest.raises(UserError, match="is damaged"):
            codec.decompress(content[:length])
