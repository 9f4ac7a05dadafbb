import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import correlate1d

from unsupjax import augment

RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(size=(12, 15, 3)).astype(np.float32)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 1000)


def blurred(image, sigma, radius):
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    for axis in (0, 1):
        image = correlate1d(image, kernel / kernel.sum(), axis=axis, mode="mirror")
    return image


@pytest.mark.parametrize("radius", [1, 3, 11])
def test_the_blur_is_scipys(radius):
    run = jax.jit(
        lambda key, x, s: augment.gaussian_blur(key, x, sigma=(s, s), radius=radius), static_argnums=2
    )
    for sigma in (0.1, 0.8, 2.0):
        np.testing.assert_allclose(run(KEY, IMAGE, sigma), blurred(IMAGE, sigma, radius), atol=2e-6)


def test_the_blur_draws_its_width_and_whether_it_happens():
    point = jnp.zeros((11, 11, 1)).at[5, 5].set(1.0)
    run = jax.jit(
        jax.vmap(lambda k: augment.gaussian_blur(k, point, sigma=(0.5, 1.5), radius=4, probability=0.3))
    )
    y = np.asarray(run(KEYS))[..., 0]
    np.testing.assert_allclose(y.sum(axis=(1, 2)), 1, atol=1e-5)
    touched = y[:, 5, 5] < 1
    np.testing.assert_allclose(touched.mean(), 0.3, atol=0.05)
    sigma = np.sqrt(0.5 / np.log(y[touched, 5, 5] / y[touched, 5, 6]))
    assert sigma.min() >= 0.49 and sigma.max() <= 1.51
    np.testing.assert_allclose((sigma.mean(), sigma.std()), (1, 1 / 12**0.5), atol=0.04)


def test_the_default_kernel_is_a_tenth_of_the_side():
    blur = jax.jit(lambda x: augment.gaussian_blur(KEY, x, sigma=(2.0, 2.0)))
    for side, radius in ((8, 1), (32, 1), (224, 11)):
        row = blur(np.eye(1, side * side, side * (side // 2) + side // 2).reshape(side, side, 1))[
            side // 2, :, 0
        ]
        assert (np.asarray(row) > 0).sum() == 2 * radius + 1


def test_solarisation_is_pillows():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = np.asarray(ImageOps.solarize(Image.fromarray(values), threshold=128)) / 255
    found = augment.solarize(KEY, values[..., None].astype(np.float32) / 255)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(augment.solarize(KEY, IMAGE, probability=0.0), IMAGE)
    once = jax.vmap(lambda k: (augment.solarize(k, IMAGE, probability=0.2) != IMAGE).any())(KEYS)
    np.testing.assert_allclose(once.mean(), 0.2, atol=0.04)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cutout_is_a_square_around_every_pixel(size):
    """With the edges cut off, as often around one pixel as around another."""
    ones = jnp.ones((6, 7, 2))
    y = np.asarray(jax.jit(jax.vmap(lambda k: augment.cutout(k, ones, size)))(KEYS))
    np.testing.assert_array_equal(y[..., 0], y[..., 1])
    patterns = {}
    for row in range(6):
        for column in range(7):
            expected = np.ones((6, 7))
            top, left = row - size // 2, column - size // 2
            expected[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 0
            patterns[expected.tobytes()] = 0
    for mask in y[..., 0].astype(float):
        patterns[mask.tobytes()] += 1
    assert min(patterns.values()) >= 5 and len(patterns) == 42


def test_cutout_fills_and_may_be_nothing():
    assert (augment.cutout(KEY, IMAGE, 5, fill=7.0) == 7).any()
    np.testing.assert_array_equal(augment.cutout(KEY, IMAGE, 0), IMAGE)


def test_an_operation_with_a_probability():
    inverted = lambda key: augment.with_probability(key, 0.3, lambda k, x: 1 - x, IMAGE)
    y = jax.vmap(inverted)(KEYS)
    plain = (y == IMAGE[None]).all(axis=(1, 2, 3))
    np.testing.assert_allclose(plain.mean(), 0.7, atol=0.05)
    np.testing.assert_allclose(y[~plain][0], 1 - IMAGE, atol=1e-6)
