"""How near a picture is to another; of 8-bit pictures, in numpy."""

import numpy as np

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales of MS-SSIM
_SIGMA, _RADIUS = 1.5, 5  # the window of SSIM: 11 taps
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LEAST_SIDE = 16 * 10 + 1  # at which the fifth scale has room for the window


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """:math:`10 \\log_{10}(255^2 / \\mathrm{mean}(x - y)^2)` in dB, over all samples; of equal pictures 100."""
    error = np.mean(np.square(np.asarray(x, np.float64) - y))
    return float(10 * np.log10(255**2 / max(error, 255**2 * 1e-10)))


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Structural similarity of pictures `[H, W, C]`, mean over what a Gaussian window of 11 taps has room for.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", TIP 2004.
    """
    return float(np.mean(_similarities(np.asarray(x, np.float64), np.asarray(y, np.float64))[0]))


def ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Multi-scale SSIM of pictures `[H, W, C]` over five scales, fewer where a picture is too small for them.

    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", Asilomar 2003.
    """
    x, y, found = np.asarray(x, np.float64), np.asarray(y, np.float64), []
    scales = sum(min(x.shape[:2]) >> i >= 2 * _RADIUS + 1 for i in range(len(_WEIGHTS)))
    if not scales:
        raise ValueError(f"a picture of shape {x.shape} has no room for the window of SSIM")
    for i in range(scales):
        whole, contrast = _similarities(x, y)
        last = i == scales - 1
        found.append(np.clip((whole if last else contrast).mean(axis=(0, 1)), 0, 1))
        x, y = _halved(x), _halved(y)
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    return float(np.prod(np.array(found) ** weights[:, None], axis=0).mean())


def _similarities(x, y):
    """SSIM, and its part of contrast and structure, at every place of every channel."""
    mx, my = _smooth(x), _smooth(y)
    xx, yy, xy = _smooth(x * x) - mx * mx, _smooth(y * y) - my * my, _smooth(x * y) - mx * my
    contrast = (2 * xy + _C2) / (xx + yy + _C2)
    return contrast * (2 * mx * my + _C1) / (mx * mx + my * my + _C1), contrast


def _smooth(x):
    from scipy.ndimage import correlate1d

    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    x = correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)
    return x[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _halved(x):
    x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
