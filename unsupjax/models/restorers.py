"""Networks that take pictures to pictures of the same size, of any size, without biases."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from unsupjax.models.convolve import Conv


def unshuffle(x: jax.Array, block: int = 2) -> jax.Array:
    """Blocks of pixels as channels: `[B, H, W, C] -> [B, H / b, W / b, b b C]`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // block, block, width // block, block, channels).swapaxes(2, 3)
    return x.reshape(batch, height // block, width // block, block * block * channels)


def shuffle(x: jax.Array, block: int = 2) -> jax.Array:
    """The inverse of `unshuffle`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, block, block, channels // block**2).swapaxes(2, 3)
    return x.reshape(batch, height * block, width * block, channels // block**2)


class UNet(nn.Module):
    r"""A U-shaped network whose finest level has half of the pixels' resolution; gives what is added to its input.

    Every layer is linear or a ReLU and none has a bias: :math:`f(a x) = a f(x)` for :math:`a > 0`, so that a network
    trained on some noise levels serves others (Mohan et al., "Robust and interpretable blind image denoising via
    bias-free convolutional neural networks", ICLR 2020). Blocks of 2 x 2 pixels as channels come from Zhang et al.,
    "FFDNet", TIP 2018: at half the resolution a layer sees four times the area at a quarter of the work.

    `[B, H, W, C] -> [B, H, W, C]`, H and W multiples of 2^L with L levels.

    Attributes:
        features: channels of each level, from the finest down.
        blocks: residual blocks of two 3x3 convolutions, at each level on the way down and again on the way up.
        dtype: compute dtype; parameters are float32.
    """

    features: Sequence[int] = (48, 96, 128)
    blocks: int = 1
    dtype: jax.typing.DTypeLike | None = None

    @property
    def multiple(self) -> int:
        """What the sides of a picture are multiples of."""
        return 2 ** len(self.features)

    @property
    def margin(self) -> int:
        """No pixel of the output depends on inputs that are further away, a multiple of `multiple`."""
        deepest = len(self.features) - 1
        convs = [
            2 * self.blocks * (1 if i == deepest else 2) + (2 if i == 0 else 0) for i in range(deepest + 1)
        ]
        reach = sum(n * 2 ** (i + 1) for i, n in enumerate(convs)) + self.multiple - 1
        return -(-reach // self.multiple) * self.multiple

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = lambda n, size=3: Conv(n, size, use_bias=False, dtype=self.dtype)
        channels, h, kept = x.shape[-1], unshuffle(x), []
        h = conv(self.features[0])(h)
        for level, n in enumerate(self.features):
            if level:
                kept.append(h)
                h = conv(n, 1)(unshuffle(h))
            h = self._blocks(conv, n, h)
        self.sow("intermediates", "deepest", h)
        for n in reversed(self.features[:-1]):
            h = self._blocks(conv, n, shuffle(conv(4 * n, 1)(h)) + kept.pop())
        return shuffle(
            Conv(4 * channels, use_bias=False, kernel_init=nn.initializers.zeros, dtype=self.dtype)(h)
        )

    def _blocks(self, conv, n: int, h: jax.Array) -> jax.Array:
        for _ in range(self.blocks):
            h = h + conv(n)(nn.relu(conv(n)(h)))
        return h


class DnCNN(nn.Module):
    """A stack of 3x3 convolutions and ReLUs without biases; gives what is added to its input.

    `[B, H, W, C] -> [B, H, W, C]`, of any size that `block` divides.

    Attributes:
        features: channels of each layer.
        layers: convolutions.
        block: so many pixels squared are channels of one place; 1: the network of the paper, without batch norm.
        dtype: compute dtype; parameters are float32.

    Source: Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising", TIP 2017.
    """

    features: int = 64
    layers: int = 17
    block: int = 1
    dtype: jax.typing.DTypeLike | None = None

    @property
    def multiple(self) -> int:
        """What the sides of a picture are multiples of."""
        return self.block

    @property
    def margin(self) -> int:
        """No pixel of the output depends on inputs that are further away, a multiple of `multiple`."""
        return (self.layers + 1) * self.block

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        outputs, h = x.shape[-1] * self.block**2, unshuffle(x, self.block)
        for _ in range(self.layers - 1):
            h = nn.relu(Conv(self.features, use_bias=False, dtype=self.dtype)(h))
        self.sow("intermediates", "deepest", h)
        last = Conv(outputs, use_bias=False, kernel_init=nn.initializers.zeros, dtype=self.dtype)
        return shuffle(last(h), self.block)
