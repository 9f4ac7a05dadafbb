"""A linear forecast by least squares."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from unsupjax.methods.base import Method, Wants
from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.methods.parts.forecasts import calibrated, last_of
from unsupjax.parallel.collectives import psum

MOST_INPUTS = 8_192


class LinearForecastState(NamedTuple):
    """The state of a linear forecast.

    Attributes:
        step, key: as of every method.
        gram: sums of :math:`a^T a` over the windows so far, a the inputs and a 1, float32 `[D + 1, D + 1]`.
        cross: sums of :math:`a^T y`, `[D + 1, C]`.
        squares: sums of :math:`y^2`, `[C]`.
        weights: `[D + 1, C]`; zeros before the epoch is over.
        spread: the root of the mean squared error of each channel over the training windows, `[C]`.
        solved: whether the epoch is over.
        epoch, seen: of the next example, its epoch and its place there.
    """

    step: jax.Array
    key: jax.Array
    gram: jax.Array
    cross: jax.Array
    squares: jax.Array
    weights: jax.Array
    spread: jax.Array
    solved: jax.Array
    epoch: jax.Array
    seen: jax.Array


def linear_forecast(
    *,
    ridge: float = 0.02,
    limit: float = 20.0,
    shape: tuple[int, ...],
    examples: int,
    axis_name: str | None = None,
) -> Method:
    r"""The last step of a window, all channels, as a linear function of the steps before: a vector autoregression.

    Least squares with a penalty :math:`\lambda n \|w\|^2` over one epoch, in closed form; the run has converged then.
    It takes :math:`(D + 1)^2` numbers for :math:`D = (W - 1) C` inputs, of which 8,192 are the most.

    `surprise` gives `[B, 1, C]`, the absolute error of each channel's last step over its root mean square in training;
    `encode` the forecast.

    Args:
        ridge: :math:`\lambda`; inputs are standardised.
        limit: values, in deviations from a channel's mean, and errors in theirs, are brought into [-limit, limit].
        shape: (W, C), of a window.
        examples: in an epoch.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range, windows of one step, or too many inputs.
    """
    if ridge <= 0 or limit <= 0:
        raise ValueError(f"{ridge=} and {limit=} must be above 0")
    last_of(shape)
    width, channels = shape
    inputs = (width - 1) * channels
    if inputs > MOST_INPUTS:
        raise ValueError(
            f"a window has {inputs} inputs, above {MOST_INPUTS}; choose a shorter config.data.window, or the method "
            "'forecast'"
        )

    def parts(x):
        x = jnp.clip(x, -limit, limit)
        before = x[:, :-1].reshape(len(x), inputs)
        return jnp.concatenate([before, jnp.ones((len(x), 1))], axis=1), x[:, -1]

    def init(key, batch):
        zero = jnp.zeros((), jnp.int32)
        gram, cross = jnp.zeros((inputs + 1, inputs + 1)), jnp.zeros((inputs + 1, channels))
        none, ones = jnp.zeros(channels), jnp.ones(channels)
        return LinearForecastState(zero, key, gram, cross, none, cross, ones, jnp.array(False), zero, zero)

    def finish(state):
        n = jnp.maximum(state.gram[-1, -1], 1)
        penalty = (ridge * n + 1e-3) * jnp.ones(inputs + 1).at[-1].set(1e-6)
        weights = jnp.linalg.solve(state.gram + jnp.diag(penalty), state.cross)
        fit = 2 * jnp.sum(weights * state.cross, axis=0) - jnp.sum(weights * (state.gram @ weights), axis=0)
        spread = jnp.sqrt(jnp.maximum(state.squares - fit, 0) / n)
        done = state._replace(weights=weights, spread=spread, solved=jnp.array(True))
        return jax.tree.map(lambda a, b: jnp.where(state.solved, a, b), state, done)

    def step(state: LinearForecastState, x: jax.Array):
        at = place(state.epoch, state.seen, len(x), examples, axis_name)
        now = of_epoch(at, len(x), axis_name) * jnp.where(state.solved, 0.0, 1.0)
        a, y = parts(x)
        weighted = a * now[:, None]
        sums = psum(
            (weighted.T @ a, weighted.T @ y, jnp.sum(jnp.square(y) * now[:, None], axis=0)), axis_name
        )
        gram, cross, squares = (
            old + new for old, new in zip((state.gram, state.cross, state.squares), sums, strict=True)
        )
        state = state._replace(step=state.step + 1, gram=gram, cross=cross, squares=squares)
        state = state._replace(epoch=at.following, seen=at.seen)
        state = jax.lax.cond(at.ends, finish, lambda s: s, state)
        loss = jnp.where(state.solved, jnp.mean(jnp.square(state.spread)), jnp.mean(squares) / gram[-1, -1])
        return state, {"loss": loss, "converged": state.solved.astype(jnp.float32)}

    def encode(state, x):
        return parts(x)[0] @ state.weights

    def surprise(state, x):
        return calibrated(parts(x)[1] - encode(state, x), state.spread, limit)

    return Method(init, step, encode, finish=finish, surprise=surprise, wants=Wants(kinds=("windows",)))
