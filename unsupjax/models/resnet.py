"""Residual networks; the stem for small images or the original one."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.layers import HE, batch_norm, require_images

STEMS = ("cifar", "half", "imagenet")


def _conv(features: int, size: int, stride: int, dtype: jnp.dtype | None) -> nn.Conv:
    # Padding as PyTorch's, the same on both sides: XLA's "SAME" shifts strided convolutions by a pixel.
    return nn.Conv(
        features,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=False,
        dtype=dtype,
        kernel_init=HE,
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside an identity, or beside a 1x1 convolution where the shape changes."""

    features: int
    stride: int
    norm: Callable[..., nn.BatchNorm]
    zero_init: bool
    dtype: jnp.dtype | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(self.norm()(_conv(self.features, 3, self.stride, self.dtype)(x)))
        y = self.norm(zero=self.zero_init)(_conv(self.features, 3, 1, self.dtype)(y))
        if x.shape != y.shape:
            x = self.norm()(_conv(self.features, 1, self.stride, self.dtype)(x))
        return nn.relu(x + y)


class BottleneckBlock(nn.Module):
    """1x1, 3x3 (with the stride: version 1.5) and 1x1 convolutions, the last to four times the channels."""

    features: int
    stride: int
    norm: Callable[..., nn.BatchNorm]
    zero_init: bool
    dtype: jnp.dtype | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(self.norm()(_conv(self.features, 1, 1, self.dtype)(x)))
        y = nn.relu(self.norm()(_conv(self.features, 3, self.stride, self.dtype)(y)))
        y = self.norm(zero=self.zero_init)(_conv(4 * self.features, 1, 1, self.dtype)(y))
        if x.shape != y.shape:
            x = self.norm()(_conv(4 * self.features, 1, self.stride, self.dtype)(x))
        return nn.relu(x + y)


BLOCKS = {"basic": BasicBlock, "bottleneck": BottleneckBlock}


class ResNet(nn.Module):
    """A residual network with its global average as the output.

    `[B, H, W, C] -> [B, features]` for images of any size; `features` is 8 * width with four stages of basic
    blocks and 32 * width with bottlenecks. Stage i has `width * 2^i` channels and all but the first halve the image.
    Kernels start as He normal by fan-out.

    Attributes:
        stage_sizes: blocks of each stage.
        block: `"basic"` or `"bottleneck"`.
        width: channels of the first stage.
        stem: `"cifar"`, a 3x3 convolution; `"half"`, the same of stride 2, for a quarter of the work; `"imagenet"`, a
            7x7 convolution and a 3x3 maximum, each of stride 2.
        zero_init: every block starts as the identity: gamma of its last batch norm starts at 0.
        norm_momentum: of the running statistics, which lie in `batch_stats`.
        dtype: compute dtype; parameters and statistics are float32.
        axis_name: the device axis of batch statistics under `pmap`.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016; zero_init: Goyal et al., "Accurate,
    large minibatch SGD: training ImageNet in 1 hour", 2017.
    """

    stage_sizes: Sequence[int] = (2, 2, 2, 2)
    block: str = "basic"
    width: int = 64
    stem: str = "cifar"
    zero_init: bool = True
    norm_momentum: float = 0.9
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        require_images(x, "a ResNet")
        for name, known in (("block", tuple(BLOCKS)), ("stem", STEMS)):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; one of {', '.join(known)}")
        norm = functools.partial(
            batch_norm, train, momentum=self.norm_momentum, dtype=self.dtype, axis_name=self.axis_name
        )
        if self.stem != "imagenet":
            x = nn.relu(norm()(_conv(self.width, 3, 1 if self.stem == "cifar" else 2, self.dtype)(x)))
        else:
            x = nn.relu(norm()(_conv(self.width, 7, 2, self.dtype)(x)))
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for stage, blocks in enumerate(self.stage_sizes):
            for i in range(blocks):
                stride = 2 if stage and not i else 1
                block = BLOCKS[self.block](
                    self.width * 2**stage,
                    stride,
                    norm,
                    self.zero_init,
                    self.dtype,
                    name=f"stage{stage}_block{i}",
                )
                x = block(x)
        return x.mean(axis=(1, 2))


def resnet18(
    *,
    width: int = 64,
    stem: str = "cifar",
    zero_init: bool = True,
    norm_momentum: float = 0.9,
    dtype: jnp.dtype | None = None,
    axis_name: str | None = None,
) -> ResNet:
    """ResNet-18, `[B, H, W, C] -> [B, 8 * width]`; the arguments are `ResNet`'s."""
    return ResNet((2, 2, 2, 2), "basic", width, stem, zero_init, norm_momentum, dtype, axis_name)


def resnet50(
    *,
    width: int = 64,
    stem: str = "cifar",
    zero_init: bool = True,
    norm_momentum: float = 0.9,
    dtype: jnp.dtype | None = None,
    axis_name: str | None = None,
) -> ResNet:
    """ResNet-50 (version 1.5), `[B, H, W, C] -> [B, 32 * width]`; the arguments are `ResNet`'s."""
    return ResNet((3, 4, 6, 3), "bottleneck", width, stem, zero_init, norm_momentum, dtype, axis_name)
