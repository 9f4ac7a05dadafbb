"""A denoiser of pictures of any size, trained on clean ones."""

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
from unsupjax.parallel.collectives import example_keys


def denoiser(
    restorer: nn.Module,
    tx: optax.GradientTransformation,
    *,
    least: float = 0.0,
    most: float = 55.0,
    photons: float = 0.0,
    crop: int = 64,
    ema: float = 0.999,
    axis_name: str | None = None,
) -> Method:
    r"""Predicts the noise that was put on pictures; blind: it is not told how much that was.

    Of each example a random square x, turned and mirrored at random, gets noise of its own level,

    .. math:: y = x + \sqrt{\sigma^2 + a x}\, n, \quad \sigma \sim U(\mathrm{least}, \mathrm{most}) / 255, \quad
        a \sim U(0, 1 / \mathrm{photons}), \quad n \sim N(0, 1),

    with the Gaussian of a Poisson variable's variance in its place; nothing is clipped. The loss is the mean of
    :math:`\|y + f(y) - x\|^2 / (\sigma + 5 / 255)`: squared errors grow with the level, and would leave low levels
    without a say. `denoise` and `restore` use the moving average of the parameters; `encode` is the mean magnitude of
    each channel of the deepest layer. The `denoising` autoencoder learns a code of inputs of one size from corrupted
    ones; this learns no code, and takes pictures of any size.

    Args:
        restorer: a network of `unsupjax.models.RESTORERS`, f.
        tx: the optimizer.
        least, most: of the noise's standard deviation, in grey levels of 255.
        photons: the fewest photons that make white, if the noise depends on brightness; 0: it does not.
        crop: the side of the squares, a multiple of what the network takes.
        ema: momentum of the parameters' average; it rises to this as :math:`(1 + t) / (10 + t)`.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: Zhang et al., "Beyond a Gaussian denoiser", TIP 2017; Foi et al., "Practical Poissonian-Gaussian noise
    modeling and fitting for single-image raw-data", TIP 2008.
    """
    if not 0 <= least <= most or photons < 0:
        raise ValueError(f"{least=} and {most=} must be ordered and {photons=} not negative")
    check_average(ema)
    crop, clean = multiple_of(crop, restorer), corrections(restorer)

    def init(key, batch):
        return started(restorer, key, jnp.zeros((1, crop, crop, batch.shape[-1])), tx)

    def noisy(key, x):
        level, gain, drawn = (jax.random.fold_in(key, i) for i in (2, 3, 4))
        sigma = jax.random.uniform(level, (), minval=least, maxval=most) / GREY_LEVELS
        variance = sigma**2
        if photons:
            variance = variance + jax.random.uniform(gain) / photons * jnp.clip(x, 0, 1)
        return x + jnp.sqrt(variance) * jax.random.normal(drawn, x.shape), jnp.sqrt(jnp.mean(variance))

    def step(state: AveragedState, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        x = cropped(keys, x, crop)
        y, sigma = jax.vmap(noisy)(keys, x)

        def loss(params):
            error = jnp.square(clean(params, y) - x).mean(axis=(1, 2, 3))
            squared_error = error.mean() * GREY_LEVELS**2
            return (error / (sigma + 5 / GREY_LEVELS)).mean() * GREY_LEVELS, {"squared_error": squared_error}

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        return averaged(state, params, opt_state, ema), {"loss": value} | metrics

    return method(restorer, init, step)
