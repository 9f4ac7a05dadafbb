"""Structural similarity of pictures, of arrays of numpy or of jax: judges measure it, and codecs learn by it."""

import math
from typing import Any

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM, the finest first
_SIGMA, _RADIUS = 1.5, 5  # the window: a Gaussian of 11 taps
_C1, _C2 = 0.01**2, 0.03**2  # times the range squared
_LEAST = 1e-6  # of a scale's similarity, below which its power would have no finite slope


def ssim(x, y, data_range: float = 1.0):
    r"""Structural similarity, the mean of

    .. math:: \frac{2 \mu_x \mu_y + c_1}{\mu_x^2 + \mu_y^2 + c_1}
        \cdot \frac{2 \sigma_{xy} + c_2}{\sigma_x^2 + \sigma_y^2 + c_2}

    over all places that a Gaussian window of 11 taps has room for, and over channels.

    Args:
        x, y: pictures `[..., H, W, C]`, floats.
        data_range: from black to white, L: :math:`c_1 = (0.01 L)^2, c_2 = (0.03 L)^2`.

    Returns:
        `[...]`, 1 where they are equal.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", TIP 2004.
    """
    _check(x, y)
    return _similarities(x, y, data_range)[0].mean(axis=(-3, -2, -1))


def ms_ssim(x, y, data_range: float = 1.0):
    r"""Multi-scale SSIM, :math:`\prod_s m_s^{w_s}`, mean over channels.

    :math:`m_s` is the mean of SSIM's second factor (contrast and structure) at scale s, and of all of SSIM at the last;
    each scale is the one before halved, by the mean of 2 x 2 pixels. A negative mean counts as 0. There are five
    scales from 176 pixels on; where a side is shorter there are fewer, and their weights are divided by their sum.

    Args:
        x, y, data_range: as of `ssim`.

    Returns:
        `[...]`, 1 where they are equal. The gradient is finite everywhere.

    Raises:
        ValueError: pictures that are smaller than the window.

    >>> x = jnp.linspace(0, 1, 16 * 16).reshape(16, 16, 1)
    >>> print(round(float(ms_ssim(x, x)), 4), float(ms_ssim(x, 1 - x)))
    1.0 0.0

    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", Asilomar 2003.
    """
    _check(x, y)
    weights = SCALES[: sum(min(x.shape[-3:-1]) >> i > 2 * _RADIUS for i in range(len(SCALES)))]
    product: Any = 1.0
    for i, weight in enumerate(weights):
        whole, contrast = _similarities(x, y, data_range)
        found = (whole if i == len(weights) - 1 else contrast).mean(axis=(-3, -2))
        product = product * found.clip(_LEAST, 1) ** (weight / sum(weights)) * (found > 0)
        x, y = _halved(x), _halved(y)
    return product.mean(axis=-1)


def _check(x, y):
    if x.shape != y.shape:
        raise ValueError(f"pictures of shapes {x.shape} and {y.shape} are compared")
    if min(x.shape[-3:-1]) <= 2 * _RADIUS:
        raise ValueError(f"a picture of shape {x.shape[-3:]} has no room for the window of SSIM")


def _similarities(x, y, data_range):
    """SSIM, and its part of contrast and structure, at every place of every channel."""
    c1, c2 = _C1 * data_range**2, _C2 * data_range**2
    mx, my = _smooth(x), _smooth(y)
    xx, yy, xy = _smooth(x * x) - mx * mx, _smooth(y * y) - my * my, _smooth(x * y) - mx * my
    contrast = (2 * xy + c2) / (xx + yy + c2)
    return contrast * (2 * mx * my + c1) / (mx * mx + my * my + c1), contrast


def _smooth(x):
    """What the window sees, where it has room: `[..., H - 10, W - 10, C]`."""
    taps = [math.exp(-0.5 * (i / _SIGMA) ** 2) for i in range(-_RADIUS, _RADIUS + 1)]
    taps = [tap / sum(taps) for tap in taps]
    height, width = x.shape[-3] - 2 * _RADIUS, x.shape[-2] - 2 * _RADIUS
    x = sum(tap * x[..., i : i + height, :, :] for i, tap in enumerate(taps))
    return sum(tap * x[..., i : i + width, :] for i, tap in enumerate(taps))


def _halved(x):
    x = x[..., : x.shape[-3] // 2 * 2, : x.shape[-2] // 2 * 2, :]
    rows = x[..., ::2, :, :] + x[..., 1::2, :, :]
    return (rows[..., ::2, :] + rows[..., 1::2, :]) / 4
