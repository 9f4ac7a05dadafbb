"""Collectives over a named device axis, each the identity (or the local answer) where `axis_name` is None.

Under `jit` with sharded arrays the program sees the global batch and the compiler inserts the communication:
`axis_name=None`. Under `pmap` and `shard_map` the program sees one device's share: `axis_name="data"`.
"""

import jax
import jax.numpy as jnp


def pmean(x, axis_name: str | None):
    """Mean of every leaf of `x` over the devices of `axis_name`."""
    return x if axis_name is None else jax.lax.pmean(x, axis_name)


def example_keys(key: jax.Array, n: int, axis_name: str | None) -> jax.Array:
    """One key for each of the `n` local examples, `[n]`.

    Example i of the global batch gets `fold_in(key, i)` however the batch is divided, so that random draws do
    not depend on the number of devices. Local example i of device d is global example `d * n + i`.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(n))
