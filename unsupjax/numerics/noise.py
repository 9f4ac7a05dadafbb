"""How noisy a picture is."""

import jax.numpy as jnp
from jax.typing import ArrayLike

_MASK = ((1, -2, 1), (-2, 4, -2), (1, -2, 1))  # of norm 6; blind to what is linear in either direction
_OF_NORMAL = 0.6744897501960817  # the median of |x| of a standard normal x


def noise_level(x: ArrayLike):
    r"""The standard deviation of white noise in pictures: :math:`\mathrm{median}|x * m| / (6 \cdot 0.6745)`.

    m is the product of two second differences, which sees little but noise where a picture is smooth; texture makes
    the estimate too large, and values that were clipped too small.

    Args:
        x: pictures `[B, H, W, C]` of at least 3 x 3 pixels, of numpy or of JAX.

    Returns:
        the level of each, `[B]`, in units of x.

    Source: Immerkaer, "Fast noise variance estimation", 1996; its mean of absolute values is a median here.
    """
    height, width = x.shape[1] - 2, x.shape[2] - 2
    taps = [m * x[:, i : i + height, j : j + width] for i, row in enumerate(_MASK) for j, m in enumerate(row)]
    return jnp.median(jnp.abs(sum(taps)), axis=(1, 2, 3)) / (6 * _OF_NORMAL)
