"""Layers whose kernels are divided by their spectral norm."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unsupjax.models.convolve import Conv
from unsupjax.numerics.spectral import dot, matrix, turn


def _normalised(module: nn.Module, kernel: jax.Array) -> jax.Array:
    r"""W divided by :math:`\sigma = u^T W v`, whose u and v are constants of the gradient."""
    w = matrix(kernel)

    def start():
        return turn(w, jax.random.normal(module.make_rng("params"), w.shape[:1]))

    u, v = start() if module.is_initializing() else (None, None)
    u = module.variable("spectral", "u", lambda: u).value
    v = module.variable("spectral", "v", lambda: v).value
    return kernel / dot(dot(jax.lax.stop_gradient(u), w), jax.lax.stop_gradient(v))


class SpectralDense(nn.Module):
    r"""A dense layer with the kernel :math:`W / \sigma`, as `SpectralConv`.

    Attributes:
        features: units.
        use_bias: with a bias, which starts at 0.
        kernel_init: of W.
        dtype: compute dtype; parameters and vectors are float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = _normalised(self, self.param("kernel", self.kernel_init, (x.shape[-1], self.features)))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return x @ kernel if bias is None else x @ kernel + jnp.expand_dims(bias, range(x.ndim - 1))


class SpectralConv(Conv):
    r"""A convolution with the kernel :math:`W / \sigma`, W as a matrix `[height * width * inputs, outputs]`.

    :math:`\sigma = u^T W v` estimates the largest singular value; a gradient reaches W through the numerator and
    through it. u and v lie in the collection "spectral", where calls read them and `power_iteration` moves them.
    At first u is random and both have had one turn. The attributes are those of `Conv`.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
    """

    def weight(self, kernel: jax.Array) -> jax.Array:
        return _normalised(self, kernel)
