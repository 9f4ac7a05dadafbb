"""Learning to predict what a slowly moving teacher makes of another view: what BYOL and MoCo v3 have in common."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.augment import InBatch
from unsupjax.methods.base import Method, update
from unsupjax.methods.parts.stack import stack, subset
from unsupjax.methods.parts.teacher import copied, cosine_momentum, moved
from unsupjax.methods.parts.views import diagnose, health, two_views


class State(NamedTuple):
    """The state of BYOL and of MoCo v3.

    `params` and `stats` (of batch norm) hold "encoder", "projector" and "predictor", the teacher's the first two.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    stats: Any
    opt_state: optax.OptState
    teacher_params: Any
    teacher_stats: Any


def bootstrap(
    encoder: nn.Module,
    projector: nn.Module,
    predictor: nn.Module,
    tx: optax.GradientTransformation,
    pair_loss: Callable,
    *,
    augment: Callable | InBatch,
    total_steps: int,
    momentum: float,
    axis_name: str | None,
) -> Method:
    """A student with a predictor learns from a teacher, which is the moving average of the student.

    The teacher encodes both views in training mode, each view with batch statistics of its own; no gradient
    reaches it. After each optimizer update it moves towards the student; its momentum rises from `momentum` to 1 at
    the last step. Its running statistics are kept and used by nothing.

    Args:
        encoder, projector, predictor: Linen modules `module(x, train)`, `[B, ...] -> [B, H]`, `[B, H] -> [B, D]`
            and `[B, D] -> [B, D]`.
        tx: the optimizer.
        pair_loss: `(p1, z2, p2, z1) -> ([B], metrics)` of the predictions p and the teacher's projections z of
            both views.
        augment: `(key, example) -> (x1, x2)`.
        total_steps: of the run, micro-steps counted.
        momentum: of the teacher at the start.
        axis_name: the mapped device axis.

    Raises:
        ValueError: `momentum` is not in [0, 1].
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum={momentum} must lie in [0, 1]")
    networks = stack(encoder=encoder, projector=projector, predictor=predictor)

    def init(key, batch):
        params, stats = networks.init(key, batch)
        teacher = (copied(subset(tree, "encoder", "projector")) for tree in (params, stats))
        return State(jnp.zeros((), jnp.int32), key, params, stats, tx.init(params), *teacher)

    def step(state: State, x: jax.Array):
        x1, x2 = two_views(augment, jax.random.fold_in(state.key, state.step), x, axis_name)
        z1, teacher_stats = networks.forward(state.teacher_params, state.teacher_stats, x1)
        z2, teacher_stats = networks.forward(state.teacher_params, teacher_stats, x2)

        def loss(params):
            p1, stats = networks.forward(params, state.stats, x1)
            p2, stats = networks.forward(params, stats, x2)
            values, metrics = pair_loss(p1, z2, p2, z1)
            return values.mean(), (metrics | health(p1, z2, axis_name), stats)

        value, (metrics, stats), params, opt_state = update(
            loss, state.params, state.opt_state, tx, axis_name
        )
        tau = cosine_momentum(momentum, state.step, total_steps)
        teacher_params = moved(state.teacher_params, subset(params, "encoder", "projector"), tau, opt_state)
        state = State(state.step + 1, state.key, params, stats, opt_state, teacher_params, teacher_stats)
        return state, {"loss": value, "teacher_momentum": tau} | metrics

    def encode(state: State, x: jax.Array):
        return networks.features(state.params, state.stats, x)

    def views(key: jax.Array, x: jax.Array):
        return two_views(augment, key, x, None)

    return Method(init, step, encode, views=views, diagnose=diagnose)
