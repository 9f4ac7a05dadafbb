"""Pictures of any size through a network, piece by piece."""

import functools
from typing import Any

import jax
import numpy as np

from unsupjax.methods.base import Restorer

_LEAST, _MOST = 64, 512  # pixels of a piece, beside its margins


def restored(restorer: Restorer, state: Any, x: np.ndarray, channels: int) -> np.ndarray:
    """A picture `[H, W, C]` of uint8, uint16 or floating without its noise, of the same type; integers are rounded.

    Args:
        restorer: what takes it away.
        state: its trained State.
        x: the picture.
        channels: that the network knows, 1 or 3: with 1, those of a picture go through alone; with 3, a grey picture
            goes through as one of three that are equal.

    Raises:
        ValueError: another type or shape.
    """
    x = np.asarray(x)
    white = {"f": 1.0, "u": float(np.iinfo(x.dtype).max) if x.dtype.kind == "u" else 0}.get(x.dtype.kind, 0)
    if not white or x.dtype.itemsize > (8 if x.dtype.kind == "f" else 2) or x.ndim != 3 or not x.size:
        raise ValueError(
            f"a picture is {x.dtype} of shape {x.shape}; give uint8, uint16 or floating [H, W, C]"
        )
    seen = (x / white).astype(np.float32)
    if channels == 1:
        made = np.concatenate(
            [pieces(restorer, state, seen[..., i : i + 1]) for i in range(x.shape[2])], axis=2
        )
    elif x.shape[2] == 1:
        made = pieces(restorer, state, np.repeat(seen, channels, axis=2)).mean(axis=2, keepdims=True)
    elif x.shape[2] == channels:
        made = pieces(restorer, state, seen)
    else:
        raise ValueError(f"a picture has {x.shape[2]} channels, and the model knows {channels}")
    if x.dtype.kind == "f":
        return made.astype(x.dtype)
    return np.rint(np.clip(made, 0, 1) * white).astype(x.dtype)


def pieces(restorer: Restorer, state: Any, x: np.ndarray, side: int = 0) -> np.ndarray:
    """A picture `[H, W, C]` of float32, mirrored beyond its borders, in squares that overlap by the margins.

    No seams: the result is that of the whole picture at once, but for round-off. Squares have one of few sizes, each of
    which is compiled once.

    Args:
        side: of the squares without their margins, a multiple of what the network takes; 0: by the picture's size.
    """
    height, width, channels = x.shape
    margin = restorer.margin
    if not side:
        side = min(max(1 << (max(height, width) - 1).bit_length(), _LEAST), _MOST)
        side = -(-side // restorer.multiple) * restorer.multiple
    h, w = -(-height // side), -(-width // side)
    pads = [(margin, margin + n * side - size) for n, size in ((h, height), (w, width))]
    padded = np.pad(x, (*pads, (0, 0)), mode="symmetric")
    apply, whole = _compiled(restorer.apply), side + 2 * margin
    made = np.empty((h * side, w * side, channels), np.float32)
    for i in range(0, h * side, side):
        for j in range(0, w * side, side):
            piece = apply(state, padded[None, i : i + whole, j : j + whole])[0]
            made[i : i + side, j : j + side] = piece[margin : margin + side, margin : margin + side]
    return made[:height, :width]


@functools.lru_cache(maxsize=8)
def _compiled(apply):
    return jax.jit(apply)
