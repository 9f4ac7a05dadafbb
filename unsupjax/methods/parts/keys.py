"""Keys whose batch statistics betray nothing of the queries'."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unsupjax.methods.parts.stack import Stack
from unsupjax.parallel.collectives import all_gather, device_count, divided_like, example_ids, exchange, pmean

KEY_STATISTICS = ("dealt", "shuffled", "split", "global")


def key_encoder(networks: Stack, statistics: str, groups: int, axis_name: str | None) -> Callable:
    """`(params, stats, x, key) -> (keys [B, D], stats)`: a teacher's forward pass in training mode.

    Args:
        networks: the teacher's modules.
        statistics: batch norm over groups of the global batch, "dealt" (of G groups, each has every G-th example),
            "shuffled", "split" (neighbours), or over all of it ("global").
        groups: how many; each lies on one device.
        axis_name: the mapped device axis.

    Raises:
        ValueError: no such statistics; when called, `groups` is no multiple of the number of devices.
    """
    if statistics not in KEY_STATISTICS:
        raise ValueError(f"key_statistics={statistics!r}; one of {', '.join(KEY_STATISTICS)}")
    if groups < 1:
        raise ValueError(f"key_groups={groups} must be at least 1")

    def own_groups() -> int:
        devices = device_count(axis_name)
        if groups % devices:
            raise ValueError(f"key_groups={groups} is no multiple of the {devices} devices")
        return groups // devices

    def in_groups(params: Any, stats: Any, x: jax.Array):
        parts = x.reshape(own_groups(), -1, *x.shape[1:])
        keys, moved = jax.vmap(networks.local, in_axes=(None, None, 0))(params, stats, parts)
        moved = pmean(jax.tree.map(lambda s: s.mean(axis=0), moved), axis_name)
        return keys.reshape(x.shape[0], -1), moved

    def in_order(params: Any, stats: Any, x: jax.Array, order: jax.Array):
        """Row i of what is encoded is example order[i] of the global batch, which every device sees all of."""
        own = example_ids(x.shape[0], axis_name)
        permuted = all_gather(x, axis_name)[order[own]]
        # Under `jit` nothing tells whose the permuted rows are: every device would encode all of them.
        keys, stats = in_groups(params, stats, divided_like(permuted, x, axis_name))
        return all_gather(keys, axis_name)[
            jnp.argsort(order)[own]
        ], stats  # example j's is in row argsort(order)[j]

    def shuffled(params: Any, stats: Any, x: jax.Array, key: jax.Array):
        return in_order(params, stats, x, jax.random.permutation(key, x.shape[0] * device_count(axis_name)))

    def dealt(params: Any, stats: Any, x: jax.Array, key: jax.Array):
        own_groups()  # what does not fit is refused before it is exchanged
        n = x.shape[0]
        if n % groups:  # a device has not one example of each
            order = jnp.arange(n * device_count(axis_name)).reshape(-1, groups).T.reshape(-1)
            return in_order(params, stats, x, order)
        # Under `jit` no picture moves: the compiler adds up the moments of a group where its examples lie.
        hands = jnp.swapaxes(x.reshape(n // groups, groups, *x.shape[1:]), 0, 1)
        hands = exchange(hands, axis_name)
        keys, stats = in_groups(params, stats, hands.reshape(x.shape))
        keys = exchange(keys.reshape(*hands.shape[:2], -1), axis_name, back=True)
        return jnp.swapaxes(keys, 0, 1).reshape(n, -1), stats

    return {
        "dealt": dealt,
        "shuffled": shuffled,
        "split": lambda params, stats, x, key: in_groups(params, stats, x),
        "global": lambda params, stats, x, key: networks.forward(params, stats, x),
    }[statistics]
