"""Multilayer perceptrons."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.numerics.activations import activation


class MLPEncoder(nn.Module):
    """Flattens each example, then a dense layer and an activation for each entry of `features`.

    `[B, ...] -> [B, features[-1]]`, or the flattened input where `features` is empty.

    Attributes:
        features: widths of the layers.
        activation: a function of `flax.linen` by name.
        dtype: compute dtype; parameters are float32.
    """

    features: Sequence[int] = (512, 256)
    activation: str = "relu"
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for n in self.features:
            x = activation(self.activation)(nn.Dense(n, dtype=self.dtype)(x))
        return x


class MLPDecoder(nn.Module):
    """A dense layer and an activation for each entry of `features`, then a linear one to `shape`.

    `[B, latent_dim] -> [B, *shape]`.

    Attributes:
        shape: the shape of one example.
        features: widths of the hidden layers.
        activation: a function of `flax.linen` by name.
        dtype: compute dtype; parameters are float32.
    """

    shape: Sequence[int]
    features: Sequence[int] = (256, 512)
    activation: str = "relu"
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        for n in self.features:
            z = activation(self.activation)(nn.Dense(n, dtype=self.dtype)(z))
        return nn.Dense(math.prod(self.shape), dtype=self.dtype)(z).reshape(z.shape[0], *self.shape)
