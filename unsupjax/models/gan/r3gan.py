"""A modern residual GAN without normalisation, in the style of R3GAN."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.convolve import Conv
from unsupjax.models.gan.labels import Logit, embedded
from unsupjax.models.gan.pixels import doublings, from_unit, leaky, start, to_unit

_GAIN2 = 2 / (1 + 0.2**2)  # keeps the second moment through leaky relu


def _normal(scale: float) -> nn.initializers.Initializer:
    return nn.initializers.variance_scaling(scale, "fan_in", "normal")


def _check(width: Sequence[int], shape: Sequence[int], group_size: int, expansion: int) -> None:
    stages = doublings(shape) + 1
    if len(width) != stages:
        raise ValueError(
            f"images of {shape[0]} x {shape[1]} have {stages} stages, and width has {len(width)} entries"
        )
    for n in width:
        if n * expansion % group_size:
            raise ValueError(f"groups of {group_size} do not divide {expansion} x {n} channels")


def _neighbours(x, axis):
    """Of every pixel those before and after it along an axis; at the edge, itself."""
    first, last = (jax.lax.slice_in_dim(x, i, i + 1, axis=axis) for i in (0, x.shape[axis] - 1))
    longer = jnp.concatenate([first, x, last], axis)
    n = x.shape[axis]
    return (jax.lax.slice_in_dim(longer, i, i + n, axis=axis) for i in (0, 2))


def upsample(x: jax.Array) -> jax.Array:
    """Bilinear, `[B, H, W, C] -> [B, 2 H, 2 W, C]`: 3/4 of the pixel it lies in and 1/4 of the nearest other."""
    for axis in (1, 2):
        before, after = _neighbours(x, axis)
        x = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = x.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 2 :])
    return x


def downsample(x: jax.Array) -> jax.Array:
    """Bilinear without aliases, `[B, 2 H, 2 W, C] -> [B, H, W, C]`: weights 1/8, 3/8, 3/8 and 1/8 along each axis."""
    for axis in (1, 2):
        before, after = _neighbours(x, axis)
        even = jax.lax.slice_in_dim(0.75 * x + 0.25 * before, 0, None, 2, axis)
        odd = jax.lax.slice_in_dim(0.75 * x + 0.25 * after, 1, None, 2, axis)
        x = (even + odd) / 2
    return x


class _Block(nn.Module):
    """1x1 to more channels, 3x3 in groups and 1x1 back, beside the identity, which a block is at first."""

    group_size: int
    expansion: int
    scale: float  # of the variance of the first two kernels
    dtype: jnp.dtype | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        wide = self.expansion * x.shape[-1]
        groups, init = wide // self.group_size, _normal(self.scale)
        y = leaky(nn.Dense(wide, kernel_init=init, dtype=self.dtype)(x))
        y = leaky(Conv(wide, groups=groups, kernel_init=init, dtype=self.dtype)(y))
        zeros = nn.initializers.zeros
        return x + nn.Dense(x.shape[-1], use_bias=False, kernel_init=zeros, dtype=self.dtype)(y)


class _Stage(nn.Module):
    """Blocks of one resolution."""

    blocks: int
    stages: int
    group_size: int
    expansion: int
    dtype: jnp.dtype | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = _GAIN2 / max(self.blocks * self.stages, 1) ** 0.5
        for _ in range(self.blocks):
            x = _Block(self.group_size, self.expansion, scale, self.dtype)(x)
        return x


def _change(x: jax.Array, channels: int, dtype: jnp.dtype | None) -> jax.Array:
    """A linear 1x1 convolution where the number of channels changes; called in a compact module."""
    if x.shape[-1] == channels:
        return x
    return nn.Dense(channels, use_bias=False, kernel_init=_normal(1.0), dtype=dtype)(x)


class R3GANGenerator(nn.Module):
    r"""A learned small image times a linear function of z, then stages of residual blocks and bilinear upsampling.

    `[B, L] -> [B, *shape]` float32 in [0, 1]: a 1x1 convolution and :math:`(\tanh x + 1) / 2`. A block is an inverted
    bottleneck: 1x1, 3x3 in groups, 1x1, with a bias and leaky relu after the first two and no normalisation. Sides are
    4 to 7 (4 in the paper) doubled at least once: stages are one more than doublings, four for 32 x 32.

    With n blocks in all, the first two kernels of a block start as normal with variance :math:`2 / (1.04 \sqrt n)` over
    their fan-in, and the last as zero (fix-up).

    The defaults are small. For CIFAR-10 the paper has a width of 768 in each of the four stages, for 64 x 64 that and
    384 in a fifth, and the rest as here. It ends without a tanh and resamples with weights 1, 2, 1.

    Attributes:
        shape: (H, W, C) of one image.
        width: channels of each stage, from the smallest image on.
        blocks: in each stage.
        group_size: channels of a group of the 3x3 convolutions; it divides all of `expansion * width`.
        expansion: channels of the 3x3 convolutions, as a multiple of the stage's.
        classes: of a conditional generator, where an embedding of the label joins z; 0: without labels.
        dtype: compute dtype; parameters are float32.

    Raises:
        ValueError: sides that are not so, another number of stages, groups that do not divide the channels.

    Source: Huang et al., "The GAN is dead; long live the GAN! A modern baseline GAN", NeurIPS 2024; start: Zhang,
    Dauphin and Ma, "Fixup initialization", ICLR 2019.
    """

    shape: Sequence[int]
    width: Sequence[int] = (256, 256, 128, 64)
    blocks: int = 2
    group_size: int = 16
    expansion: int = 2
    classes: int = 0
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, z: jax.Array, label: jax.Array | None = None, train: bool = False) -> jax.Array:
        _check(self.width, self.shape, self.group_size, self.expansion)
        z = embedded(self.classes, z, label)
        basis = self.param("basis", nn.initializers.normal(1.0), (*start(self.shape), self.width[0]))
        x = nn.Dense(self.width[0], use_bias=False, kernel_init=_normal(1.0), dtype=self.dtype)(z)
        x = x[:, None, None] * basis[None].astype(x.dtype)
        for i, channels in enumerate(self.width):
            if i:
                x = upsample(_change(x, channels, self.dtype))
            x = _Stage(self.blocks, len(self.width), self.group_size, self.expansion, self.dtype)(x)
        x = nn.Dense(self.shape[2], use_bias=False, kernel_init=_normal(1.0), dtype=self.dtype)(x)
        return to_unit(x)


class R3GANDiscriminator(nn.Module):
    """The mirror of `R3GANGenerator`: a 1x1 convolution, stages with bilinear downsampling, a weighted sum, a layer.

    `[B, H, W, C] in [0, 1] -> [B]` float32. The sum over the pixels of the smallest image has weights of each channel
    (a depthwise convolution as large as the image). No example depends on another. In the paper the logit of a
    conditional discriminator is the projection alone, and there are no biases at the end.

    Attributes:
        width: channels of each stage, from the smallest image on, as in `R3GANGenerator`: the last is the first here.
        blocks, group_size, expansion: as in `R3GANGenerator`.
        classes: of a conditional discriminator, which adds a projection; 0: without labels.
        dtype: compute dtype; parameters and logits are float32.

    Raises:
        ValueError: as `R3GANGenerator`.

    Source: as `R3GANGenerator`.
    """

    width: Sequence[int] = (256, 256, 128, 64)
    blocks: int = 2
    group_size: int = 16
    expansion: int = 2
    classes: int = 0
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, label: jax.Array | None = None, train: bool = False, features: bool = False
    ) -> jax.Array:
        x = from_unit(x, "an R3GAN")
        _check(self.width, x.shape[1:], self.group_size, self.expansion)
        x = nn.Dense(self.width[-1], use_bias=False, kernel_init=_normal(1.0), dtype=self.dtype)(x)
        for i, channels in enumerate(reversed(self.width)):
            if i:
                x = _change(downsample(x), channels, self.dtype)
            x = _Stage(self.blocks, len(self.width), self.group_size, self.expansion, self.dtype)(x)
        pixels = x.shape[1] * x.shape[2]
        basis = self.param("basis", nn.initializers.normal(pixels**-0.5), x.shape[1:])
        h = (x.astype(jnp.float32) * basis[None]).sum(axis=(1, 2))
        return h if features else Logit(self.classes, kernel_init=_normal(1.0))(h, label)
