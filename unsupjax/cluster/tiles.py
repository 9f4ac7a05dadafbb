"""Distances between tiles of rows: blocked, so that no N x N array exists, and in float64 on every machine.

Squared distances are sums of squared differences, never `||x||^2 + ||y||^2 - 2 x.y`. The expanded form errs by
about `D u (||x|| + ||y||)^2` (u the unit round-off), which in float32 cuts a long chain of near points; even in
float64 it decides neighbours at exactly `eps` by chance. Differences of float64 rows are exact wherever the rows
and their differences are (integers, points close together), and need no centring, which would round them. Fused
by the compiler they cost on a CPU about what a float64 matrix product does.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_PAIRS = 1024  # pairs of tiles in one compiled call: one shape, whatever the data


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """A context in which JAX computes in IEEE float64, whatever the user's own setting is.

    CPUs and GPUs have it. Other accelerators emulate it with fewer bits or lack it: there the host computes.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        if jax.default_backend() not in ("cpu", "gpu"):
            stack.enter_context(jax.default_device(jax.local_devices(backend="cpu")[0]))
        yield


class Tiles(NamedTuple):
    """Rows cut into tiles, with the bounding box of each.

    Attributes:
        x: on the device, float64 `[T, D, block]`; behind the last row NaN, which is near nothing.
        low: least value of each feature, `[T, D]`; +inf where a tile is empty.
        high: greatest value, `[T, D]`; -inf where a tile is empty.
    """

    x: jax.Array
    low: np.ndarray
    high: np.ndarray


def tiled(x: np.ndarray, block: int, tiles: int) -> Tiles:
    """Rows `[N, D]` in order as so many tiles of `block` rows, the last ones maybe empty; within `float64()`."""
    padded = np.full((tiles * block, x.shape[1]), np.nan)
    padded[: len(x)] = x
    by_tile = padded.reshape(tiles, block, -1)
    inside = ~np.isnan(by_tile)
    low = by_tile.min(axis=1, initial=np.inf, where=inside)
    high = by_tile.max(axis=1, initial=-np.inf, where=inside)
    return Tiles(jnp.asarray(by_tile.transpose(0, 2, 1)), low, high)


def spatial_order(x: np.ndarray, block: int) -> np.ndarray:
    """A permutation `[N]` of rows `[N, D]` after which each `block` of them lies close together.

    The leaves of a k-d tree: halves along the widest feature, cut at whole tiles, until a tile is left.
    """
    order, ranges = np.arange(len(x)), [(0, len(x))]
    while ranges:
        start, stop = ranges.pop()
        tiles = -(-(stop - start) // block)
        if tiles < 2:
            continue
        part, left = order[start:stop], tiles // 2 * block
        values = x[part]
        widest = np.argmax(np.ptp(values, axis=0))
        order[start:stop] = part[np.argpartition(values[:, widest], left)]
        ranges += [(start, start + left), (start + left, stop)]
    return order


def near_pairs(a: Tiles, b: Tiles, radius: float) -> Iterator[tuple[np.ndarray, int]]:
    """Pairs of a tile of a and one of b whose boxes come within a radius: a superset of what is needed.

    Where a is b each pair comes once, the lower tile first. Pairs of near indices come first.

    Yields:
        int32 `[1024, 2]`, and how many of its rows are pairs; zeros follow them.
    """
    # Distances of points sum their squares in another order than those of boxes: leave room for round-off.
    limit = radius**2 * (1 + 8 * (a.low.shape[1] + 4) * np.finfo(np.float64).eps)
    found = []
    for i in range(len(a.low)):
        first = i if a is b else 0
        gap = np.maximum(b.low[first:] - a.high[i], a.low[i] - b.high[first:]).clip(min=0)
        j = first + np.flatnonzero(np.square(gap).sum(axis=1) <= limit)
        found.append(np.stack([np.full_like(j, i), j], axis=1).astype(np.int32))
    pairs = np.concatenate(found)
    pairs = pairs[np.argsort(np.abs(pairs[:, 1] - pairs[:, 0]), kind="stable")]
    for start in range(0, len(pairs), _PAIRS):
        chunk = pairs[start : start + _PAIRS]
        yield np.pad(chunk, ((0, _PAIRS - len(chunk)), (0, 0))), len(chunk)
