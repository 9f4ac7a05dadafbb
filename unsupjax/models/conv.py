"""Small strided convolutional networks for images and for windows of time; group norm, so that no example depends on
another."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.numerics.activations import activation


class ConvEncoder(nn.Module):
    """A 3x3 convolution of stride 2, group norm and an activation for each entry of `features`, flattened.

    `[B, H, W, C] -> [B, ceil(H / 2^n) * ceil(W / 2^n) * features[-1]]` with n layers. Of windows of time `[B, W, C]`
    convolutions are over 3 steps.

    Attributes:
        features: channels of each layer; multiples of 8, the group size.
        activation: a function of `flax.linen` by name.
        dtype: compute dtype; parameters and normalisation are float32.
    """

    features: Sequence[int] = (32, 64)
    activation: str = "relu"
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if x.ndim not in (3, 4):
            raise ValueError(
                f"a conv encoder takes images [B, H, W, C] or windows [B, W, C], got shape {x.shape}"
            )
        axes = x.ndim - 2
        for n in self.features:
            x = nn.Conv(n, (3,) * axes, strides=2, dtype=self.dtype)(x)
            x = activation(self.activation)(nn.GroupNorm(num_groups=None, group_size=8)(x))
        return x.reshape(x.shape[0], -1)


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: a dense layer to a small image, then 3x3 convolutions after upsampling by 2.

    `[B, latent_dim] -> [B, *shape]`. Nearest-neighbour upsampling before a convolution leaves no chequerboard
    (Odena et al., "Deconvolution and checkerboard artifacts", 2016).

    Attributes:
        shape: the shape (H, W, C) of one image, or (W, C) of a window of time.
        features: channels of each layer, multiples of 8; the image starts at 1 / 2^n of its size.
        activation: a function of `flax.linen` by name.
        dtype: compute dtype; parameters and normalisation are float32.
    """

    shape: Sequence[int]
    features: Sequence[int] = (64, 32)
    activation: str = "relu"
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        *sides, channels = self.shape
        if len(sides) not in (1, 2):
            raise ValueError(
                f"a conv decoder makes images (H, W, C) or windows (W, C), got shape {self.shape}"
            )
        conv = lambda n: nn.Conv(n, (3,) * len(sides), dtype=self.dtype)
        sizes = [tuple(math.ceil(side / 2**i) for side in sides) for i in range(len(self.features) + 1)]
        now = sizes.pop()
        x = nn.Dense(math.prod(now) * self.features[0], dtype=self.dtype)(z)
        x = activation(self.activation)(x).reshape(z.shape[0], *now, self.features[0])
        for n in self.features:
            for axis, side in enumerate(sizes.pop(), 1):
                x = jax.lax.slice_in_dim(x.repeat(2, axis=axis), 0, side, axis=axis)
            x = activation(self.activation)(nn.GroupNorm(num_groups=None, group_size=8)(conv(n)(x)))
        return conv(channels)(x)
