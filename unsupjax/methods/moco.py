"""MoCo: queries of a trained encoder find their keys, made by a slowly moving teacher, among many others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method, update
from unsupjax.methods.parts.keys import key_encoder
from unsupjax.methods.parts.stack import stack
from unsupjax.methods.parts.teacher import copied, moved
from unsupjax.methods.parts.views import diagnose, health, two_views
from unsupjax.parallel.collectives import all_gather


class State(NamedTuple):
    """The state of MoCo: `params` and `stats` (of batch norm) hold "encoder" and "projector", the teacher's too.

    `queue` holds the `[K, D]` latest keys, of unit length, the oldest at row `step * (rows a step) % K`.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    stats: Any
    opt_state: optax.OptState
    teacher_params: Any
    teacher_stats: Any
    queue: jax.Array


def moco(
    encoder: nn.Module,
    projector: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    queue_size: int = 4096,
    temperature: float = 0.1,
    momentum: float = 0.99,
    symmetric: bool = True,
    key_statistics: str = "dealt",
    key_groups: int = 8,
    examples: int | None = None,
    axis_name: str | None = None,
) -> Method:
    """MoCo v2: minimises `losses.moco` of queries against their keys and a queue of earlier keys.

    A step computes its logits before its keys join the queue, so that no key is a negative of the view it was
    made from. The teacher makes the keys in training mode without gradient, and moves once after each optimizer
    update. Batch norm would let a query find its key by the statistics that both were normalised with: the keys'
    are those of small groups instead. With accumulated gradients every micro-step's keys join the queue.

    Args:
        encoder, projector: Linen modules `module(x, train)`, `[B, ...] -> [B, H]` and `[B, H] -> [B, D]`.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        queue_size: K, keys in the queue; a multiple of those a step adds: the global batch, or twice that where
            symmetric.
        temperature: of the softmax over cosine similarities.
        momentum: of the teacher, in [0, 1]; 0.999 for long runs.
        symmetric: the mean loss of q(x1) with k(x2) and q(x2) with k(x1), both against the same queue; else the
            first alone, in half the time.
        key_statistics: batch norm of keys over groups of the global batch: "dealt", of which the first has the first
            example, the second the second, and so on in turn (of a batch in random order as random as a shuffle, and
            devices exchange their shares alone); "shuffled" anew each step (every device sees all pictures); "split",
            neighbours; or over the whole batch as that of queries ("global").
        key_groups: groups of the global batch; a multiple of the number of devices that divides the batch. Where a
            device's share is no multiple of it, dealing gathers as shuffling does.
        examples: of the training split, where known: a queue with more keys would hold earlier keys of the very
            examples that it is compared with.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the features of the query (trained) encoder, batch norm in evaluation mode.

    Raises:
        ValueError: `momentum` is not in [0, 1], `key_statistics` is unknown, the queue is longer than an epoch; at
            `init`, where the queue or the groups do not fit the batch.

    Source: Chen et al., "Improved baselines with momentum contrastive learning", 2020; He et al., "Momentum contrast
    for unsupervised visual representation learning", CVPR 2020.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum={momentum} must lie in [0, 1]")
    if examples is not None and queue_size > examples * (1 + symmetric):
        raise ValueError(
            f"queue_size={queue_size} is more than the {examples * (1 + symmetric)} keys of an epoch: every example "
            "would meet its own earlier key as a negative; lower it"
        )
    networks = stack(encoder=encoder, projector=projector)
    encode_keys = key_encoder(networks, key_statistics, key_groups, axis_name)

    def init(key, batch):
        rows = batch.shape[0] * (1 + symmetric)
        if queue_size % rows:
            near = max(queue_size // rows, 1) * rows
            raise ValueError(
                f"queue_size={queue_size} is no multiple of the {rows} keys of a step; choose {near}"
            )
        if key_statistics != "global" and batch.shape[0] % key_groups:
            raise ValueError(f"key_groups={key_groups} does not divide the batch of {batch.shape[0]}")
        network_key, queue_key = jax.random.split(key)
        params, stats = networks.init(network_key, batch)
        width = jax.eval_shape(networks.local, params, stats, batch)[0].shape[1]
        queue = losses.normalize(jax.random.normal(queue_key, (queue_size, width)))
        step = jnp.zeros((), jnp.int32)
        return State(step, key, params, stats, tx.init(params), copied(params), copied(stats), queue)

    def step(state: State, x: jax.Array):
        views_key, shuffle_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        x1, x2 = two_views(augment, views_key, x, axis_name)
        pairs = [(x1, x2), (x2, x1)] if symmetric else [(x1, x2)]
        keys, teacher_stats = [], state.teacher_stats
        for i, (_, other) in enumerate(pairs):
            order = jax.random.fold_in(shuffle_key, i)
            k, teacher_stats = encode_keys(state.teacher_params, teacher_stats, other, order)
            keys.append(losses.normalize(k))

        def loss(params):
            stats, values, hits = state.stats, [], []
            for (view, _), k in zip(pairs, keys, strict=True):
                q, stats = networks.forward(params, stats, view)
                values.append(losses.moco(q, k, state.queue, temperature=temperature).mean())
                hits.append(losses.contrastive_accuracy(q, k, negatives=state.queue).mean())
            metrics = {"contrastive_accuracy": sum(hits) / len(hits)} | health(q, keys[-1], axis_name)
            return sum(values) / len(values), (metrics, stats)

        value, (metrics, stats), params, opt_state = update(
            loss, state.params, state.opt_state, tx, axis_name
        )
        added = jnp.concatenate([all_gather(k, axis_name) for k in keys])
        state = State(
            step=state.step + 1,
            key=state.key,
            params=params,
            stats=stats,
            opt_state=opt_state,
            teacher_params=moved(state.teacher_params, params, momentum, opt_state),
            teacher_stats=teacher_stats,
            queue=enqueued(state.queue, added, state.step),
        )
        return state, {"loss": value} | metrics

    def encode(state: State, x: jax.Array):
        return networks.features(state.params, state.stats, x)

    def views(key: jax.Array, x: jax.Array):
        return two_views(augment, key, x, None)

    return Method(init, step, encode, views=views, diagnose=diagnose)


def enqueued(queue: jax.Array, keys: jax.Array, step: jax.Array) -> jax.Array:
    """The queue `[K, D]` with the oldest rows replaced by `keys` `[R, D]`; R divides K, and every step adds R."""
    start = step % (queue.shape[0] // keys.shape[0]) * keys.shape[0]
    return jax.lax.dynamic_update_slice_in_dim(queue, keys, start, axis=0)
