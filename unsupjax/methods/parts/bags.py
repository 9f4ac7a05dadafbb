"""Rows of items inside a compiled step: dense there, and nowhere else."""

import jax
import jax.numpy as jnp


def dense(x: jax.Array, size: int) -> jax.Array:
    """How often each row has each of `size` items, float32 `[B, V]`.

    Args:
        x: int32 `[B, L]`, item numbers + 1, 0 is padding; or `[B, L, 2]`, pairs of these with counts.
        size: V.
    """
    items, counts = (x[..., 0], x[..., 1].astype(jnp.float32)) if x.ndim == 3 else (x, None)

    def row(items, counts):
        # What is padding goes to a column that is left out.
        return jnp.zeros(size + 1).at[items].add(counts)[1:]

    return jax.vmap(row, (0, None if counts is None else 0))(items, 1.0 if counts is None else counts)


def unit_rows(x: jax.Array) -> jax.Array:
    """Rows `[B, D]` of length 1; those of zeros stay."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)
