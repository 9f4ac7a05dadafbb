r"""DiffAugment: changes that a discriminator sees both real and generated images through, with gradients.

The paper's images lie in [-1, 1] and ours, x, in [0, 1]: each operation T here is the paper's P in our range,
:math:`T(x) = \frac12 (P(2x - 1) + 1)`. So shifts of brightness are half as large, factors are the same, and the paper's
0, which fills what translation and cutout leave empty, is 1/2. Nothing is clipped: that would stop gradients.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp

_GREY = 0.5  # the paper's 0


def colour(key: jax.Array, image: jax.Array) -> jax.Array:
    r"""Brightness, then saturation, then contrast.

    With three :math:`u \sim U(0, 1)`: add :math:`\frac12 (u_1 - \frac12)`; scale the difference from the mean of
    each pixel's channels by :math:`2 u_2` (which leaves images of 1 channel as they are); scale the difference from
    the mean of the image by :math:`\frac12 + u_3`.
    """
    u = jax.random.uniform(key, (3,))
    image = image + (u[0] - 0.5) / 2
    grey = image.mean(axis=2, keepdims=True)
    image = grey + 2 * u[1] * (image - grey)
    mean = image.mean(keepdims=True)
    return mean + (0.5 + u[2]) * (image - mean)


def translation(key: jax.Array, image: jax.Array) -> jax.Array:
    """Moves by whole pixels, each number up to 1/8 of the side (rounded down) as likely; what enters is grey."""
    limits = [n // 8 for n in image.shape[:2]]
    padded = jnp.pad(image, [*((n, n) for n in limits), (0, 0)], constant_values=_GREY)
    top, left = jax.random.randint(key, (2,), 0, 2 * jnp.array(limits) + 1)
    return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)


def cutout(key: jax.Array, image: jax.Array) -> jax.Array:
    """Greys a rectangle of half the sides (rounded down) around a uniform centre; parts may lie outside."""
    sides = image.shape[:2]
    sizes = [n // 2 for n in sides]
    # A square of even side has its centre between pixels, where there is one place more.
    places = [n + 1 - size % 2 for n, size in zip(sides, sizes, strict=True)]
    centres = jax.random.randint(key, (2,), 0, jnp.array(places))

    def covered(axis):
        first = centres[axis] - sizes[axis] // 2
        pixels = jnp.arange(sides[axis])
        return (pixels >= first) & (pixels < first + sizes[axis])

    return jnp.where(covered(0)[:, None, None] & covered(1)[None, :, None], _GREY, image)


DIFF_AUGMENTS: dict[str, Callable] = {"colour": colour, "translation": translation, "cutout": cutout}


def check_ops(ops: Sequence[str]) -> None:
    """ValueError for an operation that is not in `DIFF_AUGMENTS`."""
    unknown = [op for op in ops if op not in DIFF_AUGMENTS]
    if unknown:
        raise ValueError(f"unknown operation {unknown[0]!r}; choose from {', '.join(DIFF_AUGMENTS)}")


def diff_augment(key: jax.Array, image: jax.Array, ops: Sequence[str]) -> jax.Array:
    """Applies operations in the order given, each with draws of its own; differentiable in the image.

    A generator can learn from them without its samples showing them only if real images and samples pass through the
    same operations, in the discriminator's update and in the generator's.

    Args:
        key: random key, one for each image.
        image: `[H, W, C]`, any number of channels, values in [0, 1].
        ops: of "colour", "translation" and "cutout"; the paper's order is this one. Empty: no change.

    Returns:
        `[H, W, C]` float32; "colour" may leave [0, 1].

    Raises:
        ValueError: an unknown operation.

    Source: Zhao et al., "Differentiable augmentation for data-efficient GAN training", NeurIPS 2020.
    """
    check_ops(ops)
    chex.assert_rank(image, 3)
    image = image.astype(jnp.float32)
    for op, k in zip(ops, jax.random.split(key, max(1, len(ops))), strict=False):
        image = DIFF_AUGMENTS[op](k, image)
    return image
