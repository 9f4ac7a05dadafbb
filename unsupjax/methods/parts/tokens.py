"""What methods of texts share: the two tokens that no text holds, and which tokens see each other."""

from typing import Any

import jax
import jax.numpy as jnp

PAD, START = 0, 1  # as `unsupjax.data.tokenizers` has them


def segments(x: jax.Array) -> jax.Array:
    """Which document of its row each token is of, int32 `[B, L]`; a row that begins amid one begins with the 0th.

    Padding is of none, -1.
    """
    return jnp.where(x == PAD, -1, jnp.cumsum(x == START, axis=1, dtype=jnp.int32))


def mean_of_real(hidden: jax.Array, x: jax.Array) -> jax.Array:
    """The mean of hidden states `[B, L, W]` over the tokens `[B, L]` that are no padding; 0 of an empty row."""
    real = (x != PAD)[..., None]
    return jnp.where(real, hidden, 0).sum(1) / jnp.maximum(real.sum(1), 1)


def vocabulary_of(network: Any) -> int:
    """V of a network over tokens; ValueError for one that is none."""
    size = getattr(network, "vocabulary", None)
    if size is None:
        raise ValueError(
            f"{type(network).__name__} is here no network over tokens: take texts and network.name='transformer'"
        )
    return size
