import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from unsupjax import augment
from unsupjax.augment import colour

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, size=(9, 11, 3), dtype=np.uint8)
IMAGE = BYTES.astype(np.float32) / 255
GREY = IMAGE[..., :1]
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 1000)
LUMA = np.array([0.299, 0.587, 0.114])


def single(name, x, a):
    """One operation in numpy, float64; x is [H, W, 3]."""
    if name == "hue":
        turned = [colorsys.rgb_to_hsv(*p) for p in x.reshape(-1, 3)]
        return np.array([colorsys.hsv_to_rgb((h + a) % 1, s, v) for h, s, v in turned]).reshape(x.shape)
    grey = (x @ LUMA)[..., None]
    reference = {"brightness": 0, "contrast": grey.mean(), "saturation": grey}[name]
    return np.clip(a * x + (1 - a) * reference, 0, 1)


def planes(x):
    return [jnp.asarray(x[..., c], jnp.float32) for c in range(x.shape[-1])]


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_blends_are_pillows(name, a):
    found = colour.adjust(planes(IMAGE), {name: a}, jnp.array([0]))
    enhance = {"brightness": "Brightness", "contrast": "Contrast", "saturation": "Color"}[name]
    expected = np.asarray(getattr(ImageEnhance, enhance)(Image.fromarray(BYTES)).enhance(a)) / 255
    # Pillow rounds grey and result, and a rounding of grey counts |1 - a| times.
    np.testing.assert_allclose(np.stack(found, -1), expected, atol=(1 + abs(1 - a)) / 255)
    np.testing.assert_allclose(np.stack(found, -1), single(name, IMAGE.astype(float), a), atol=1e-6)


@pytest.mark.parametrize("turn", [-0.5, -0.21, 0.0, 0.1, 0.4, 0.5])
def test_hue_is_that_of_colorsys(turn):
    corners = np.array(list(itertools.product([0.0, 0.5, 1.0], repeat=3)), np.float32)[None]
    for x in (IMAGE, corners):
        found = np.stack(colour.turn_hue(planes(x), turn), -1)
        np.testing.assert_allclose(found, single("hue", x.astype(float), turn), atol=2e-6)


def test_every_order_is_that_of_single_operations():
    factors = {"brightness": 1.3, "contrast": 0.6, "saturation": 1.6, "hue": -0.13}
    run = jax.jit(lambda factors, ranks: jnp.stack(colour.adjust(planes(IMAGE), factors, ranks), -1))
    results = []
    for order in itertools.permutations(factors):
        expected = IMAGE.astype(float)
        for name in order:
            expected = single(name, expected, factors[name])
        found = run(factors, jnp.array([order.index(name) for name in factors]))
        np.testing.assert_allclose(found, expected, atol=3e-6)
        results.append(np.asarray(found))
    for a, b in itertools.combinations(results, 2):
        assert np.abs(a - b).max() > 1e-3  # the order matters, or nothing was shown


@pytest.mark.parametrize("names", [("brightness", "contrast"), ("contrast", "saturation", "hue"), ("hue",)])
def test_orders_of_fewer_operations(names):
    factors = {"brightness": 1.6, "contrast": 0.5, "saturation": 1.8, "hue": 0.3}
    factors = {name: factors[name] for name in names}
    for order in itertools.permutations(names):
        expected = IMAGE.astype(float)
        for name in order:
            expected = single(name, expected, factors[name])
        found = colour.adjust(planes(IMAGE), factors, jnp.array([order.index(name) for name in names]))
        np.testing.assert_allclose(np.stack(found, -1), expected, atol=3e-6)


def test_all_orders_are_as_likely():
    ranks = jax.vmap(lambda k: colour.ranks_of(jax.random.uniform(k, (4,))))(jax.random.split(KEY, 24_000))
    orders, counts = np.unique(ranks, axis=0, return_counts=True)
    assert len(orders) == 24 and (np.sort(orders, axis=1) == np.arange(4)).all()
    np.testing.assert_allclose(counts, 1000, atol=150)
    np.testing.assert_array_equal(colour.ranks_of(jnp.array([0.5, 0.2, 0.5, 0.2])), [2, 0, 3, 1])


