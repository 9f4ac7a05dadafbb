"""Inputs of a split as the method sees them: all at once where they are few, else read when they are asked for."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from unsupjax.data.kinds import Kind
from unsupjax.data.splits import LazySplit, Split
from unsupjax.evaluate.subject import chunks, parts
from unsupjax.parallel.processes import gather

HELD_BYTES = 256 * 2**20  # of a split's inputs, that are kept on the host


class Inputs:
    """Inputs `[N, ...]` that are read, and seen, anew whenever they are asked for: `x[index]` is an array.

    It has of an array what judges use; `np.asarray(x)` puts all of it in memory.

    Attributes:
        split: where they are stored.
        shape: `[N, ...]`.
        dtype: of what is seen.
    """

    def __init__(self, split: Split, kind: Kind, transform: Callable | None, key: jax.Array):
        """What a transform draws for an example depends on `key` and its position in the split alone."""
        example = kind.example()
        self.split, self.shape, self.dtype = split, (len(split), *example.shape), example.dtype
        self._see, self._key = _seer(kind.see, transform), key

    def __len__(self) -> int:
        return len(self.split)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        positions = np.arange(len(self))[index]
        rows = np.atleast_1d(positions)
        seen = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for part in parts(seen.shape, self.dtype):
            seen[part] = self.read(rows[part])[0]
        return seen if positions.ndim else seen[0]

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs and labels at `rows` (int `[B]`), which pass the device all at once."""
        raw, labels = self.split.gather(rows)
        return _padded(self._see, self._key, rows, raw), labels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def min(self) -> np.floating:
        """The smallest entry."""
        return np.min([x.min() for x in chunks(self)])

    def max(self) -> np.floating:
        """The largest entry."""
        return np.max([x.max() for x in chunks(self)])


def seen_batch(see: Callable, transform: Callable | None, key: jax.Array, raw: np.ndarray) -> np.ndarray:
    """A batch as the method sees it, on the host."""
    return _padded(_seer(see, transform), key, np.arange(len(raw)), raw)


def seen_split(
    split: Split, kind: Kind, transform: Callable | None, key: jax.Array
) -> tuple[np.ndarray | Inputs, np.ndarray | None]:
    """Inputs and labels of a split as judges take them: arrays, or `Inputs` where these are large.

    The labels of `Inputs` are right once all of them were read: see `labels_of`.
    """
    inputs = Inputs(split, kind, transform, key)
    if np.prod(inputs.shape) * np.dtype(inputs.dtype).itemsize > HELD_BYTES:
        return inputs, split.labels()
    seen, labels = np.empty(inputs.shape, inputs.dtype), []
    for part in parts(inputs.shape, inputs.dtype):
        seen[part], y = inputs.read(np.arange(len(split))[part])
        labels.append(y)
    return seen, None if labels[0] is None else np.concatenate(labels)


def labels_of(x: np.ndarray | Inputs, y: np.ndarray | None) -> np.ndarray | None:
    """The labels `[N]` of inputs that were all read, on this process or another, where their own are y.

    In place of an unreadable image stands the next of the split that is not; so does that one's label.
    """
    if y is None or not isinstance(x, Inputs) or not isinstance(x.split, LazySplit):
        return y
    unread = np.isin(x.split.index, list(x.split.skipped.names))
    read = np.flatnonzero(~np.any(gather(unread), axis=0))
    return y[read[np.searchsorted(read, np.arange(len(y))) % len(read)]]


def _padded(see: Callable, key: jax.Array, rows: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """What is seen of `raw`, the examples at positions `rows`; few lengths are compiled: powers of two."""
    n, size = len(raw), 1 << (len(raw) - 1).bit_length()
    if size > n:
        rows, raw = (np.resize(a, (size, *a.shape[1:])) for a in (rows, raw))
    return np.asarray(see(key, rows, raw))[:n]


@functools.lru_cache(maxsize=8)
def _seer(see: Callable, transform: Callable | None) -> Callable:
    """`(key, positions, stored) -> seen`, compiled; of functions, since as tuples kinds of one shape are equal."""
    if transform is None:
        return jax.jit(lambda key, rows, stored: see(stored))

    def seen(key, rows, stored):
        return jax.vmap(transform)(jax.vmap(jax.random.fold_in, (None, 0))(key, rows), see(stored))

    return jax.jit(seen)
