r"""How coarsely each block is coded, where errors count less the more structure there is around them.

MS-SSIM divides the error at a place by :math:`2 \sigma^2 + c`, with :math:`\sigma^2` the picture's variance there. Of
each block the encoder measures a, how many times that is doubled over a flat one's; its channel c is quantised in steps
of :math:`2^{\alpha_c (a - 3)}` times the usual, with :math:`\alpha_c` learned. Files hold a, entropy-coded.
"""

import numpy as np

from unsupjax.codec import tables
from unsupjax.codec.transform import BLOCK, numpy_of

LEVELS = 9  # of a
CENTRE = 3  # at which steps are the usual ones
SHARP = 8.0  # logits are stored divided by this, which speeds their learning
_FLAT = (0.03 * 255) ** 2  # c
_WEIGHTS = (0.2856, 0.3001)  # of MS-SSIM's second and third scale, which say the most


def levels_of(luma):
    """a of each block: whole numbers in floats, `[B, H, W] -> [B, h, w]`; grey levels, sides multiples of `BLOCK`."""
    xp, weight, x = numpy_of(luma), 0.0, luma
    for share in _WEIGHTS:
        x = _means(x, 2)
        variance = xp.maximum(_means(x * x, 4) - _means(x, 4) ** 2, 0)
        seen = 1 / (2 * variance + _FLAT)
        weight = weight + share / sum(_WEIGHTS) * _means(seen, seen.shape[-1] * BLOCK // luma.shape[-1])
    return xp.clip(xp.round(-xp.log2(weight * _FLAT)), 0, LEVELS - 1)


def _means(x, n: int):
    """Of squares of n x n: `[B, H, W] -> [B, H / n, W / n]`."""
    batch, height, width = x.shape
    return x.reshape(batch, height // n, n, width // n, n).mean(axis=(2, 4))


def before(levels):
    """What a block's level is predicted from: those of the blocks left and above, `LEVELS` where there is none."""
    xp = numpy_of(levels)
    pad = lambda *sides: xp.pad(levels, ((0, 0), *sides), constant_values=LEVELS)
    return pad((0, 0), (1, 0))[:, :, :-1], pad((1, 0), (0, 0))[:, :-1]


def start() -> np.ndarray:
    """Logits `[left, above, level]` before training: near the mean of both neighbours."""
    n = np.arange(LEVELS + 1.0)
    near = np.where(n == LEVELS, np.nan, n)
    both = np.stack(np.broadcast_arrays(near[:, None], near[None]))
    known = ~np.isnan(both)
    mean = np.where(known.any(0), np.nansum(both, 0) / np.maximum(known.sum(0), 1), CENTRE)
    return (-np.abs(mean[..., None] - n[:LEVELS]) / SHARP).astype(np.float32)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Whole multiples of 2^-20, float32 `[left, above, level]`."""
    rows = np.asarray(logits, np.float64).reshape(-1, LEVELS) * SHARP
    return (
        (np.array([tables.softmax(row) for row in rows]) / tables.TOTAL)
        .astype(np.float32)
        .reshape(logits.shape)
    )


def encode(table: np.ndarray, levels: np.ndarray) -> bytes:
    """Levels int `[h, w]` as a range coder's words."""
    from unsupjax.codec.coder import categorical, constriction

    left, above = (x[0] for x in before(levels[None]))
    coder = constriction().stream.queue.RangeEncoder()
    coder.encode(levels.ravel().astype(np.int32), categorical(), table[left, above].reshape(-1, LEVELS))
    return coder.get_compressed().astype("<u4").tobytes()


def decode(table: np.ndarray, shape: tuple[int, int], content: bytes) -> np.ndarray:
    """The inverse of `encode`: int64 `[h, w]`.

    Raises:
        ValueError: what `encode` did not write.
    """
    from unsupjax.codec.coder import categorical, constriction

    if len(content) % 4:
        raise ValueError("ends too soon")
    coder = constriction().stream.queue.RangeDecoder(np.frombuffer(content, "<u4").astype(np.uint32))
    family, found = categorical(), np.full((shape[0] + 1, shape[1] + 1), LEVELS)
    for i in range(1, shape[0] + 1):
        for j in range(1, shape[1] + 1):
            found[i, j] = coder.decode(family, table[found[i, j - 1], found[i - 1, j]][None])[0]
    if not coder.maybe_exhausted():
        raise ValueError("holds more than its picture")
    return found[1:, 1:]
