"""Pictures without their noise, and compressed ones, beside what they were."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unsupjax.data.tiles import whole
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.fidelity.denoising import noisy
from unsupjax.evaluate.fidelity.picture_scores import psnr
from unsupjax.evaluate.fidelity.rate_distortion import PEERS, saved, written
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.subject import Subject
from unsupjax.methods.parts.tiled import restored

RATES = (0.06, 0.12, 0.25, 0.5, 1, 2, 4)  # bits a pixel that axes name


def denoised(
    subject: Subject,
    path: str | Path,
    *,
    pictures: str = "photographs",
    sigma: float = 25.0,
    n: int = 3,
    side: int = 160,
) -> None:
    """Draw pictures with noise, without it again, and clean, with their PSNR.

    Args:
        subject: what is shown.
        path: the PNG to write.
        pictures: clean ones, as of the evaluator `denoising`; noise is as there.
        sigma: of the noise, in grey levels.
        n: the first so many, each the square in its middle.
        side: of the squares.

    Raises:
        UserError: the method restores no pictures; no such pictures.
    """
    require.function(subject.method, "restore", "denoised")
    channels, rows = subject.kind.shape[-1], []
    for i, (name, x) in enumerate(list(whole(pictures, channels).items())[:n]):
        y = noisy(x.astype(np.float64), sigma, i)
        made = restored(subject.method.restore, subject.state, (y / 255).astype(np.float32), channels) * 255
        seen = [np.rint(np.clip(p, 0, 255)) for p in (y, made, x)]
        words = [f"{name}: {psnr(seen[0], x):.2f} dB", f"denoised: {psnr(seen[1], x):.2f} dB", "clean"]
        rows.append([(_middle(p, side), w) for p, w in zip(seen, words, strict=True)])
    _grid(rows, f"noise of {sigma:g} grey levels", path)


def compressed(
    subject: Subject,
    path: str | Path,
    *,
    pictures: str = "photographs",
    quality: int = 20,
    peers: tuple = ("jpeg", "webp"),
    n: int = 3,
    side: int = 160,
) -> None:
    """Draw pictures, what the codec makes of them, and what others make of them in as many bytes, with their PSNR.

    Args:
        subject: what is shown.
        path: the PNG to write.
        pictures: as of the evaluator `rate_distortion`.
        quality: of the codec.
        peers: as of `rate_distortion`; of each the quality whose size is nearest.
        n: the first so many, each the square in its middle.
        side: of the squares.

    Raises:
        UserError: the method compresses nothing; no such pictures.
    """
    require.function(subject.method, "codec", "compressed")
    codec, rows = subject.method.codec(subject.state), []
    for name, x in list(whole(pictures, subject.kind.shape[-1]).items())[:n]:
        content = codec.compress(x, quality)
        row = [
            (x, name),
            (codec.decompress(content), _words("codec", len(content), x, codec.decompress(content))),
        ]
        for peer in written(peers):
            size, made = _nearest(x, peer, len(content))
            row.append((made, _words(peer, size, x, made)))
        rows.append([(_middle(p, side), w) for p, w in row])
    _grid(rows, "as many bytes", path)


def rate_curves(subject: Subject, path: str | Path) -> None:
    """Draw the curves that the evaluator `rate_distortion` found: PSNR and MS-SSIM over bits a pixel.

    Args:
        subject: what is shown, with `results`.
        path: the PNG to write.

    Raises:
        UserError: `rate_distortion` has not run.
    """
    curves = curves_of(subject.results or {})
    if not curves:
        raise UserError(
            "config.evaluate.figures: 'rate_curves' shows what 'rate_distortion' found: add that to config.evaluate.run"
        )
    figure, axes = style.panels(2, 2, 4.6, 3.8)
    labels = {1: "PSNR (dB)", 2: "MS-SSIM (-10 log(1 - s), dB)"}
    for column, ax in zip(labels, axes, strict=True):
        for i, (name, points) in enumerate(curves.items()):
            y = points[:, 1] if column == 1 else -10 * np.log10(np.maximum(1 - points[:, 2], 1e-9))
            colour, marker = style.class_look(i)
            ax.plot(points[:, 0], y, color=colour, marker=marker, markersize=4, label=name)
        ax.set_xscale("log")
        ax.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
        ax.minorticks_off()
        ax.set_xlim(0.9 * min(c[0, 0] for c in curves.values()), 1.1 * max(c[-1, 0] for c in curves.values()))
        style.polish(ax, "", "bits a pixel (log)", labels[column])
    axes[0].legend(frameon=False, fontsize=9)
    style.save(figure, path)


def curves_of(results: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Points (bits a pixel, PSNR, MS-SSIM) `[n, 3]` of each curve, ascending; of the codec itself first."""
    found: dict[str, list] = {}
    for key, value in results.items():
        if match := re.fullmatch(r"bpp_(?:(\w+)_)?q(\d+)", key):
            behind = key.removeprefix("bpp_")
            found.setdefault(match[1] or "codec", []).append(
                (value, results[f"psnr_{behind}"], results[f"ms_ssim_{behind}"])
            )
    return {name: np.array(sorted(points)) for name, points in found.items()}


def _nearest(x: np.ndarray, peer: str, size: int) -> tuple[int, np.ndarray]:
    """What a peer makes of a picture in about so many bytes."""
    form, options, _ = PEERS[peer]
    low, high, tried = 1, 95, []
    while low <= high:
        quality = (low + high) // 2
        tried.append(saved(x, form, **options(quality)))
        low, high = (quality + 1, high) if tried[-1][0] < size else (low, quality - 1)
    return min(tried, key=lambda made: abs(made[0] - size))


def _words(name: str, size: int, x: np.ndarray, made: np.ndarray) -> str:
    return f"{name}: {size:,} bytes, {psnr(made, x):.2f} dB"


def _middle(x: np.ndarray, side: int) -> np.ndarray:
    height, width = x.shape[:2]
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    return x[top : top + side, left : left + side]


def _grid(rows: list, title: str, path) -> None:
    figure = style.new_figure(2.5 * len(rows[0]), 2.7 * len(rows) + 0.3)
    for axes, row in zip(figure.subplots(len(rows), len(rows[0]), squeeze=False), rows, strict=True):
        for ax, (x, words) in zip(axes, row, strict=True):
            ax.imshow(x[..., 0] if x.shape[-1] == 1 else x.astype(np.uint8), cmap="gray", vmin=0, vmax=255,
                interpolation="nearest")  # fmt: skip
            ax.set_title(words, fontsize=8)
            ax.axis("off")
    figure.suptitle(title, fontsize=11)
    style.save(figure, path)
