"""Two random views of one example.

A policy is a factory `name(shape, *, ...) -> two_views`, and `two_views(key, x) -> (x1, x2)` takes one example of that
shape, to be vmapped. One whose views draw from other examples returns an `InBatch` instead.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from unsupjax.augment import arguments, colour, filters, geometry
from unsupjax.augment.noise import gaussian_noise
from unsupjax.augment.photos import byol, moco_v2, pair, simclr


class InBatch(NamedTuple):
    """Views that need the whole batch.

    Attributes:
        two_views: `(key, x, batch) -> (x1, x2)`, x one example and batch `[B, ...]` all of them.
    """

    two_views: Callable


def glyphs(
    shape: Sequence[int],
    *,
    area: tuple[float, float] = (0.6, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "bilinear",
    rotate: float = 15.0,
    shear: float = 10.0,
    shift: float = 0.05,
    scale: tuple[float, float] = (0.9, 1.1),
    brightness: float = 0.0,
    contrast: float = 0.4,
    noise: float = 0.1,
    cutout: int = 0,
) -> Callable:
    """For small pictures of digits, letters and other signs: affine map, crop, contrast, cutout and noise, no flip.

    Args:
        shape: `(H, W, C)` of an image and of its views; values lie in [0, 1] and the background is 0.
        area: lowest and highest share of the image that a crop covers; (1.0, 1.0) for no crop.
        aspect: lowest and highest width / height of a crop.
        method: "bilinear" or "bicubic", how crops are resampled.
        rotate: largest angle, degrees.
        shear: largest angle of the shear, degrees.
        shift: largest move as a share of the sides.
        scale: lowest and highest factor of size.
        brightness: strength; the factor lies in [max(0, 1 - s), 1 + s].
        contrast: the same.
        noise: standard deviation of the Gaussian noise added last; views are not clipped after it.
        cutout: side of the square that is set to 0, pixels.

    Returns:
        `two_views(key, x) -> (x1, x2)` for one `x` of that shape.

    Raises:
        ValueError: an argument out of its range, or a shape that is no image's.
    """
    size = arguments.image_shape(shape)[:2]
    arguments.crop(area, aspect, method)
    arguments.interval("scale", scale, 0, float("inf"))
    arguments.not_negative(
        rotate=rotate, shear=shear, shift=shift, brightness=brightness, contrast=contrast, noise=noise
    )
    arguments.not_negative(cutout=cutout)
    if shear >= 90:
        raise ValueError(f"shear={shear}: an angle below 90 degrees")
    still = not (rotate or shear or shift) and tuple(scale) == (1, 1)

    def view(key, x):
        keys = jax.random.split(key, 5)
        if not still:
            x = geometry.random_affine(keys[0], x, rotate=rotate, shear=shear, shift=shift, scale=scale)
        if area[0] < 1:
            x = geometry.random_resized_crop(keys[1], x, size, area=area, aspect=aspect, method=method)
        x = colour.colour_jitter(keys[2], x, brightness=brightness, contrast=contrast)
        if cutout:
            x = filters.cutout(keys[3], x, cutout)
        return gaussian_noise(keys[4], x, noise) if noise else x

    return pair(shape, view, view)


def scarf(shape: Sequence[int], *, rate: float = 0.6) -> InBatch:
    """For rows of a table: the example itself, and a copy in which some features are those of other rows.

    Each feature is replaced with probability `rate`, independently of the others, by the same feature of a row of the
    batch drawn for it alone: a draw from the feature's marginal distribution. (The paper replaces exactly a share
    `rate` of the features.)

    Args:
        shape: of one example, whatever it is; every element is a feature.
        rate: probability that a feature is replaced.

    Returns:
        `InBatch((key, x, batch) -> (x, corrupted))`, `batch` `[B, *shape]`.

    Raises:
        ValueError: a rate outside [0, 1].

    Source: Bahri et al., "SCARF: self-supervised contrastive learning using random feature corruption", ICLR 2022.
    """
    arguments.probabilities(rate=rate)

    def two_views(key, x, batch):
        chex.assert_shape(x, tuple(shape))
        chex.assert_shape(batch, (None, *shape))
        which, where = jax.random.split(key)
        rows = jax.random.randint(where, (x.size,), 0, len(batch))
        others = jnp.asarray(batch).reshape(len(batch), -1)[rows, jnp.arange(x.size)].reshape(x.shape)
        return x, jnp.where(jax.random.bernoulli(which, rate, x.shape), others, x)

    return InBatch(two_views)


POLICIES = {"simclr": simclr, "moco_v2": moco_v2, "byol": byol, "glyphs": glyphs, "scarf": scarf}
