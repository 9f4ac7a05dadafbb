"""Collectives over a named device axis, each the identity (or the local answer) where `axis_name` is None.

Under `jit` with sharded arrays the program sees the global batch and the compiler inserts the communication:
`axis_name=None`. Under `pmap` and `shard_map` the program sees one device's share: `axis_name="data"`.
"""

import jax
import jax.numpy as jnp


def pmean(x, axis_name: str | None):
    """Mean of every leaf of `x` over the devices of `axis_name`."""
    return x if axis_name is None else jax.lax.pmean(x, axis_name)


def example_ids(n: int, axis_name: str | None) -> jax.Array:
    """The index in the global batch of each of `n` local examples, int32 `[n]`: `d * n + i` of row i on device d."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return (first + jnp.arange(n)).astype(jnp.int32)


def example_keys(key: jax.Array, n: int, axis_name: str | None) -> jax.Array:
    """One key for each of the `n` local examples, `[n]`.

    Example i of the global batch gets `fold_in(key, i)` however the batch is divided, so that random draws do
    not depend on the number of devices.
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(key, example_ids(n, axis_name))


def psum(x, axis_name: str | None):
    """Sum of every leaf of `x` over the devices of `axis_name`."""
    return x if axis_name is None else jax.lax.psum(x, axis_name)


def all_gather(x: jax.Array, axis_name: str | None) -> jax.Array:
    """The rows of every device, `[devices * B, ...]`, the same on all of them; constants, without a gradient."""
    if axis_name is None:
        return x
    return jax.lax.all_gather(jax.lax.stop_gradient(x), axis_name, tiled=True, to="invarying")


def gather_rows(x: jax.Array, axis_name: str | None) -> jax.Array:
    """The rows of every device, `[devices * B, ...]`, with a gradient: what all devices make of a row is summed.

    Its transpose is a reduce-scatter. Before jax 0.12, that of `all_gather` keeps a device's own share alone wherever
    types do not tell devices apart (under `pmap` and unchecked `shard_map`), silently: hence two functions.
    """
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def exchange(x: jax.Array, axis_name: str | None, back: bool = False) -> jax.Array:
    """`[G, B, ...]` of every device, their G rows divided over the n devices: `[G / n, n B, ...]`, or `back` again."""
    if axis_name is None:
        return x
    return jax.lax.all_to_all(x, axis_name, int(back), int(not back), tiled=True)


def divided_like(x: jax.Array, batch: jax.Array, axis_name: str | None) -> jax.Array:
    """`x` `[B, ...]`, its rows divided over devices as those of `batch` `[B, ...]` are; values stay what they are.

    For arrays that come from no divided input, as random draws do not: under `jit` the compiler would have every
    device compute the whole of what follows from them.
    """
    if axis_name is not None or jax.device_count() == 1:
        return x
    rows = batch.reshape(len(batch), -1)[:, 0].reshape(-1, *[1] * (x.ndim - 1))
    # A choice that is never made: sharding passes through it from `batch` to `x`. The barrier hides from the compiler
    # that it is none; else it may go before shardings are chosen.
    never = jax.lax.optimization_barrier(jnp.zeros((), bool))
    return jnp.where(never, jnp.broadcast_to(rows, x.shape).astype(x.dtype), x)


def interleaved(a: jax.Array, b: jax.Array) -> jax.Array:
    """The rows of two arrays `[B, ...]` in turn, `[2B, ...]`: a's i-th is row 2 i, b's is row 2 i + 1.

    Rows thus stay on the device that has them. One array after the other would lie elsewhere, and move under `jit`.
    """
    return jnp.stack([a, b], axis=1).reshape(2 * len(a), *a.shape[1:])


def parted(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two arrays that were `interleaved`."""
    pairs = x.reshape(len(x) // 2, 2, *x.shape[1:])
    return pairs[:, 0], pairs[:, 1]


def device_count(axis_name: str | None) -> int:
    """How many devices `axis_name` has."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)
