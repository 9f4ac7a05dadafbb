"""What each coefficient's distribution is predicted from: coefficients that are decoded before it.

Coefficients are decoded group by group, low frequencies first; within a group block by block, as a page is read. A
masked network of one hidden layer (Germain et al., "MADE", ICML 2015) keeps to that order: a unit of degree d, of the
input, hidden or output, depends on units of degrees up to d alone, and an output of group d knows nothing of that group
but what lies in blocks that come before.
"""

import functools
from typing import NamedTuple

import numpy as np

from unsupjax.codec.transform import BLOCK, frequencies

KEPT = (256, 64)  # channels of the first plane and of each other one, lowest frequencies first
BEFORE = (
    (0, -1),
    (-1, 0),
    (-1, -1),
    (-1, 1),
)  # blocks that are decoded before in the same group: row, column
AFTER = ((0, 0), (0, 1), (1, 0), (1, -1), (1, 1))  # these, and the block itself, in earlier groups only
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_ENDS = ((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 18, 22, 30), (0, 1, 2, 3, 4, 6, 8, 30))  # diagonals


class Layout(NamedTuple):
    """The order of channels and what is seen of them; C channels, F inputs, H hidden units, G groups.

    Attributes:
        groups: of each channel, `[C]`, ascending within a plane.
        seen: for each place of `BEFORE` and `AFTER`, which of `[magnitudes, signed magnitudes]` (2 C) are inputs.
        inputs: the degree of each input, `[F]`.
        before: whether it is of a block that comes before, `[F]`.
        hidden: the degree of each hidden unit, `[H]`, ascending.
    """

    groups: np.ndarray
    seen: tuple[np.ndarray, ...]
    inputs: np.ndarray
    before: np.ndarray
    hidden: np.ndarray

    @property
    def channels(self) -> int:
        """C."""
        return len(self.groups)


@functools.lru_cache(maxsize=8)
def layout(planes: int, hidden: int) -> Layout:
    """The layout of pictures of 1 or 3 planes, with so many hidden units.

    Raises:
        ValueError: fewer units than groups.
    """
    kept = KEPT[:1] + KEPT[1:] * (planes - 1)
    if hidden < sum(map(len, _ENDS)):
        raise ValueError(
            f"{hidden=} must be at least {sum(map(len, _ENDS))}, one for each group of coefficients"
        )
    groups, ranks = [], []
    for plane, count in enumerate(kept):
        ends = _ENDS[min(plane, 1)]
        first = 0 if plane == 0 else len(_ENDS[0])
        groups += [first + int(np.searchsorted(ends, u + v)) for u, v in frequencies(BLOCK)[:count]]
        ranks += [rank if plane == 0 else 4 * rank for rank in range(count)]
    groups, ranks = np.array(groups), np.array(ranks)
    seen, degrees, before = [], [], []
    for place in BEFORE + AFTER:
        corner = place in _CORNERS
        magnitudes = np.flatnonzero(ranks < (36 if corner else 256))
        signed = np.flatnonzero(ranks < (36 if corner else 64))
        index = np.concatenate([magnitudes, len(groups) + signed])
        is_before = place in BEFORE
        seen.append(index)
        degrees.append(groups[index % len(groups)] + (not is_before))
        before.append(np.full(len(index), is_before))
    sizes = np.bincount(groups)
    ends = np.round(np.cumsum(np.sqrt(sizes)) / np.sqrt(sizes).sum() * (hidden - len(sizes))).astype(int)
    units = np.repeat(np.arange(len(sizes)), 1 + np.diff(ends, prepend=0))
    return Layout(groups, tuple(seen), np.concatenate(degrees), np.concatenate(before), units)


def masks(found: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Which inputs a hidden unit sees, `[F, H]`, and which hidden units an output, `[H, C]`; float32 of 0 and 1."""
    first = found.inputs[:, None] <= found.hidden[None]
    second = found.hidden[:, None] <= found.groups[None]
    return first.astype(np.float32), second.astype(np.float32)


def inputs_of(levels, found: Layout, xp=np):
    """The inputs `[..., h, w, F]` of every block; levels `[..., h, w, 2 C]`: magnitudes and signed ones."""
    h, w = levels.shape[-3:-1]
    padded = xp.pad(levels, [(0, 0)] * (levels.ndim - 3) + [(1, 1), (1, 1), (0, 0)])
    return xp.concatenate(
        [
            padded[..., 1 + i : 1 + i + h, 1 + j : 1 + j + w, :][..., index]
            for (i, j), index in zip(BEFORE + AFTER, found.seen, strict=True)
        ],
        axis=-1,
    )


def neighbours_of(levels, xp=np):
    """The same entries of the blocks of `BEFORE`: `[..., h, w, C] -> [4, ..., h, w, C]`."""
    h, w = levels.shape[-3:-1]
    padded = xp.pad(levels, [(0, 0)] * (levels.ndim - 3) + [(1, 1), (1, 1), (0, 0)])
    return xp.stack([padded[..., 1 + i : 1 + i + h, 1 + j : 1 + j + w, :] for i, j in BEFORE])


def around_of(levels, xp=np):
    """What a block and those around it have, in the order of `BEFORE` and `AFTER`: `[..., h, w] -> [..., h, w, 9]`."""
    h, w = levels.shape[-2:]
    padded = xp.pad(levels, [(0, 0)] * (levels.ndim - 2) + [(1, 1), (1, 1)])
    return xp.stack([padded[..., 1 + i : 1 + i + h, 1 + j : 1 + j + w] for i, j in BEFORE + AFTER], axis=-1)
