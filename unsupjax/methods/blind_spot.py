"""A denoiser of pictures of any size, trained on noisy ones alone."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax.methods.base import Method, update
from unsupjax.methods.parts.restoring import (
    GREY_LEVELS,
    AveragedState,
    averaged,
    check_average,
    corrections,
    cropped,
    method,
    multiple_of,
    started,
)
from unsupjax.numerics.noise import noise_level
from unsupjax.parallel.collectives import all_gather, example_keys


def blind_spot(
    restorer: nn.Module,
    tx: optax.GradientTransformation,
    *,
    pairs: str = "recorrupted",
    sigma: float = 0.0,
    strength: float = 0.5,
    share: float = 0.05,
    consistency: float = 1.0,
    simulated: float = 0.0,
    crop: int = 64,
    ema: float = 0.999,
    axis_name: str | None = None,
) -> Method:
    r"""Makes of a noisy picture y, with no clean one anywhere, an input and a target whose noises are independent.

    A network that is to predict noise it knows nothing of predicts the mean, the clean picture. `pairs` are

    "masked": at a random `share` of the pixels the input has one of the eight neighbours (a blind spot), and the target
    is y there, and there alone. Noise of any distribution, of mean 0 and independent between pixels.

    "neighbours": of each block of 2 x 2 pixels two that touch, at random, make two pictures of half the size, g(y) and
    g'(y); the loss is :math:`\|f(g) - g'\|^2 + \gamma \|f(g) - g' - (g(f(y)) - g'(f(y)))\|^2`. The same noise.

    "recorrupted": input :math:`y + \alpha \sigma n` and target :math:`y - \sigma n / \alpha` with n standard normal.
    Gaussian noise of one level in all pictures, which is estimated from the data.

    `metrics["sigma"]` is that estimate in grey levels: the lower quartile of `unsupjax.numerics.noise.noise_level` over
    the pictures of a batch. `metrics["squared_error"]` is to noisy targets. `denoise`, `restore` and `encode` are as of
    `denoiser`.

    Args:
        restorer: a network of `unsupjax.models.RESTORERS`.
        tx: the optimizer.
        pairs: see above.
        sigma: of the noise, in grey levels of 255, where it is known; 0: estimated.
        strength: :math:`\alpha` of "recorrupted".
        share: of pixels, of "masked".
        consistency: :math:`\gamma` of "neighbours".
        simulated: for experiments with clean pictures: the level of the noise that is put on each, in grey levels. It
            follows from the picture's own pixels, the same whenever it is seen; the loss sees nothing clean.
        crop: the side of the squares, a multiple of what the network takes (of "neighbours" twice that).
        ema: momentum of the parameters' average.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: Batson and Royer, "Noise2Self", ICML 2019; Krull et al., "Noise2Void", CVPR 2019; Huang et al.,
    "Neighbor2Neighbor", CVPR 2021; Pang et al., "Recorrupted-to-Recorrupted", CVPR 2021.
    """
    if pairs not in ("masked", "neighbours", "recorrupted"):
        raise ValueError(f"{pairs=}: one of masked, neighbours, recorrupted")
    if min(sigma, simulated, consistency) < 0 or strength <= 0 or not 0 < share < 1:
        raise ValueError(
            f"{sigma=}, {simulated=} and {consistency=} must not be negative, {strength=} above 0, {share=} in (0, 1)"
        )
    check_average(ema)
    crop, clean = multiple_of(crop, restorer), corrections(restorer)
    if pairs == "neighbours":
        multiple_of(crop // 2, restorer)

    def init(key, batch):
        return started(restorer, key, jnp.zeros((1, crop, crop, batch.shape[-1])), tx)

    def level_of(y):
        return sigma / GREY_LEVELS if sigma else jnp.quantile(all_gather(noise_level(y), axis_name), 0.25)

    def step(state: AveragedState, x: jax.Array):
        if simulated:
            x = jax.vmap(_simulated, in_axes=(0, None))(x, simulated / GREY_LEVELS)
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        level, y = level_of(x), cropped(keys, x, crop)
        draws = jax.vmap(jax.random.fold_in, (0, None))(keys, 2)
        losses = {
            "masked": lambda params: _masked(clean, params, draws, y, share),
            "neighbours": lambda params: _neighbours(clean, params, draws, y, consistency),
            "recorrupted": lambda params: _recorrupted(clean, params, draws, y, level, strength),
        }

        def loss(params):
            return losses[pairs](params), {}

        value, _, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        metrics = {
            "loss": value,
            "squared_error": value * GREY_LEVELS**2,
            "sigma": jnp.float32(level) * GREY_LEVELS,
        }
        return averaged(state, params, opt_state, ema), metrics

    return method(restorer, init, step)


def _simulated(x, level):
    """A picture with noise that follows from its pixels."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    places = jnp.arange(bits.size, dtype=jnp.uint32).reshape(bits.shape) * 2 + 1
    return x + level * jax.random.normal(jax.random.key((bits * places).sum(dtype=jnp.uint32)), x.shape)


def _masked(clean, params, keys, y, share):
    hidden, instead = jax.vmap(lambda key: _spots(key, y.shape[1:3], share))(keys)
    height, width = y.shape[1:3]
    p = jnp.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    around = [p[:, i : i + height, j : j + width] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    other = jnp.take_along_axis(jnp.stack(around), instead[None, ..., None], axis=0)[0]
    hidden = hidden[..., None]
    error = jnp.square(clean(params, jnp.where(hidden, other, y)) - y)
    return (error * hidden).mean() / share


def _spots(key, shape, share):
    """Which pixels are hidden, and which of its eight neighbours stands in the place of each."""
    hidden = jax.random.bernoulli(jax.random.fold_in(key, 0), share, shape)
    return hidden, jax.random.randint(jax.random.fold_in(key, 1), shape, 0, 8)


def _recorrupted(clean, params, keys, y, level, strength):
    noise = level * jax.vmap(lambda key: jax.random.normal(key, y.shape[1:]))(keys)
    return jnp.square(clean(params, y + strength * noise) - (y - noise / strength)).mean()


def _neighbours(clean, params, keys, y, weight):
    halves = _halves(keys, y)
    first, second = halves(y)
    whole = jax.lax.stop_gradient(clean(params, y))
    error = clean(params, first) - second
    gap = error - jnp.subtract(*halves(whole))
    return jnp.square(error).mean() + weight * jnp.square(gap).mean()


def _halves(keys, y):
    """`pictures -> (g, g')`: of each 2 x 2 block two pixels that touch, the same choice whatever the picture."""
    batch, height, width, channels = y.shape
    shape = (batch, height // 2, width // 2)
    pick = jax.vmap(lambda key: jax.random.randint(key, (2, *shape[1:]), 0, 4))(keys)
    first = pick[:, 0]
    # Around the block: 0 1 / 3 2; what touches a corner comes before or behind it.
    second = (first + 1 + 2 * (pick[:, 1] % 2)) % 4

    def halves(x):
        x = x.reshape(batch, shape[1], 2, shape[2], 2, channels)
        corners = jnp.stack([x[:, :, 0, :, 0], x[:, :, 0, :, 1], x[:, :, 1, :, 1], x[:, :, 1, :, 0]])
        take = lambda i: jnp.take_along_axis(corners, i[None, ..., None], axis=0)[0]
        return take(first), take(second)

    return halves
