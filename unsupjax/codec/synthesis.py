"""Pictures of coefficients, in whole numbers: the same pixels on every machine.

Planes are multiples of 2^-8 grey levels, weights of the transform of 2^-14 and of the convolutions of 2^-12. As in
`unsupjax.codec.coder`, all products and sums are whole numbers below 2^53 in float64, and exact.
"""

from typing import NamedTuple

import numpy as np

from unsupjax.codec import masking, tables
from unsupjax.codec.coder import STEPS, integers, interpolated
from unsupjax.codec.contexts import BLOCK, KEPT
from unsupjax.codec.transform import COARSEST, RGB, SLOW, synthesise

_PIECE = 2**14  # places of a convolution at once
_BOUND = 2.0**24
_STRIP = 64  # rows of blocks at once
_HALO = 2  # rows of blocks beyond a strip, of which its pixels may depend


class Decoder(NamedTuple):
    """What makes pictures of coefficients, at one quality.

    Attributes:
        steps: of the channels, multiples of 2^-10, at each level of `unsupjax.codec.masking`, `[9, C]`; or `[1, C]`.
        matrices: for each plane `[4, C, BLOCK^2]`.
        step: of the quality, a multiple of 2^-8, and its inverse, of 2^-16.
        kernels: `[9 n, m]` each, and biases.
    """

    steps: np.ndarray
    matrices: tuple[np.ndarray, ...]
    step: tuple[float, float]
    kernels: tuple[tuple[np.ndarray, np.ndarray], ...]


def decoder(params: dict, planes: int, quality: int) -> Decoder:
    """Of float32 parameters; planes 1 of a model of 3 too."""
    coarse = tables.exp2(float(np.log2(COARSEST)) - quality / STEPS / 2)
    channels = sum(KEPT[:1] + KEPT[1:] * (planes - 1))
    gains = interpolated(params["gains"], quality)[:channels]
    masked, shapes = [0], np.zeros(channels)
    if "masking" in params:
        masked = [a - masking.CENTRE for a in range(masking.LEVELS)]
        shapes = interpolated(params["masking"], quality)[:channels]
    names = ("luma", "chroma", "chroma")[:planes]
    kernels = []
    for layer in params["filters"]:
        kernel = np.asarray(layer["kernel"], np.float64)
        kernels.append(
            (integers(kernel.reshape(-1, kernel.shape[-1]), 2**12), integers(layer["bias"], 2**20))
        )
    return Decoder(
        np.array(
            [
                [
                    float(round(tables.exp(g) * coarse * tables.exp2(s * a) * 2**10))
                    for g, s in zip(gains, shapes, strict=True)
                ]
                for a in masked
            ]
        ),
        tuple(integers(np.asarray(params[f"synthesis_{n}"], np.float64) / SLOW, 2**14) for n in names),
        (float(round(coarse * 2**8)), float(round(2**16 / coarse))),
        tuple(kernels),
    )


def picture(
    made: Decoder, q: np.ndarray, height: int, width: int, levels: np.ndarray | None = None
) -> np.ndarray:
    """The uint8 picture `[height, width, planes]` of coefficients int `[h, w, C]`, some rows of blocks at a time.

    `levels` of masking are whole numbers `[h, w]`, where the model has them.
    """
    levels = np.zeros(q.shape[:2], np.int64) if levels is None else levels
    found = np.empty((height, width, len(made.matrices)), np.uint8)
    rows = max(1, min(_STRIP, 4 * 2**12 // q.shape[1]))
    for start in range(0, len(q), rows):
        first, last = max(start - _HALO, 0), min(start + rows + _HALO, len(q))
        pixels = _strip(made, q[first:last], levels[first:last])[(start - first) * BLOCK :]
        there = found[start * BLOCK : (start + rows) * BLOCK]
        there[:] = pixels[: len(there), :width]
    return found


def _strip(made: Decoder, q: np.ndarray, levels: np.ndarray) -> np.ndarray:
    y = np.clip(q * made.steps[levels], -_BOUND, _BOUND)[None]
    starts = np.cumsum([0, *KEPT[:1], *KEPT[1:] * 2])
    planes = [
        np.rint(synthesise(y[..., starts[i] : starts[i + 1]], m, BLOCK)[0] / 2**16)
        for i, m in enumerate(made.matrices)
    ]
    x = _filtered(made, np.clip(np.stack(planes, axis=-1), -_BOUND, _BOUND))
    if x.shape[-1] == 3:
        x = np.rint(x @ np.rint(RGB.T * 2**16) / 2**16)
    return np.clip(np.rint(x / 2**8) + 128, 0, 255).astype(np.uint8)


def _filtered(made: Decoder, x: np.ndarray) -> np.ndarray:
    """Planes `[H, W, P]` with what the convolutions add, at half the resolution."""
    height, width, planes = x.shape
    step, inverse = made.step
    h = np.rint(x * inverse / 2**16)
    wanted = made.kernels[0][0].shape[0] // 36
    if wanted > planes:  # a grey picture of a model of colours
        h = np.concatenate([h, np.zeros((height, width, wanted - planes))], axis=-1)
    h = h.reshape(height // 2, 2, width // 2, 2, wanted).swapaxes(1, 2).reshape(height // 2, width // 2, -1)
    for i, (kernel, bias) in enumerate(made.kernels):
        h = np.rint(_convolved(h, kernel, bias) / 2**12)
        h = np.clip(h, -_BOUND if i == len(made.kernels) - 1 else 0, _BOUND)
    h = h.reshape(height // 2, width // 2, 2, 2, wanted).swapaxes(1, 2).reshape(height, width, wanted)
    return x + np.rint(h[..., :planes] * step / 2**8)


def _convolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    height, width, n = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    found = np.empty((height, width, kernel.shape[1]))
    rows = max(1, _PIECE // width)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        taps = [padded[start + i : stop + i, j : j + width] for i in range(3) for j in range(3)]
        found[start:stop] = (np.concatenate(taps, axis=-1).reshape(-1, 9 * n) @ kernel + bias).reshape(
            stop - start, width, -1
        )
    return found
