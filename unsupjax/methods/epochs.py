"""Epochs in a stream of batches: for methods that collect sums over all examples and then update once."""

import jax
import jax.numpy as jnp

from unsupjax.collectives import device_count


def divide(
    seen: jax.Array, rows: int, examples: int, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Which rows of a batch still belong to the current epoch.

    The stream has epochs of `examples` rows one after another, and a batch may hold the end of one and the beginning
    of the next.

    Args:
        seen: rows of the current epoch before this batch, int32, below `examples`.
        rows: B, of this device's share of the batch.
        examples: rows in an epoch; at least those of a global batch.
        axis_name: the mapped device axis.

    Returns:
        1 for rows of the current epoch and 0 for rows of the next, float32 `[B]`; whether the epoch ends within this
        batch; and `seen` after it.
    """
    devices = device_count(axis_name)
    if rows * devices > examples:
        raise ValueError(f"a batch of {rows * devices} rows is more than an epoch of {examples}")
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * rows
    now = seen + first + jnp.arange(rows) < examples
    after = seen + rows * devices
    return now.astype(jnp.float32), after >= examples, after % examples
