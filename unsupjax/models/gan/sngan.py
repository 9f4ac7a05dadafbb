"""Residual networks of a GAN with a spectrally normalised discriminator."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.convolve import Conv
from unsupjax.models.gan.labels import LabelledBatchNorm, Logit, check_label
from unsupjax.models.gan.pixels import doublings, from_unit, start, to_unit
from unsupjax.models.gan.spectral import SpectralConv, SpectralDense

_XAVIER = nn.initializers.xavier_uniform()
_HIDDEN = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # of 3x3 convolutions inside blocks


def _upsample(x: jax.Array) -> jax.Array:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def _downsample(x: jax.Array) -> jax.Array:
    return nn.avg_pool(x, (2, 2), strides=(2, 2))


class SNGANGenerator(nn.Module):
    r"""A dense layer to a small image, then residual blocks that double it.

    `[B, L] -> [B, *shape]` float32 in [0, 1], :math:`(\tanh x + 1) / 2`. A block has batch norm, relu, nearest
    upsampling, a 3x3 convolution, batch norm, relu and a 3x3 convolution, beside upsampling and a 1x1 convolution.
    Sides are 4 to 7 (4 in the paper) doubled at least once; 32 has three blocks. Kernels start as Xavier uniform,
    :math:`\sqrt 2` times that inside blocks.

    Attributes:
        shape: (H, W, C) of one image.
        width: channels, 256 in the paper.
        norm_momentum: of the running statistics, which lie in `batch_stats`.
        classes: of a conditional generator, whose batch norm has gamma and beta of each class; 0: without labels.
        dtype: compute dtype; parameters and statistics are float32.
        axis_name: the device axis of batch statistics under `pmap`.

    Raises:
        ValueError: sides that are not so.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018, Table 4; with
    classes Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018.
    """

    shape: Sequence[int]
    width: int = 256
    norm_momentum: float = 0.9
    classes: int = 0
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, z: jax.Array, label: jax.Array | None = None, train: bool = False) -> jax.Array:
        check_label(self.classes, label)
        height, width = start(self.shape)
        x = nn.Dense(height * width * self.width, kernel_init=_XAVIER, dtype=self.dtype)(z)
        x = x.reshape(len(z), height, width, self.width)
        for _ in range(doublings(self.shape)):
            x = self._block(x, label, train)
        x = self._normalised(x, label, train, classes=0)
        return to_unit(Conv(self.shape[2], kernel_init=_XAVIER, dtype=self.dtype)(x))

    def _normalised(self, x, label, train, classes):
        norm = LabelledBatchNorm(classes, self.norm_momentum, self.dtype, self.axis_name)
        return nn.relu(norm(x, label, train))

    def _block(self, x, label, train):
        conv = functools.partial(Conv, self.width, kernel_init=_HIDDEN, dtype=self.dtype)
        y = conv()(_upsample(self._normalised(x, label, train, self.classes)))
        y = conv()(self._normalised(y, label, train, self.classes))
        return y + _upsample(nn.Dense(self.width, kernel_init=_XAVIER, dtype=self.dtype)(x))


class SNGANDiscriminator(nn.Module):
    """Residual blocks that halve an image, two more, relu, the sum over pixels and a dense layer.

    `[B, H, W, C] in [0, 1] -> [B]` float32, for the sides of `SNGANGenerator`. A block has relu and a 3x3 convolution
    twice and an average of 2x2 pixels, beside a 1x1 convolution and that average; the first begins with its
    convolution. As many halve the image as leave it twice its smallest size, but one at least: two of 32 x 32. Every
    kernel is divided by its spectral norm, and no example depends on another.

    Attributes:
        width: channels, 128 in the paper.
        classes: of a conditional discriminator, which adds a projection; 0: without labels.
        dtype: compute dtype; parameters and logits are float32.

    Raises:
        ValueError: sides that are not so.

    Source: as `SNGANGenerator`.
    """

    width: int = 128
    classes: int = 0
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, label: jax.Array | None = None, train: bool = False, features: bool = False
    ) -> jax.Array:
        x = from_unit(x, "an SNGAN")
        halvings = max(doublings(x.shape[1:]) - 1, 1)
        for i in range(halvings + 2):
            x = self._block(x, first=i == 0, halve=i < halvings)
        h = nn.relu(x).astype(jnp.float32).sum(axis=(1, 2))
        return h if features else Logit(self.classes, spectral=True, kernel_init=_XAVIER)(h, label)

    def _block(self, x, first, halve):
        conv = functools.partial(SpectralConv, self.width, kernel_init=_HIDDEN, dtype=self.dtype)
        y = conv()(x if first else nn.relu(x))
        y = conv()(nn.relu(y))
        if not halve:
            return x + y
        shortcut = SpectralDense(self.width, kernel_init=_XAVIER, dtype=self.dtype)
        return _downsample(y) + shortcut(_downsample(x))  # a 1x1 convolution and an average commute
