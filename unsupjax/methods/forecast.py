"""A forecast by a network."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts.forecasts import calibrated, last_of


class ForecastState(NamedTuple):
    """The state of a forecast.

    Attributes:
        step, key: as of every method.
        params, opt_state: of the network and its last layer.
        variance: the mean squared error of each channel, a moving mean over steps, float32 `[C]`.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState
    variance: jax.Array


def forecast(
    encoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    delta: float = 1.0,
    limit: float = 20.0,
    memory: float = 0.99,
    shape: tuple[int, ...],
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""The last step of a window, all channels, from the steps before, less the step just before it.

    The network gives features, a linear layer that starts at zero the change: the forecast begins as "nothing
    changes". The loss is Huber's of the error :math:`\hat y - y`, quadratic up to `delta` deviations of a channel.

    `surprise` gives `[B, 1, C]`, the absolute error of each channel's last step over its root mean square in training;
    `encode` the features.

    Args:
        encoder: `[B, W - 1, C] -> [B, H]`.
        tx: the optimizer.
        delta: of Huber's loss.
        limit: values, in deviations from a channel's mean, and errors in theirs, are brought into [-limit, limit].
        memory: of the moving mean of squared errors, a step.
        shape: (W, C), of a window.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the last layer; the encoder carries its own.

    Raises:
        ValueError: an argument out of its range, or windows of one step.
    """
    if delta <= 0 or limit <= 0 or not 0 <= memory < 1:
        raise ValueError(f"{delta=} and {limit=} must be above 0, and {memory=} in [0, 1)")
    _, channels = last_of(shape)
    head = nn.Dense(channels, kernel_init=nn.initializers.zeros, dtype=dtype)

    def features(params, x):
        return encoder.apply({"params": params["encoder"]}, jnp.clip(x, -limit, limit)[:, :-1])

    def error(params, x):
        x = jnp.clip(x, -limit, limit)
        change = head.apply({"params": params["head"]}, features(params, x)).astype(jnp.float32)
        return x[:, -2] + change - x[:, -1]

    def init(key, batch):
        of_encoder, of_head = jax.random.split(jax.random.fold_in(key, 0))
        variables = encoder.init(of_encoder, batch[:, :-1])
        if extra := set(variables) - {"params"}:
            raise ValueError(f"the encoder keeps {sorted(extra)}, and it may hold parameters only")
        body = variables.get("params", {})
        h = jax.eval_shape(lambda p: encoder.apply({"params": p}, batch[:, :-1]), body)
        params = {"encoder": body, "head": head.init(of_head, jnp.zeros(h.shape, h.dtype))["params"]}
        return ForecastState(jnp.zeros((), jnp.int32), key, params, tx.init(params), jnp.ones(channels))

    def step(state: ForecastState, x: jax.Array):
        def loss(params):
            e = error(params, x)
            return optax.losses.huber_loss(e, delta=delta).sum(axis=1).mean(), jnp.square(e).mean(axis=0)

        value, squares, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        kept = jnp.minimum(memory, state.step / (state.step + 1.0))
        variance = kept * state.variance + (1 - kept) * squares
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state, variance=variance)
        return state, {"loss": value, "mse": squares.mean()}

    def encode(state, x):
        return features(state.params, x)

    def surprise(state, x):
        return calibrated(error(state.params, x), jnp.sqrt(state.variance), limit)

    return Method(init, step, encode, surprise=surprise, wants=Wants(kinds=("windows",)))
