"""What networks of a GAN for images share: their sizes, and pixels in [0, 1] outside and [-1, 1] inside."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.layers import require_images

STARTS = (4, 5, 6, 7)


def doublings(shape: Sequence[int]) -> int:
    """How often a small image is doubled: k of sides s 2^k, of which the shorter has an s of 4 to 7.

    Args:
        shape: of one image, (H, W, C).

    Raises:
        ValueError: sides that cannot be made so.
    """
    if len(shape) != 3:
        raise ValueError(
            f"this network is of images [H, W, C] and got shape {tuple(shape)}; for vectors there is `mlp`"
        )
    shorter = min(shape[:2])
    k = max((shorter // STARTS[0]).bit_length() - 1, 0)
    if not k or any(side % 2**k for side in shape[:2]):
        raise ValueError(
            f"images of {shape[0]} x {shape[1]} cannot be made: sides are 4, 5, 6 or 7 doubled at least once, "
            "as 8, 16, 28, 32, 48, 64; the longer may be any number doubled as often"
        )
    return k


def start(shape: Sequence[int]) -> tuple[int, int]:
    """The sides of the small image that `doublings` doubles."""
    k = doublings(shape)
    return shape[0] >> k, shape[1] >> k


def leaky(x: jax.Array) -> jax.Array:
    """Leaky relu of slope 0.2, the one of discriminators."""
    return nn.leaky_relu(x, 0.2)


def to_unit(x: jax.Array) -> jax.Array:
    """A generator's end: float32 pixels in [0, 1]."""
    return (jnp.tanh(x.astype(jnp.float32)) + 1) / 2


def from_unit(x: jax.Array, name: str) -> jax.Array:
    """A discriminator's beginning: pixels of images [B, H, W, C] in [-1, 1]; ValueError of anything else."""
    require_images(x, name)
    return 2 * x - 1
