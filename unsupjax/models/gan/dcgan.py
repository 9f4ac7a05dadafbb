"""The deep convolutional GAN: strided convolutions, and transposed ones in its generator."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.convolve import Conv, ConvTranspose
from unsupjax.models.gan.labels import Logit, embedded
from unsupjax.models.gan.pixels import doublings, from_unit, leaky, start, to_unit
from unsupjax.models.gan.spectral import SpectralConv, SpectralDense
from unsupjax.models.layers import batch_norm

NORMS = ("batch", "spectral", "none")
_INIT = nn.initializers.normal(0.02)


class DCGANGenerator(nn.Module):
    r"""A dense layer to a small image, then transposed 4x4 convolutions of stride 2, with batch norm and relu.

    `[B, L] -> [B, *shape]` float32 in [0, 1], :math:`(\tanh x + 1) / 2`. Sides are 4 to 7, doubled k times, k >= 1:
    28 is 7 doubled twice, 64 is 4 doubled four times. The small image has :math:`2^{k-1}` times `width` channels and
    every doubling but the last, which gives the image, halves them. Kernels start as N(0, 0.02^2).

    Attributes:
        shape: (H, W, C) of one image.
        width: channels of the last hidden layer (128 in the paper, for 64 x 64).
        dense: widths of dense layers before the small image, with batch norm and relu (none in the paper). They see
            the whole image, as two or three convolutions do not.
        norm_momentum: of the running statistics, which lie in `batch_stats`.
        classes: of a conditional generator, where an embedding of the label joins z; 0: without labels.
        dtype: compute dtype; parameters and statistics are float32.
        axis_name: the device axis of batch statistics under `pmap`.

    Raises:
        ValueError: sides that are not so.

    Source: Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative
    adversarial networks", ICLR 2016.
    """

    shape: Sequence[int]
    width: int = 64
    dense: Sequence[int] = ()
    norm_momentum: float = 0.9
    classes: int = 0
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, z: jax.Array, label: jax.Array | None = None, train: bool = False) -> jax.Array:
        k, (height, width) = doublings(self.shape), start(self.shape)
        norm = functools.partial(
            batch_norm, train, momentum=self.norm_momentum, dtype=self.dtype, axis_name=self.axis_name
        )
        channels = self.width * 2 ** (k - 1)
        x = embedded(self.classes, z, label)
        for n in self.dense:
            x = nn.relu(norm()(nn.Dense(n, use_bias=False, kernel_init=_INIT, dtype=self.dtype)(x)))
        x = nn.Dense(height * width * channels, use_bias=False, kernel_init=_INIT, dtype=self.dtype)(x)
        x = nn.relu(norm()(x.reshape(len(z), height, width, channels)))
        for i in range(k - 2, -1, -1):
            layer = ConvTranspose(self.width * 2**i, use_bias=False, kernel_init=_INIT, dtype=self.dtype)
            x = nn.relu(norm()(layer(x)))
        return to_unit(ConvTranspose(self.shape[2], kernel_init=_INIT, dtype=self.dtype)(x))


class DCGANDiscriminator(nn.Module):
    """4x4 convolutions of stride 2 with leaky relu down to a small image, flattened, and a dense layer.

    `[B, H, W, C] in [0, 1] -> [B]` float32; sides as in `DCGANGenerator`, whose mirror it is. With norm `"batch"` an
    example's logit depends on its whole batch, and no gradient penalty can be had.

    Attributes:
        width: channels of the first layer; every other doubles them.
        norm: `"batch"`, after all convolutions but the first, `"spectral"`, of every kernel, or `"none"`.
        dense: widths of dense layers after the convolutions, normalised as these (none in the paper).
        norm_momentum: of the running statistics, which lie in `batch_stats`.
        classes: of a conditional discriminator, which adds a projection; 0: without labels.
        dtype: compute dtype; parameters, statistics and logits are float32.
        axis_name: the device axis of batch statistics under `pmap`.

    Raises:
        ValueError: an unknown norm, or sides that are not so.

    Source: as `DCGANGenerator`.
    """

    width: int = 64
    norm: str = "batch"
    dense: Sequence[int] = ()
    norm_momentum: float = 0.9
    classes: int = 0
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, label: jax.Array | None = None, train: bool = False, features: bool = False
    ) -> jax.Array:
        if self.norm not in NORMS:
            raise ValueError(f"unknown norm {self.norm!r}; one of {', '.join(NORMS)}")
        x = from_unit(x, "a DCGAN")
        spectral = self.norm == "spectral"
        options = {"kernel_init": _INIT, "dtype": self.dtype}
        for i in range(doublings(x.shape[1:])):
            layer = SpectralConv if spectral else Conv
            bias = i == 0 or self.norm != "batch"
            x = layer(self.width * 2**i, 4, 2, use_bias=bias, **options)(x)
            x = leaky(x if bias else self._normalised(x, train))
        x = x.reshape(len(x), -1)
        for n in self.dense:
            layer = SpectralDense if spectral else nn.Dense
            bias = self.norm != "batch"
            x = layer(n, use_bias=bias, **options)(x)
            x = leaky(x if bias else self._normalised(x, train))
        h = x.astype(jnp.float32)
        return h if features else Logit(self.classes, spectral, kernel_init=_INIT)(h, label)

    def _normalised(self, x, train):
        return batch_norm(train, momentum=self.norm_momentum, dtype=self.dtype, axis_name=self.axis_name)(x)
