"""SimCLR: two views of an example agree, and disagree with all others of the batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method, update
from unsupjax.methods.parts.stack import stack
from unsupjax.methods.parts.views import diagnose, health, two_views
from unsupjax.parallel.collectives import interleaved, parted


class State(NamedTuple):
    """The state of SimCLR; `params` and `stats` (of batch norm) hold "encoder" and "projector"."""

    step: jax.Array
    key: jax.Array
    params: Any
    stats: Any
    opt_state: optax.OptState


def simclr(
    encoder: nn.Module,
    projector: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    temperature: float = 0.2,
    chunk_size: int = 0,
    axis_name: str | None = None,
) -> Method:
    """Minimises `losses.nt_xent` of the projections of two views; represents by the encoder.

    Both views go through the networks as one batch of 2B, so that batch norm sees them together, over all devices.
    With accumulated gradients the negatives of an example are those of its own micro-batch of B.

    Args:
        encoder, projector: Linen modules `module(x, train)`, `[B, ...] -> [B, H]` and `[B, H] -> [B, D]`.
        tx: the optimizer.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        temperature: of the softmax over cosine similarities; 0.1 to 0.5.
        chunk_size: rows of similarities held at once, for batches of many thousands; 0: all of them.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `encode` gives the encoder's features, batch norm in evaluation mode.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
    """
    networks = stack(encoder=encoder, projector=projector)
    options = {"axis_name": axis_name, "chunk_size": chunk_size or None}

    def init(key, batch):
        params, stats = networks.init(key, batch)
        return State(jnp.zeros((), jnp.int32), key, params, stats, tx.init(params))

    def step(state: State, x: jax.Array):
        x1, x2 = two_views(augment, jax.random.fold_in(state.key, state.step), x, axis_name)

        def loss(params):
            z, stats = networks.forward(params, state.stats, interleaved(x1, x2))
            z1, z2 = parted(z)
            accuracy = losses.nt_xent_accuracy(z1, z2, **options).mean()
            metrics = {"contrastive_accuracy": accuracy} | health(z1, z2, axis_name)
            return losses.nt_xent(z1, z2, temperature=temperature, **options).mean(), (metrics, stats)

        value, (metrics, stats), params, opt_state = update(
            loss, state.params, state.opt_state, tx, axis_name
        )
        state = state._replace(step=state.step + 1, params=params, stats=stats, opt_state=opt_state)
        return state, {"loss": value} | metrics

    def encode(state: State, x: jax.Array):
        return networks.features(state.params, state.stats, x)

    def views(key: jax.Array, x: jax.Array):
        return two_views(augment, key, x, None)

    return Method(init, step, encode, views=views, diagnose=diagnose)
