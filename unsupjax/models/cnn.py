"""A plain convolutional network for tiny images, with batch norm."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.layers import HE, batch_norm, require_images


class CNN(nn.Module):
    """A 3x3 convolution, batch norm and relu for each entry of `features`, all but the first of stride 2.

    `[B, H, W, C] -> [B, features[-1]]`, the global average, for images of any size.

    Attributes:
        features: channels of each layer.
        norm_momentum: of the running statistics, which lie in `batch_stats`.
        dtype: compute dtype; parameters and statistics are float32.
        axis_name: the device axis of batch statistics under `pmap`.
    """

    features: Sequence[int] = (32, 64, 128)
    norm_momentum: float = 0.9
    dtype: jnp.dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        require_images(x, "a CNN")
        for i, n in enumerate(self.features):
            stride = 2 if i else 1
            x = nn.Conv(
                n, (3, 3), strides=stride, padding=1, use_bias=False, dtype=self.dtype, kernel_init=HE
            )(x)
            norm = batch_norm(train, momentum=self.norm_momentum, dtype=self.dtype, axis_name=self.axis_name)
            x = nn.relu(norm(x))
        return x.mean(axis=(1, 2))
