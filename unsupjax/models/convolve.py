"""Convolutions of the networks of GANs, whose training differentiates twice and in loops.

XLA on CPUs has fast code for few of them: those with a stride or groups and transposed ones are matrix products there.
Against its own code, on 2 cores, that makes the gradient of a DCGAN's generator 5 times as fast (32 x 32, batch 64),
its discriminator's 4 times with a gradient penalty, 60 times inside a loop and 0.6 times otherwise, and R3GAN's 5 to 8
times (batch 16 and 32). Plain convolutions are XLA's everywhere, and slow on CPUs inside a loop or a branch.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1, groups: int = 1) -> jax.Array:
    r"""Cross-correlation with zeros around: :math:`y_{ij} = \sum_{mn} x_{si + m - p, sj + n - p} K_{mn}`.

    Args:
        x: `[B, H, W, C]`; stride 2 needs an even H and W.
        kernel: K, `[k, k, C / groups, D]`, k odd where the stride s is 1 and even where it is 2.
        stride: s, 1 or 2; the padding is :math:`p = \lfloor (k - s + 1) / 2 \rfloor`.
        groups: output channels in that many groups, each of its own group of input channels.

    Returns:
        `[B, H / s, W / s, D]`, of the dtype of x.

    Raises:
        ValueError: a kernel or an image whose size does not go with the stride, or groups with stride 2.
    """
    size = kernel.shape[0]
    if stride not in (1, 2) or (size + stride) % 2 or (stride == 2 and groups > 1):
        raise ValueError(f"no convolution of stride {stride} with a kernel of {size} in {groups} groups")
    if x.shape[1] % stride or x.shape[2] % stride:
        raise ValueError(f"a stride of 2 needs even sides and got images of {x.shape[1]} x {x.shape[2]}")
    pad = (size - stride + 1) // 2

    def products(x, kernel):
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        return _products(*(_fold(x, kernel) if stride == 2 else (x, kernel)), groups)

    def native(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((pad, pad), (pad, pad)),
            dimension_numbers=_LAYOUT,
            feature_group_count=groups,
        )

    if stride == groups == 1:
        return native(x, kernel)  # outside loops twice as fast as the products, on CPUs too
    return jax.lax.platform_dependent(x, kernel, cpu=products, default=native)


def convolve_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    r"""Transposed convolution of stride 2: :math:`y_{pq} = \sum_{2i + m - 1 = p,\, 2j + n - 1 = q} x_{ij} K_{mn}`.

    The adjoint of `convolve(., K', stride=2)`, K' being K with its two last axes swapped.

    Args:
        x: `[B, H, W, C]`.
        kernel: K, `[4, 4, C, D]`.

    Returns:
        `[B, 2 H, 2 W, D]`, of the dtype of x.
    """

    def products(x, kernel):
        taps = kernel.transpose(2, 0, 1, 3)
        y = x.reshape(-1, x.shape[3]) @ taps.reshape(len(taps), -1)  # what each pixel adds to 4 x 4 others
        y = _overlap(y.reshape(*x.shape[:3], *taps.shape[1:]), 1, 3)
        return _overlap(y, 2, 3)

    def native(x, kernel):
        flipped = jnp.flip(kernel, (0, 1))
        return jax.lax.conv_general_dilated(
            x, flipped, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=_LAYOUT
        )

    return jax.lax.platform_dependent(x, kernel, cpu=products, default=native)


def _products(x, kernel, groups):
    """Stride 1 without padding: a matrix product for each row of the kernel, whose columns lie side by side."""
    rows, columns, inputs, outputs = kernel.shape
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    x = x.reshape(*x.shape[:3], groups, inputs)
    x = jnp.concatenate([x[:, :, j : j + width] for j in range(columns)], axis=-1)
    # Matrices and groups before the product: XLA:CPU makes half as fast products of more axes.
    kernel = kernel.reshape(rows, columns * inputs, groups, outputs // groups).swapaxes(1, 2)
    parts = (x[:, i : i + height].reshape(-1, groups, columns * inputs).swapaxes(0, 1) for i in range(rows))
    y = sum(jnp.matmul(part, row) for part, row in zip(parts, kernel, strict=True))
    return y.swapaxes(0, 1).reshape(-1, height, width, outputs)


def _fold(x, kernel):
    """Blocks of 2 x 2 pixels, of the image and of the kernel, as channels: stride 2 becomes stride 1."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).swapaxes(2, 3)
    size, _, inputs, outputs = kernel.shape
    kernel = kernel.reshape(size // 2, 2, size // 2, 2, inputs, outputs).swapaxes(1, 2)
    x = x.reshape(batch, height // 2, width // 2, 4 * channels)
    return x, kernel.reshape(size // 2, size // 2, 4 * inputs, outputs)


def _overlap(y, axis, taps):
    """Adds the four taps of every pixel along an axis to pixels 2 i - 1 to 2 i + 2 of one twice as long."""
    first, second = jnp.split(y, 2, axis=taps)  # to pixels 2 i - 1 and 2 i, 2 i + 1 and 2 i + 2
    pad = lambda a, widths: jnp.pad(a, [widths if i == axis else (0, 0) for i in range(a.ndim)])
    pairs = jnp.moveaxis(pad(first, (0, 1)) + pad(second, (1, 0)), taps, axis + 1)
    shape = pairs.shape
    long = pairs.reshape(*shape[:axis], 2 * shape[axis], *shape[axis + 2 :])
    return jax.lax.slice_in_dim(long, 1, 2 * shape[axis] - 1, axis=axis)


class Conv(nn.Module):
    """`convolve` with a kernel and a bias.

    Attributes:
        features: D, output channels.
        size: of the kernel, odd where the stride is 1 and even where it is 2.
        stride: 1 or 2.
        groups: of channels.
        use_bias: with a bias, which starts at 0.
        kernel_init: of the kernel.
        dtype: compute dtype; parameters are float32.
    """

    features: int
    size: int = 3
    stride: int = 1
    groups: int = 1
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.weight(self.param("kernel", self.kernel_init, shape))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = convolve(x, kernel, self.stride, self.groups)
        return y if bias is None else y + bias[None, None, None]

    def weight(self, kernel: jax.Array) -> jax.Array:
        """What images are convolved with."""
        return kernel


class ConvTranspose(nn.Module):
    """`convolve_transposed` with a kernel of 4 x 4 and a bias: twice the sides.

    Attributes:
        features: D, output channels.
        use_bias: with a bias, which starts at 0.
        kernel_init: of the kernel.
        dtype: compute dtype; parameters are float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = convolve_transposed(x, kernel)
        return y if bias is None else y + bias[None, None, None]
