"""Learning from two views with one set of networks and one optimizer: what SimSiam, Barlow Twins and VICReg share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from unsupjax.augment import InBatch
from unsupjax.methods.base import Method, update
from unsupjax.methods.parts.stack import Stack
from unsupjax.methods.parts.views import diagnose, two_views


class State(NamedTuple):
    """The state; `params` and `stats` (of batch norm) have an entry for each network, "encoder" the first."""

    step: jax.Array
    key: jax.Array
    params: Any
    stats: Any
    opt_state: optax.OptState


def siamese(
    networks: Stack,
    tx: optax.GradientTransformation,
    compare: Callable,
    *,
    augment: Callable | InBatch,
    axis_name: str | None,
) -> Method:
    """Minimises what `compare` makes of two views of each example; represents by the first network.

    Args:
        networks: all networks that learn, the encoder first.
        tx: the optimizer.
        compare: `(params, stats, x1, x2) -> (scalar, (metrics, stats))`.
        augment: `(key, example) -> (x1, x2)`.
        axis_name: the mapped device axis.
    """

    def init(key, batch):
        params, stats = networks.init(key, batch)
        return State(jnp.zeros((), jnp.int32), key, params, stats, tx.init(params))

    def step(state: State, x: jax.Array):
        x1, x2 = two_views(augment, jax.random.fold_in(state.key, state.step), x, axis_name)

        def loss(params):
            return compare(params, state.stats, x1, x2)

        value, (metrics, stats), params, opt_state = update(
            loss, state.params, state.opt_state, tx, axis_name
        )
        return State(state.step + 1, state.key, params, stats, opt_state), {"loss": value} | metrics

    def encode(state: State, x: jax.Array):
        return networks.features(state.params, state.stats, x)

    def views(key: jax.Array, x: jax.Array):
        return two_views(augment, key, x, None)

    return Method(init, step, encode, views=views, diagnose=diagnose)