def test_the_jitter_draws_factors_and_order_for_each_image():
    """A jitter is one of the sequences of single operations with the factors that its key gives."""
    options = dict(brightness=0.4, contrast=0.7, saturation=1.5, hue=0.2)
    jitter = jax.jit(jax.vmap(lambda key: augment.colour_jitter(key, IMAGE, **options, probability=0.6)))
    found, seen, untouched = np.asarray(jitter(KEYS[:60])), set(), 0
    for key, y in zip(KEYS[:60], found, strict=True):
        u = np.asarray(jax.random.uniform(key, (9,)), float)
        low = np.maximum(0, 1 - np.array([0.4, 0.7, 1.5]))
        factors = dict(zip(options, low + (1 + np.array([0.4, 0.7, 1.5]) - low) * u[1:4], strict=False))
        factors["hue"] = 0.2 * (2 * u[4] - 1)
        expected = IMAGE.astype(float)
        if u[0] < 0.6:
            order = tuple(np.argsort(u[5:]))
            seen.add(order)
            for i in order:
                expected = single(list(options)[i], expected, factors[list(options)[i]])
        else:
            untouched += 1
        np.testing.assert_allclose(y, expected, atol=5e-6)
    assert len(seen) > 10 and untouched > 10


@pytest.mark.parametrize("strength, low, high", [(0.4, 0.6, 1.4), (1.5, 0.0, 2.5)])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_are_uniform(name, strength, low, high):
    dark = jnp.asarray(np.array([[[0.3, 0.2, 0.2], [0.2, 0.2, 0.2]]], np.float32))
    y = jax.jit(jax.vmap(lambda k: getattr(augment, name)(k, dark, strength)))(KEYS)
    reference = {"brightness": 0.0, "contrast": 0.2 + 0.05 * LUMA[0], "saturation": 0.2 + 0.1 * LUMA[0]}[name]
    a = (y[:, 0, 0, 0] - reference) / (0.3 - reference)
    assert a.min() >= low - 1e-4 and a.max() <= high + 1e-4
    np.testing.assert_allclose((a.mean(), a.std()), ((low + high) / 2, (high - low) / 12**0.5), atol=0.05)


def test_strength_0_is_the_identity():
    for f in (augment.brightness, augment.contrast, augment.saturation, augment.hue):
        np.testing.assert_allclose(f(KEY, IMAGE, 0.0), IMAGE, atol=1e-6)
    np.testing.assert_array_equal(augment.colour_jitter(KEY, IMAGE), IMAGE)
    np.testing.assert_allclose(augment.greyscale(KEY, IMAGE, 0.0), IMAGE, atol=1e-6)
    all_of_them = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    np.testing.assert_allclose(
        augment.colour_jitter(KEY, IMAGE, **all_of_them, probability=0.0), IMAGE, atol=1e-6
    )


def test_hue_turns_both_ways_up_to_its_strength():
    pixel = jnp.array([[[1.0, 0.5, 0.5]]])
    y = np.asarray(jax.vmap(lambda k: augment.hue(k, pixel, 0.1)[0, 0])(KEYS))
    turns = np.array([(colorsys.rgb_to_hsv(*p)[0] + 0.5) % 1 - 0.5 for p in y])
    assert np.abs(turns).max() <= 0.1 + 1e-5
    np.testing.assert_allclose((turns.mean(), turns.std()), (0, 0.2 / 12**0.5), atol=0.005)


def test_greyscale_has_the_luma_of_pillow():
    y = augment.greyscale(KEY, IMAGE)
    expected = np.asarray(Image.fromarray(BYTES).convert("L")) / 255
    for c in range(3):
        np.testing.assert_allclose(y[..., c], expected, atol=1 / 255)
        np.testing.assert_allclose(y[..., c], IMAGE @ LUMA, atol=1e-6)
    grey = jax.vmap(lambda k: jnp.ptp(augment.greyscale(k, IMAGE, 0.2), axis=2).max() < 1e-6)(KEYS)
    np.testing.assert_allclose(grey.mean(), 0.2, atol=0.04)


def test_one_channel():
    y = augment.colour_jitter(KEY, GREY, brightness=0.4, contrast=0.4)
    assert y.shape == GREY.shape and y.dtype == jnp.float32 and not np.allclose(y, GREY)
    found = colour.adjust([GREY[..., 0]], {"brightness": 1.4, "contrast": 0.5}, jnp.array([1, 0]))
    bright = np.clip(1.4 * (0.5 * GREY[..., 0] + 0.5 * GREY.mean()), 0, 1)
    np.testing.assert_allclose(found[0], bright, atol=1e-6)
    with pytest.raises(ValueError, match=r"saturation=0\.4, hue=0\.1: .* set saturation=0, hue=0"):
        augment.colour_jitter(KEY, GREY, saturation=0.4, hue=0.1)
    for f, name in ((augment.saturation, "saturation"), (augment.hue, "hue"), (augment.greyscale, "grey")):
        with pytest.raises(ValueError, match=f"set {name}=0"):
            f(KEY, GREY, 0.3)
    with pytest.raises(ValueError, match="has 2"):
        augment.brightness(KEY, IMAGE[..., :2], 0.3)
