"""How near a picture is to another; of 8-bit pictures, in numpy."""

import numpy as np

from unsupjax.losses import structure


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """:math:`10 \\log_{10}(255^2 / \\mathrm{mean}(x - y)^2)` in dB, over all samples; of equal pictures 100."""
    error = np.mean(np.square(np.asarray(x, np.float64) - y))
    return float(10 * np.log10(255**2 / max(error, 255**2 * 1e-10)))


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """`unsupjax.losses.ssim` of pictures `[H, W, C]`, in double precision."""
    return float(structure.ssim(np.asarray(x, np.float64), np.asarray(y, np.float64), 255.0))


def ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """`unsupjax.losses.ms_ssim` of pictures `[H, W, C]`, in double precision.

    Raises:
        ValueError: a picture that is smaller than the window.
    """
    return float(structure.ms_ssim(np.asarray(x, np.float64), np.asarray(y, np.float64), 255.0))
