"""Keys whose batch statistics betray nothing of the queries'."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unsupjax.methods.parts.stack import Stack
from unsupjax.parallel.collectives import device_count, divided_like, example_ids, exchanged, pmean

KEY_STATISTICS = ("shuffled", "split", "global")


def key_encoder(networks: Stack, statistics: str, groups: int, axis_name: str | None) -> Callable:
    """`(params, stats, x, key) -> (keys [B, D], stats)`: a teacher's forward pass in training mode.

    Args:
        networks: the teacher's modules.
        statistics: batch norm over "shuffled" groups of the global batch, "split" ones (neighbours) or all of it
            ("global"). To be shuffled, each group is put in random order and dealt out to all groups; under `pmap` and
            `shard_map` a device sends a group no more than its share, under `jit` it gathers all rows.
        groups: how many; each lies on one device.
        axis_name: the mapped device axis.

    Raises:
        ValueError: no such statistics; when called, `groups` is no multiple of the number of devices.
    """
    if statistics not in KEY_STATISTICS:
        raise ValueError(f"key_statistics={statistics!r}; one of {', '.join(KEY_STATISTICS)}")
    if groups < 1:
        raise ValueError(f"key_groups={groups} must be at least 1")

    def divided(x: jax.Array) -> jax.Array:
        devices = device_count(axis_name)
        if groups % devices:
            raise ValueError(f"key_groups={groups} is no multiple of the {devices} devices")
        return x.reshape(groups // devices, -1, *x.shape[1:])

    def in_groups(params: Any, stats: Any, x: jax.Array):
        parts = divided(x)
        keys, moved = jax.vmap(networks.local, in_axes=(None, None, 0))(params, stats, parts)
        moved = pmean(jax.tree.map(lambda s: s.mean(axis=0), moved), axis_name)
        return keys.reshape(x.shape[0], -1), moved

    def shuffled(params: Any, stats: Any, x: jax.Array, key: jax.Array):
        parts = divided(x)
        draw = lambda group: jax.random.permutation(jax.random.fold_in(key, group), parts.shape[1])
        order = jax.vmap(draw)(example_ids(len(parts), axis_name))
        if axis_name is None:  # the compiler would add up all rows, were they exchanged: it gathers them
            ids = jnp.arange(len(x)).reshape(*order.shape, 1)
            where = dealt(_picked(ids, order), groups, 1, None).ravel()
            # Nothing tells whose the permuted rows are: every device would encode all of them.
            keys, stats = in_groups(params, stats, divided_like(x[where], x, None))
            return keys[jnp.argsort(where)], stats
        flat = parts.reshape(*parts.shape[:2], -1)
        there = dealt(_picked(flat, order), groups, 1, axis_name).reshape(x.shape)
        keys, stats = in_groups(params, stats, there)
        back = dealt(divided(keys), groups, -1, axis_name)
        return _picked(back, jnp.argsort(order, axis=1)).reshape(keys.shape), stats

    return {
        "shuffled": shuffled,
        "split": lambda params, stats, x, key: in_groups(params, stats, x),
        "global": lambda params, stats, x, key: networks.forward(params, stats, x),
    }[statistics]


def _picked(x: jax.Array, index: jax.Array) -> jax.Array:
    """Of each group `[G, rows, D]` the rows of its own index, `[G, n]`."""
    return jnp.take_along_axis(x, index[..., None], axis=1, mode="promise_in_bounds")


def dealt(x: jax.Array, groups: int, direction: int, axis_name: str | None) -> jax.Array:
    """Row r of group g goes to row r of group `(g + direction * r) % groups`; `-direction` takes it back.

    Args:
        x: the groups of this device, `[groups / devices, rows, D]`.
        groups: of all devices.
        direction: 1 or -1.
        axis_name: the mapped device axis.

    Returns:
        `[groups / devices, rows, D]`; what devices send each other are rows for the receiver alone.
    """
    own, rows = x.shape[:2]
    group, row, places = example_ids(own, axis_name), jnp.arange(rows), jnp.arange(-(-rows // groups))
    # Of group g for group h: rows r, r + groups, ..., of which the first is direction * (h - g) modulo groups.
    first = direction * (jnp.arange(groups)[None] - group[:, None]) % groups
    sent = jnp.minimum(first[..., None] + groups * places[None, None], rows - 1)
    blocks = _picked(x, sent.reshape(own, -1)).reshape(own, groups, len(places), -1)
    got = exchanged(blocks, axis_name).reshape(own, groups * len(places), -1)
    sender = (group[:, None] - direction * row[None]) % groups
    return _picked(got, sender * len(places) + row[None] // groups)
