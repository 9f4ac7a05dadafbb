"""What forecasts of the last step of a window share."""

import jax
import jax.numpy as jnp

_LEAST = 1e-2  # of a channel's spread: what never moved in training is not infinitely strange when it does


def last_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """(W - 1, C) of windows `(W, C)`; ValueError where nothing is before the last step, or for other examples."""
    if len(shape) != 2:
        raise ValueError(f"it takes windows of time [W, C], and examples have the shape {shape}")
    if shape[0] < 2:
        raise ValueError(
            "a window of one step has nothing to forecast from; choose a longer config.data.window"
        )
    return shape[0] - 1, shape[1]


def calibrated(error: jax.Array, spread: jax.Array, limit: float) -> jax.Array:
    """Errors `[B, C]` of the last step over their usual size `[C]`, at most `limit`: `[B, 1, C]`."""
    return jnp.minimum(jnp.abs(error) / (spread + _LEAST)[None], limit)[:, None]
