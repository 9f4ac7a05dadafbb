"""Dense networks of a GAN, for vectors and tiny images."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.gan.labels import Logit, embedded
from unsupjax.models.gan.pixels import leaky, to_unit
from unsupjax.models.gan.spectral import SpectralDense

OUTPUTS = {"identity": lambda x: x, "unit": to_unit}


class MLPGenerator(nn.Module):
    r"""A dense layer and relu for each entry of `features`, then a linear one to `shape`.

    `[B, L] -> [B, *shape]` float32, `L` any. Relu, and not leaky relu, lets a sample turn from one mode of the data to
    another over a short way in z: fewer lie between modes.

    Attributes:
        shape: of one sample.
        features: widths of the hidden layers.
        output: `"identity"`, or `"unit"`: :math:`(\tanh x + 1) / 2`, for samples in [0, 1].
        classes: of a conditional generator, where an embedding of the label joins z; 0: without labels.
        dtype: compute dtype; parameters are float32.
    """

    shape: Sequence[int]
    features: Sequence[int] = (128, 128)
    output: str = "identity"
    classes: int = 0
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, z: jax.Array, label: jax.Array | None = None, train: bool = False) -> jax.Array:
        if self.output not in OUTPUTS:
            raise ValueError(f"unknown output {self.output!r}; one of {', '.join(OUTPUTS)}")
        x = embedded(self.classes, z, label)
        for n in self.features:
            x = nn.relu(nn.Dense(n, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x).astype(jnp.float32)
        return OUTPUTS[self.output](x).reshape(len(z), *self.shape)


class MLPDiscriminator(nn.Module):
    """Flattens each example, then a dense layer and leaky relu for each entry of `features`, then a linear one.

    `[B, ...] -> [B]` float32; images [B, H, W, C] are brought from [0, 1] to [-1, 1], vectors are taken as they are.

    Attributes:
        features: widths of the hidden layers.
        spectral: every kernel is divided by its spectral norm.
        classes: of a conditional discriminator, which adds a projection; 0: without labels.
        dtype: compute dtype; parameters and logits are float32.
    """

    features: Sequence[int] = (128, 128)
    spectral: bool = False
    classes: int = 0
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, label: jax.Array | None = None, train: bool = False, features: bool = False
    ) -> jax.Array:
        layer = SpectralDense if self.spectral else nn.Dense
        h = (2 * x - 1 if x.ndim == 4 else x).reshape(len(x), -1)
        for n in self.features:
            h = leaky(layer(n, dtype=self.dtype)(h))
        h = h.astype(jnp.float32)
        return h if features else Logit(self.classes, self.spectral)(h, label)
