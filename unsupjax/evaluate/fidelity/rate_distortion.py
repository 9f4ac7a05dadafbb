"""Bytes of compressed pictures against their error, beside the formats that everybody has."""

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unsupjax.data.tiles import whole
from unsupjax.errors import UserError, choose
from unsupjax.evaluate import require
from unsupjax.evaluate.fidelity.picture_scores import ms_ssim, psnr
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject

PEERS = {  # Pillow's name of the format, its options by quality, and the qualities
    "jpeg": ("JPEG", lambda q: {"quality": q, "optimize": True}, (10, 20, 35, 55, 75, 90)),
    "webp": ("WEBP", lambda q: {"quality": q, "method": 6}, (3, 10, 30, 55, 75, 86, 93, 98)),
    # Rates, as it knows them itself; without its own colours (mct) it codes red, green and blue apart.
    "jpeg2000": ("JPEG2000", lambda q: {"irreversible": True, "mct": 1, "quality_layers": [q]},
        (120, 80, 50, 30, 18, 10, 6, 3)),
    "avif": ("AVIF", lambda q: {"quality": q}, (20, 32, 44, 56, 68, 80, 90)),
}  # fmt: skip
KEYS = ("bpp", "psnr", "ms_ssim")

logger = logging.getLogger(__name__)


def rate_distortion(
    subject: Subject,
    *,
    pictures: str = "photographs",
    qualities: tuple = (4, 14, 24, 34, 44, 54, 64),
    peers: tuple = ("jpeg", "webp", "jpeg2000", "avif"),
    psnr_interval: tuple = (),
) -> dict[str, float]:
    r"""Compresses whole pictures, decompresses the bytes, and compares both with what Pillow's formats do.

    A point of a curve is the mean over pictures, at one quality, of bits a pixel (of all bytes of a file) and of the
    PSNR, or of MS-SSIM. The BD-rate is the mean difference of log rates over an interval of quality,

    .. math:: \exp\Big(\frac{1}{b - a} \int_a^b (\log R(D) - \log R_0(D))\, dD\Big) - 1

    in percent, negative where R is smaller, with log rates interpolated by monotone cubics (PCHIP); MS-SSIM is taken as
    :math:`-10 \log_{10}(1 - s)`.

    Args:
        subject: whose method compresses.
        pictures: "photographs" (the part of scikit-learn's two that `photographs` holds out), or a folder; as the model
            was trained, grey or of colours. MS-SSIM has its five scales from 176 pixels on.
        qualities: of the codec, from 0 to 64.
        peers: "jpeg" (optimised, 4:2:0), "webp" (method 6), "jpeg2000" (irreversible), "avif"; one that this Pillow
            cannot write is left out, and a warning says so.
        psnr_interval: the interval in dB of the BD-rate over PSNR, which both curves must span; (): what they share.

    Returns:
        `bd_rate_psnr_jpeg` and `bd_rate_msssim_jpeg`, and the same against each of `peers`; of each peer against JPEG
        (`bd_rate_psnr_jpeg_of_webp`); the points, `bpp_q24`, `psnr_q24`, `ms_ssim_q24`, and of peers `bpp_jpeg_q35`.

    Raises:
        UserError: no such pictures, peer or quality; a curve that does not span the interval.

    Source: Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001.
    """
    require.function(subject.method, "codec", "rate_distortion")
    check({"qualities": qualities, "peers": peers, "psnr_interval": psnr_interval}, None)
    clean, codec = list(whole(pictures, subject.kind.shape[-1]).values()), subject.method.codec(subject.state)

    def own(x, quality):
        content = codec.compress(x, int(quality))
        return len(content), codec.decompress(content)

    curves = {"": points(clean, own, qualities)}
    for name in written(peers):
        form, options, taken = PEERS[name]
        curves[name] = points(clean, lambda x, q, f=form, o=options: saved(x, f, **o(q)), taken)
    results = {}
    for name, curve in curves.items():
        for quality, values in curve.items():
            lead = f"{name}_q{quality:g}" if name else f"q{quality:g}"
            results |= {f"{key}_{lead}": float(v) for key, v in zip(KEYS, values, strict=True)}
    return results | _rates(curves, psnr_interval)


