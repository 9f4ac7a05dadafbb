"""A codec of pictures: a learned transform, and a learned model of its coefficients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax.codec import contexts
from unsupjax.codec.files import Codec
from unsupjax.codec.transform import ANCHORS, BLOCK, LAMBDA
from unsupjax.losses import ms_ssim
from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts.lapped import coarseness, coefficients, measured, start
from unsupjax.methods.parts.restoring import AveragedState, averaged, check_average, cropped
from unsupjax.methods.parts.teacher import copied
from unsupjax.parallel.collectives import example_keys

DISTORTIONS = {  # of pictures `[B, H, W, P]` in grey levels, `[B]`
    "mse": lambda made, x: jnp.square(made - x).mean(axis=(1, 2, 3)),
    "ms_ssim": lambda made, x: 2000 * (1 - ms_ssim(made, x, 255.0)),
}


def codec(
    tx: optax.GradientTransformation,
    *,
    shape: tuple[int, ...],
    hidden: int = 512,
    filters: int = 32,
    filter_layers: int = 4,
    crop: int = 128,
    distortion: str = "mse",
    ema: float = 0.995,
    axis_name: str | None = None,
) -> Method:
    r"""Learns to compress pictures at all qualities at once.

    Training minimises, at a random quality for each example, the mean of

    .. math:: \log(R + \lambda D + 0.05), \quad \lambda = 7.5 / \Delta^2,

    with R the bits a pixel and D the squared error in grey levels, or 2000 (1 - MS-SSIM), at which rates are about the
    same: a geometric mean over qualities, as savings are counted. :math:`\Delta` goes from 64 (quality 0) to 4 (quality
    64). A lapped transform of 16 x 16 blocks, which starts as an analytic one, gives coefficients y in units of learned
    steps, for MS-SSIM larger ones where there is structure (`unsupjax.codec.masking`); they are rounded for the
    decoder, and get uniform noise for R. Each has a mixture of two Laplace distributions whose location and scale a
    masked network predicts from coefficients decoded before (`unsupjax.codec.contexts`). The decoder adds what a small
    convolutional network makes of the picture.

    Args:
        tx: the optimizer.
        shape: of an example, `(H, W, 1)` or `(H, W, 3)`: grey ones, or also colours.
        hidden: units of the masked network, about.
        filters, filter_layers: channels and 3x3 convolutions of the decoder's network, at half the resolution.
        crop: the side of the squares that are trained on, a multiple of 16.
        distortion: D: "mse", or "ms_ssim", which forgives errors where a picture has structure; over as many scales as
            a crop has room for, five from 176 pixels on.
        ema: momentum of the parameters' average, which compresses.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range, or pictures of other channels.

    Source: Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018 (the loss); Minnen and
    Singh, "Channel-wise autoregressive entropy models", ICIP 2020 (the order).
    """
    if shape[-1] not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, not {shape[-1]}")
    if crop < BLOCK or crop % BLOCK or min(hidden, filters, filter_layers - 1) < 1:
        raise ValueError(
            f"{crop=} must be a multiple of {BLOCK}, {hidden=} and {filters=} at least 1, {filter_layers=} 2"
        )
    if distortion not in DISTORTIONS:
        raise ValueError(f"{distortion=}: one of {', '.join(DISTORTIONS)}")
    check_average(ema)
    planes, far = shape[-1], DISTORTIONS[distortion]
    order = contexts.layout(planes, hidden)
    side = min(crop, *(s // BLOCK * BLOCK for s in shape[:2]))

    def init(key, batch):
        params = start(key, batch[:, :side, :side], order, filters, filter_layers, distortion == "ms_ssim")
        params = jax.tree.map(lambda x: x.astype(jnp.float32), params)  # whatever jax_enable_x64 says
        return AveragedState(jnp.zeros((), jnp.int32), key, params, tx.init(params), copied(params))

    def step(state: AveragedState, x: jax.Array):
        keys = example_keys(jax.random.fold_in(state.key, state.step), len(x), axis_name)
        x = cropped(keys, x, side) * 255
        draws = jax.vmap(jax.random.fold_in, (0, None))(keys, 2)
        t = jax.vmap(jax.random.uniform)(draws) * (ANCHORS - 1)

        def loss(params):
            bits, made = measured(params, x, t, order, draws)
            value = jnp.log(bits + LAMBDA * far(made, x) / coarseness(t) ** 2 + 0.05).mean()
            return value, {"bpp": bits.mean(), "squared_error": jnp.square(made - x).mean()}

        value, metrics, params, opt_state = update(loss, state.params, state.opt_state, tx, axis_name)
        return averaged(state, params, opt_state, ema), {"loss": value} | metrics

    def encode(state: AveragedState, x: jax.Array):
        """The mean magnitude of each channel at the middle quality."""
        h, w = (s // BLOCK * BLOCK for s in x.shape[1:3])
        t = jnp.full(len(x), (ANCHORS - 1) / 2)
        return jnp.log1p(jnp.abs(coefficients(state.average, x[:, :h, :w] * 255, t))).mean(axis=(1, 2))

    def coder(state: AveragedState):
        return Codec(jax.tree.map(np.array, state.average), planes)

    return Method(init, step, encode, codec=coder, wants=Wants(kinds=("images",)))
