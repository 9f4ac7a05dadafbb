"""Keys whose batch statistics betray nothing of the queries'."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unsupjax.methods.parts.stack import Stack
from unsupjax.parallel.collectives import all_gather, device_count, divided_like, example_ids, pmean

KEY_STATISTICS = ("shuffled", "split", "global")


def key_encoder(networks: Stack, statistics: str, groups: int, axis_name: str | None) -> Callable:
    """`(params, stats, x, key) -> (keys [B, D], stats)`: a teacher's forward pass in training mode.

    Args:
        networks: the teacher's modules.
        statistics: batch norm over "shuffled" groups of the global batch, "split" ones (neighbours) or all of it
            ("global").
        groups: how many; each lies on one device.
        axis_name: the mapped device axis.

    Raises:
        ValueError: no such statistics; when called, `groups` is no multiple of the number of devices.
    """
    if statistics not in KEY_STATISTICS:
        raise ValueError(f"key_statistics={statistics!r}; one of {', '.join(KEY_STATISTICS)}")
    if groups < 1:
        raise ValueError(f"key_groups={groups} must be at least 1")

    def in_groups(params: Any, stats: Any, x: jax.Array):
        devices = device_count(axis_name)
        if groups % devices:
            raise ValueError(f"key_groups={groups} is no multiple of the {devices} devices")
        parts = x.reshape(groups // devices, -1, *x.shape[1:])
        keys, moved = jax.vmap(networks.local, in_axes=(None, None, 0))(params, stats, parts)
        moved = pmean(jax.tree.map(lambda s: s.mean(axis=0), moved), axis_name)
        return keys.reshape(x.shape[0], -1), moved

    def shuffled(params: Any, stats: Any, x: jax.Array, key: jax.Array):
        order = jax.random.permutation(key, x.shape[0] * device_count(axis_name))
        own = example_ids(x.shape[0], axis_name)
        permuted = all_gather(x, axis_name)[order[own]]
        # Under `jit` nothing tells whose the permuted rows are: every device would encode all of them.
        keys, stats = in_groups(params, stats, divided_like(permuted, x, axis_name))
        # Row i of the shuffled batch is example order[i]: example j's key is in row argsort(order)[j].
        return all_gather(keys, axis_name)[jnp.argsort(order)[own]], stats

    return {
        "shuffled": shuffled,
        "split": lambda params, stats, x, key: in_groups(params, stats, x),
        "global": lambda params, stats, x, key: networks.forward(params, stats, x),
    }[statistics]