def check(arguments: Mapping[str, Any], facts: Facts | None) -> None:
    """Refuses what would fail once training is over."""
    for name in arguments["peers"]:
        choose("config.evaluate.rate_distortion.peers", name, PEERS)
    qualities, interval = arguments["qualities"], arguments["psnr_interval"]
    if len(qualities) < 4 or any(q not in range(65) for q in qualities):
        raise UserError(
            f"config.evaluate.rate_distortion.qualities={qualities} must be 4 or more, from 0 to 64"
        )
    if interval and (len(interval) != 2 or not interval[0] < interval[1]):
        raise UserError(
            f"config.evaluate.rate_distortion.psnr_interval={interval} must be two numbers, ascending"
        )


def points(pictures: Sequence[np.ndarray], use: Callable, qualities: Sequence) -> dict[float, np.ndarray]:
    """Mean bits a pixel, PSNR and MS-SSIM of `use(picture, quality) -> (bytes, decoded)` at each quality."""
    found = {}
    for quality in qualities:
        rows = []
        for x in pictures:
            size, decoded = use(x, quality)
            rows.append((8 * size / (x.shape[0] * x.shape[1]), psnr(decoded, x), ms_ssim(decoded, x)))
        found[quality] = np.mean(rows, axis=0)
    return found


def saved(x: np.ndarray, form: str, **options: Any) -> tuple[int, np.ndarray]:
    """Bytes of a picture in a format of Pillow, and what it reads back."""
    from PIL import Image

    file, grey = io.BytesIO(), x.shape[-1] == 1
    Image.fromarray(x[..., 0] if grey else x).save(file, form, **options)
    size = file.tell()
    decoded = np.asarray(Image.open(file).convert("L" if grey else "RGB"))
    return size, decoded.reshape(x.shape)


def written(peers: Sequence[str]) -> list[str]:
    """Those that this Pillow can write."""
    from PIL import Image

    Image.init()
    for name in peers:
        if PEERS[name][0] not in Image.SAVE:
            logger.warning("rate_distortion: %s is left out: this Pillow cannot write it", name)
    return [name for name in peers if PEERS[name][0] in Image.SAVE]


def bd_rate(
    rate: np.ndarray, quality: np.ndarray, anchor_rate, anchor_quality, interval: tuple = ()
) -> float:
    """The BD-rate in percent of a curve against an anchor's; see `rate_distortion`.

    Raises:
        ValueError: a curve does not span the interval, or the two share none.
    """
    from scipy.interpolate import PchipInterpolator

    low, high = interval or (
        max(np.min(quality), np.min(anchor_quality)),
        min(np.max(quality), np.max(anchor_quality)),
    )
    means = []
    for r, q in ((rate, quality), (anchor_rate, anchor_quality)):
        order = np.argsort(q)
        q, r = np.asarray(q, float)[order], np.asarray(r, float)[order]
        if not low < high or low < q[0] - 1e-9 or high > q[-1] + 1e-9:
            raise ValueError(f"from {q[0]:.2f} to {q[-1]:.2f}, where {low:.2f} to {high:.2f} is asked for")
        means.append(PchipInterpolator(q, np.log(r)).integrate(low, high) / (high - low))
    return float(100 * np.expm1(means[0] - means[1]))


def _rates(curves: dict, interval: tuple) -> dict[str, float]:
    results = {}
    named = {name: np.array(list(curve.values())) for name, curve in curves.items()}
    scores = {"psnr": lambda c: c[:, 1], "msssim": lambda c: -10 * np.log10(np.maximum(1 - c[:, 2], 1e-9))}
    for key, score in scores.items():
        over = interval if key == "psnr" else ()
        pairs = [("", name, f"bd_rate_{key}_{name}") for name in named if name]
        pairs += [
            (name, "jpeg", f"bd_rate_{key}_jpeg_of_{name}") for name in named if name not in ("", "jpeg")
        ]
        for one, other, result in pairs:
            if other not in named:
                continue
            a, b = named[one], named[other]
            try:
                results[result] = bd_rate(a[:, 0], score(a), b[:, 0], score(b), over)
            except ValueError as error:
                raise UserError(
                    f"rate_distortion: the curve of {one or 'the codec'} or {other} goes {error}; change qualities or "
                    "config.evaluate.rate_distortion.psnr_interval"
                ) from error
    return results
