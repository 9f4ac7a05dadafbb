"""Blur, solarisation and cutout of one image, and any operation with a probability.

Images are float32 `[H, W, C]` with values in [0, 1].
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.augment.geometry import separable


def _taps(n: int, radius: int) -> np.ndarray:
    """`[radius + 1, n * n]`: how often input j is at a distance of k from output i, reflected at the edges."""
    reflected = np.pad(np.arange(n), radius, mode="reflect")
    taps = np.zeros((radius + 1, n, n), np.float32)
    for offset in range(-radius, radius + 1):
        np.add.at(taps[abs(offset)], (np.arange(n), reflected[radius + offset :][:n]), 1)
    return taps.reshape(radius + 1, n * n)


def gaussian_blur(
    key: jax.Array,
    image: jax.Array,
    *,
    sigma: tuple[float, float] = (0.1, 2.0),
    radius: int = 0,
    probability: float = 1.0,
) -> jax.Array:
    """Convolves with a Gaussian whose standard deviation is uniform in `sigma`, in pixels, as two matrix products.

    SimCLR's kernel has about a tenth of the image's side: 23 pixels of 224, 3 of 32. Its TensorFlow code pads with
    zeros, which darkens the edges; here beyond pixel 0 comes pixel 1, as torchvision reflects.

    Args:
        key: random key.
        image: `[H, W, C]`.
        sigma: lowest and highest standard deviation, positive.
        radius: the kernel has 2 radius + 1 taps; 0 means max(1, side // 20), of the shorter side.
        probability: that the image is blurred.

    Returns:
        `[H, W, C]` float32.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
    """
    chex.assert_rank(image, 3)
    height, width, _ = image.shape
    radius = radius or max(1, min(height, width) // 20)
    u = jax.random.uniform(key, (2,))
    deviation = sigma[0] + (sigma[1] - sigma[0]) * u[0]
    distances = jnp.arange(radius + 1, dtype=jnp.float32)
    weights = jnp.exp(-jnp.square(distances / deviation) / 2)
    weights = weights / (2 * weights.sum() - weights[0])
    weights = jnp.where(u[1] < probability, weights, (distances == 0).astype(jnp.float32))
    matrices = (
        jnp.matmul(weights, _taps(n, radius), precision="highest").reshape(n, n) for n in (height, width)
    )
    return separable(image, *matrices)


def solarize(
    key: jax.Array, image: jax.Array, *, threshold: float = 0.5, probability: float = 1.0
) -> jax.Array:
    """With that probability, `1 - x` where `x >= threshold`, else x."""
    inverted = (image >= threshold) & jax.random.bernoulli(key, probability)
    return jnp.where(inverted, 1 - image, image)


def cutout(key: jax.Array, image: jax.Array, size: int, fill: float = 0.0) -> jax.Array:
    """Overwrites a square of `size` pixels whose centre is uniform over the image; what lies outside is lost.

    Args:
        key: random key.
        image: `[H, W, C]`.
        size: side of the square; 0 leaves the image as it is.
        fill: the new value.

    Returns:
        `[H, W, C]` float32.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """
    chex.assert_rank(image, 3)
    height, width, _ = image.shape
    u = jax.random.uniform(key, (2,))
    inside = []
    for n, v in zip((height, width), u, strict=True):
        first = jnp.floor(v * n).astype(jnp.int32) - size // 2
        pixels = jnp.arange(n)
        inside.append((pixels >= first) & (pixels < first + size))
    rows, columns = inside
    return jnp.where(rows[:, None, None] & columns[None, :, None], jnp.asarray(fill, image.dtype), image)


def with_probability(key: jax.Array, probability: float, f: Callable, image: jax.Array) -> jax.Array:
    """`f(key, image)` with that probability, else the image; under `vmap` both are computed."""
    decide, key = jax.random.split(key)
    return jnp.where(jax.random.bernoulli(decide, probability), f(key, image), image)
