"""How well noise is taken away from pictures, beside what needs no training."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unsupjax.data.tiles import whole
from unsupjax.errors import UserError, choose
from unsupjax.evaluate import require
from unsupjax.evaluate.fidelity.picture_scores import psnr, ssim
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject
from unsupjax.methods.parts.tiled import restored

logger = logging.getLogger(__name__)


def denoising(
    subject: Subject,
    *,
    pictures: str = "photographs",
    sigmas: tuple = (15.0, 25.0, 50.0),
    baselines: tuple = ("nlm", "wavelet", "bm3d"),
) -> dict[str, float]:
    r"""Puts white Gaussian noise on clean pictures, neither clipped nor rounded, and takes it away again.

    The noise of picture i, in order of their names, is `default_rng([sigma, i]).normal(0, sigma, x.shape)`. What comes
    out is clipped and rounded to 8 bits before it is compared. Means over pictures.

    Args:
        subject: whose method restores pictures of any size.
        pictures: the clean ones: "photographs" (the part of scikit-learn's two that `photographs` holds out), or a
            folder; as the model was trained, grey or of colours.
        sigmas: of the noise, in grey levels of 255.
        baselines: what else takes it away, told sigma: "nlm" (non-local means) and "wavelet" of scikit-image, "bm3d" of
            the package bm3d. One that is not installed is left out, and a warning says so.

    Returns:
        for each sigma `psnr_sigma25` in dB and `ssim_sigma25`; the same of each baseline (`_bm3d` behind) and of what
        is noisy (`_noisy`); `denoising_seconds`, and of each baseline, for a picture at the last sigma.

    Raises:
        UserError: no such pictures; an unknown baseline; a sigma that is not positive.
    """
    require.function(subject.method, "restore", "denoising")
    check({"sigmas": sigmas, "baselines": baselines}, None)
    clean = _clean(subject, pictures)
    users: dict[str, Callable] = {"": lambda x, sigma: _own(subject, x)}
    users |= {f"_{name}": BASELINES[name] for name in _installed(baselines)} | {"_noisy": lambda x, sigma: x}
    results = {}
    for sigma in sigmas:
        for name, use in users.items():
            found, start = [], time.perf_counter()
            for i, x in enumerate(clean):
                made = np.rint(np.clip(use(noisy(x, sigma, i), sigma), 0, 255))
                found.append((psnr(made, x), ssim(made, x)))
            results[f"psnr_sigma{sigma:g}{name}"], results[f"ssim_sigma{sigma:g}{name}"] = map(
                float, np.mean(found, axis=0)
            )
            if name != "_noisy":
                results[f"denoising_seconds{name}"] = (time.perf_counter() - start) / len(clean)
    return results


def check(arguments: Mapping[str, Any], facts: Facts | None) -> None:
    """Refuses names and noise levels that there are not."""
    for name in arguments["baselines"]:
        choose("config.evaluate.denoising.baselines", name, BASELINES)
    for sigma in arguments["sigmas"]:
        if not sigma > 0:
            raise UserError(f"config.evaluate.denoising.sigmas={sigma} must be above 0")


def noisy(x: np.ndarray, sigma: float, i: int) -> np.ndarray:
    """Picture i with noise, float64, not clipped."""
    return x + np.random.default_rng([int(sigma), i]).normal(0, sigma, x[..., 0].shape if x.shape[-1] == 1 else x.shape
        ).reshape(x.shape)  # fmt: skip


def _clean(subject: Subject, pictures: str) -> list[np.ndarray]:
    return [x.astype(np.float64) for x in whole(pictures, subject.kind.shape[-1]).values()]


def _own(subject: Subject, x: np.ndarray) -> np.ndarray:
    made = restored(
        subject.method.restore, subject.state, (x / 255).astype(np.float32), subject.kind.shape[-1]
    )
    return np.asarray(made, np.float64) * 255


def _installed(names: tuple) -> list[str]:
    import importlib.util

    packages = {"nlm": "skimage", "wavelet": "skimage", "bm3d": "bm3d"}
    found = []
    for name in names:
        if importlib.util.find_spec(packages[name]) is None:
            logger.warning("denoising: %r is left out: the package %s is not installed", name, packages[name])
        else:
            found.append(name)
    return found


def _nlm(x: np.ndarray, sigma: float) -> np.ndarray:
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 5, "patch_distance": 6, "fast_mode": True, "channel_axis": -1}
    made = denoise_nl_means(x / 255, h=0.6 * sigma / 255, sigma=sigma / 255, **options)
    return made.reshape(x.shape) * 255  # one channel comes back without its axis


def _wavelet(x: np.ndarray, sigma: float) -> np.ndarray:
    """Of Haar wavelets, the mean over 4 x 4 shifts."""
    from skimage.restoration import cycle_spin, denoise_wavelet

    options = {"sigma": sigma / 255, "rescale_sigma": True}
    spun = lambda plane: cycle_spin(
        plane / 255, func=denoise_wavelet, max_shifts=3, func_kw=options, workers=1
    )
    return np.stack([spun(x[..., i]) for i in range(x.shape[-1])], axis=-1) * 255


def _bm3d(x: np.ndarray, sigma: float) -> np.ndarray:
    from bm3d import bm3d, bm3d_rgb

    use = bm3d if x.shape[-1] == 1 else bm3d_rgb
    return use(x / 255, sigma / 255).reshape(x.shape) * 255


BASELINES = {"nlm": _nlm, "wavelet": _wavelet, "bm3d": _bm3d}
