"""What methods that learn to denoise pictures of any size share."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, Restorer, Wants
from unsupjax.methods.parts.teacher import copied, moved

GREY_LEVELS = 255.0  # in which noise levels are given, of pictures in [0, 1]


class AveragedState(NamedTuple):
    """Parameters and their moving average, which is what denoises."""

    step: jax.Array
    key: jax.Array
    params: Any
    opt_state: optax.OptState
    average: Any


def started(
    network: nn.Module, key: jax.Array, x: jax.Array, tx: optax.GradientTransformation
) -> AveragedState:
    """At step 0."""
    params = network.init(jax.random.fold_in(key, 0), x)["params"]
    return AveragedState(jnp.zeros((), jnp.int32), key, params, tx.init(params), copied(params))


def averaged(state: AveragedState, params: Any, opt_state: Any, ema: float) -> AveragedState:
    """A step further; the average's momentum rises to `ema` as (1 + t) / (10 + t)."""
    momentum = jnp.minimum(ema, (1 + state.step) / (10 + state.step))
    average = moved(state.average, params, momentum, opt_state)
    return state._replace(step=state.step + 1, params=params, opt_state=opt_state, average=average)


def cropped(keys: jax.Array, x: jax.Array, size: int) -> jax.Array:
    """A random square of each picture, turned and mirrored at random, `[B, size, size, C]`.

    Args:
        keys: one for each picture.
        x: `[B, H, W, C]`.
        size: of the square; one that a picture has no room for is the largest that it has.
    """
    size = min(size, *x.shape[1:3])

    def crop(key, x):
        at = jax.random.randint(jax.random.fold_in(key, 0), (2,), 0, jnp.array(x.shape[:2]) - size + 1)
        x = jax.lax.dynamic_slice(x, (at[0], at[1], 0), (size, size, x.shape[2]))
        turned, upside_down, mirrored = jax.random.bernoulli(jax.random.fold_in(key, 1), shape=(3,))
        x = jnp.where(turned, x.swapaxes(0, 1), x)
        x = jnp.where(upside_down, x[::-1], x)
        return jnp.where(mirrored, x[:, ::-1], x)

    return jax.vmap(crop)(keys, x)


def multiple_of(size: int, network: nn.Module) -> int:
    """The size of a crop.

    Raises:
        ValueError: one that the network does not take.
    """
    if size < 1 or size % network.multiple:
        raise ValueError(
            f"crop={size} must be a multiple of {network.multiple}, as the network takes pictures"
        )
    return size


def check_average(ema: float) -> None:
    """Refuses a momentum that is none."""
    if not 0 <= ema < 1:
        raise ValueError(f"{ema=} must be at least 0 and below 1")


def method(network: nn.Module, init, step) -> Method:
    """The Method of a network that is trained by `step`; what it gives is added to its input."""

    def apply(state: AveragedState, x: jax.Array):
        return x + network.apply({"params": state.average}, x)

    def encode(state: AveragedState, x: jax.Array):
        size = network.multiple
        x = x[:, : x.shape[1] // size * size, : x.shape[2] // size * size]
        _, kept = network.apply({"params": state.average}, x, mutable="intermediates")
        return jnp.abs(kept["intermediates"]["deepest"][0]).mean(axis=(1, 2))

    def denoise(state: AveragedState, x: jax.Array):
        pads = [(0, -side % network.multiple) for side in x.shape[1:3]]
        padded = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="symmetric")
        return apply(state, padded)[:, : x.shape[1], : x.shape[2]]

    return Method(
        init,
        step,
        encode,
        denoise=denoise,
        restore=Restorer(apply, network.multiple, network.margin),
        wants=Wants(kinds=("images",)),
    )


def corrections(network: nn.Module):
    """`(params, x) -> x` denoised, for losses."""
    return lambda params, x: x + network.apply({"params": params}, x)
