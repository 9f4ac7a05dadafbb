import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from unsupjax import augment
from unsupjax.augment import geometry

RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(size=(13, 17, 3)).astype(np.float32)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 2000)
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def pillow(image, box, size, method):
    """Each channel cut and resized by Pillow in floating point; box is top, left, height, width."""
    top, left, height, width = (int(v) for v in box)
    channels = [Image.fromarray(image[..., c], mode="F") for c in range(image.shape[2])]
    cut = [c.crop((left, top, left + width, top + height)) for c in channels]
    return np.stack([np.asarray(c.resize(size[::-1], PILLOW[method])) for c in cut], axis=-1)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("method", PILLOW)
@pytest.mark.parametrize("size", [(32, 24), (6, 5), (13, 17), (5, 40)], ids=str)
def test_resampling_is_pillows(method, size):
    @jax.jit
    def ours(box):
        rows = geometry.resize_matrix(box[0], box[2], 13, size[0], method=method)
        return geometry.separable(
            IMAGE, rows, geometry.resize_matrix(box[1], box[3], 17, size[1], method=method)
        )

    for box in [(0, 0, 13, 17), (2, 3, 7, 9), (12, 16, 1, 1), (0, 5, 13, 2)]:
        expected = pillow(IMAGE, box, size, method)
        np.testing.assert_allclose(ours(np.array(box, np.float32)), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("method", PILLOW)
def test_a_random_crop_is_pillows_crop_of_the_box_drawn(method):
    crop = lambda key: augment.random_resized_crop(key, IMAGE, (8, 10), method=method)
    box = lambda key: geometry.crop_box(jax.random.split(key)[0], 13, 17, (0.08, 1.0), (3 / 4, 4 / 3))
    found, boxes = jax.jit(jax.vmap(lambda key: (crop(key), jnp.stack(box(key)))))(KEYS[:20])
    for y, b in zip(found, boxes, strict=True):
        np.testing.assert_allclose(y, pillow(IMAGE, b, (8, 10), method).clip(0, 1), atol=1e-5)
    assert found.min() >= 0 and found.max() <= 1


def test_without_antialiasing_single_pixels_are_seen():
    whole = {"area": (1, 1), "aspect": (1, 1), "antialias": False}
    y = jax.jit(lambda x: augment.random_resized_crop(KEY, x, (4, 4), **whole))(IMAGE[:12, :12])
    np.testing.assert_allclose(y, IMAGE[1:12:3, 1:12:3], atol=1e-6)


def torchvision_box(rng, height, width, area, aspect):
    for _ in range(10):
        target = height * width * rng.uniform(*area)
        ratio = np.exp(rng.uniform(np.log(aspect[0]), np.log(aspect[1])))
        w, h = round(np.sqrt(target * ratio)), round(np.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    w, h = width, height
    if width / height < aspect[0]:
        h = round(width / aspect[0])
    elif width / height > aspect[1]:
        w = round(height * aspect[1])
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    "height, width, area, aspect",
    [
        (8, 8, (0.08, 1.0), (3 / 4, 4 / 3)),
        (6, 20, (0.5, 1.0), (3 / 4, 4 / 3)),
        (20, 5, (0.2, 0.9), (0.5, 1.0)),
    ],
)
def test_boxes_have_torchvisions_distribution(height, width, area, aspect):
    """All four numbers: their frequencies differ by no more than those of two samples do."""
    boxes = jax.jit(jax.vmap(lambda k: jnp.stack(geometry.crop_box(k, height, width, area, aspect))))(KEYS)
    rng = np.random.default_rng(1)
    expected = np.array([torchvision_box(rng, height, width, area, aspect) for _ in range(20_000)])
    assert (np.asarray(boxes) == np.round(boxes)).all()
    for ours, theirs in zip(np.asarray(boxes, int).T, expected.T, strict=True):
        bins = max(ours.max(), theirs.max()) + 1
        found = np.bincount(ours, minlength=bins) / len(ours)
        wanted = np.bincount(theirs, minlength=bins) / len(theirs)
        np.testing.assert_allclose(found, wanted, atol=0.05)
    top, left, h, w = np.asarray(boxes).T
    assert (top >= 0).all() and (left >= 0).all() and (top + h <= height).all() and (left + w <= width).all()


def test_where_no_box_fits_it_is_the_largest_central_one():
    draw = jax.jit(
        lambda *shape: geometry.crop_box(KEY, *shape, (1, 1), (3 / 4, 4 / 3)), static_argnums=(0, 1)
    )
    box = lambda *shape: tuple(int(v) for v in draw(*shape))
    assert box(6, 21) == (0, 6, 6, 8)
    assert box(21, 6) == (6, 0, 8, 6)


@pytest.mark.parametrize("method", PILLOW)
def test_a_crop_of_everything_is_the_image(method):
    whole = {"area": (1, 1), "aspect": (1, 1), "method": method}
    y = jax.jit(lambda x: augment.random_resized_crop(KEY, x, (13, 13), **whole))(IMAGE[:, :13])
    np.testing.assert_allclose(y, IMAGE[:, :13], atol=1e-6)


def test_flips():
    np.testing.assert_array_equal(augment.horizontal_flip(KEY, IMAGE, 1.0), IMAGE[:, ::-1])
    np.testing.assert_array_equal(augment.horizontal_flip(KEY, IMAGE, 0.0), IMAGE)
    flipped = jax.vmap(lambda k: augment.horizontal_flip(k, IMAGE)[0, 0, 0])(KEYS) == IMAGE[0, -1, 0]
    np.testing.assert_allclose(flipped.mean(), 0.5, atol=0.05)


def test_a_flip_in_a_crop_is_the_flip_of_the_crop():
    crop = lambda key, flip: augment.random_resized_crop(key, IMAGE, (8, 9), flip=flip)
    # A probability of almost 0 draws no flip, and goes through the same program.
    plain, some = jax.jit(jax.vmap(lambda key: (crop(key, 1e-9), crop(key, 0.3))))(KEYS)
    mirrored = np.abs(some - plain[:, :, ::-1]).max(axis=(1, 2, 3)) < 1e-5
    same = np.abs(some - plain).max(axis=(1, 2, 3)) < 1e-5
    assert (mirrored | same).all()
    np.testing.assert_allclose(mirrored.mean(), 0.3, atol=0.04)


def test_sampling_between_pixels_is_scipys():
    y, x = RNG.uniform(-3, 20, size=(2, 300)).astype(np.float32)
    found = geometry.sample_bilinear(IMAGE, y, x)
    for c in range(3):
        expected = map_coordinates(IMAGE[..., c], [y, x], order=1, mode="grid-constant")
        np.testing.assert_allclose(found[:, c], expected, atol=1e-5)


def affine_by_scipy(image, key, rotate, shear, shift, scale):
    u = np.asarray(jax.random.uniform(key, (5,)), np.float64)
    s = 2 * u - 1
    theta, phi = np.deg2rad(rotate * s[0]), np.deg2rad(shear * s[1])
    # In (x, y) with y upwards, a counter-clockwise turn is the usual matrix.
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    upwards = np.diag([1, -1])
    factor = scale[0] + (scale[1] - scale[0]) * u[4]
    m = factor * (upwards @ turn @ upwards) @ np.array([[1, np.tan(phi)], [0, 1]])
    h, w = image.shape[:2]
    rows, columns = np.mgrid[:h, :w].astype(float)
    p = np.stack([columns - (w - 1) / 2 - shift * w * s[3], rows - (h - 1) / 2 - shift * h * s[2]])
    x, y = np.einsum("ab,bij->aij", np.linalg.inv(m), p)
    at = [y + (h - 1) / 2, x + (w - 1) / 2]
    return np.stack(
        [map_coordinates(c, at, order=1, mode="grid-constant") for c in image.T.swapaxes(1, 2)], -1
    )


@pytest.mark.parametrize(
    "options",
    [
        dict(rotate=90.0, shear=0.0, shift=0.0, scale=(1.0, 1.0)),
        dict(rotate=0.0, shear=30.0, shift=0.0, scale=(1.0, 1.0)),
        dict(rotate=0.0, shear=0.0, shift=0.3, scale=(1.0, 1.0)),
        dict(rotate=0.0, shear=0.0, shift=0.0, scale=(0.5, 2.0)),
        dict(rotate=40.0, shear=20.0, shift=0.1, scale=(0.7, 1.3)),
    ],
)
def test_affine_maps_are_scipys(options):
    found = jax.jit(jax.vmap(lambda k: augment.random_affine(k, IMAGE, **options)))(KEYS[:5])
    for key, y in zip(KEYS[:5], found, strict=True):
        np.testing.assert_allclose(y, affine_by_scipy(IMAGE, key, **options), atol=2e-5)


def test_an_affine_map_of_strength_0_is_the_identity():
    np.testing.assert_allclose(augment.random_affine(KEY, IMAGE), IMAGE, atol=1e-6)
