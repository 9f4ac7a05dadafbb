"""Where a batch lies in the stream of shuffled epochs: for methods that do something at the end of an epoch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from unsupjax.parallel.collectives import device_count


class Place(NamedTuple):
    """Where a batch lies; it may hold the end of one epoch and the beginning of the next.

    Attributes:
        epoch: of the batch's first example.
        last: the epoch of its last example, which is `epoch` or the next.
        ends: the last example of `epoch` is in the batch.
        epochs: `[B]`, the epoch of each example of the global batch.
        slots: `[B]`, its position within that epoch.
        following: the epoch of the next batch's first example.
        seen: that example's position within it.
    """

    epoch: jax.Array
    last: jax.Array
    ends: jax.Array
    epochs: jax.Array
    slots: jax.Array
    following: jax.Array
    seen: jax.Array


def place(epoch: jax.Array, seen: jax.Array, rows: int, examples: int, axis_name: str | None) -> Place:
    """The `Place` of a batch whose first example is example `seen` of `epoch`.

    Both are State fields, and not computed from the step: step times batch size overflows in long runs.

    Args:
        epoch, seen: int32 scalars.
        rows: of this device's share of the batch.
        examples: in an epoch.
        axis_name: the mapped device axis.

    Raises:
        ValueError: the global batch is larger than an epoch.
    """
    batch = rows * device_count(axis_name)
    if batch > examples:
        raise ValueError(f"a batch of {batch} examples is more than an epoch of {examples}")
    positions = seen + jnp.arange(batch)
    epochs = epoch + positions // examples
    after = seen + batch
    following, seen = epoch + after // examples, after % examples
    return Place(epoch, epochs[-1], after >= examples, epochs, positions % examples, following, seen)


def of_epoch(at: Place, rows: int, axis_name: str | None) -> jax.Array:
    """1 for this device's rows that belong to `at.epoch`, 0 for those of the next: float32 `[rows]`."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * rows
    mine = jax.lax.dynamic_slice_in_dim(at.epochs, first, rows)
    return (mine == at.epoch).astype(jnp.float32)
