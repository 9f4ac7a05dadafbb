"""Rows of items on the host: compressed sparse rows, of which no more than a batch is ever padded."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Compressed sparse rows, each without an item twice, but for texts in reading order.

    Attributes:
        starts: where each row begins, and where the last one ends, int64 `[N + 1]`.
        items: the numbers of the items, from 0, int32 `[T]`.
        counts: how often each, int32 `[T]`; None: once.
    """

    starts: np.ndarray
    items: np.ndarray
    counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Items of each row, `[N]`."""
        return np.diff(self.starts)

    @property
    def owners(self) -> np.ndarray:
        """The row of each item, `[T]`."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def select(self, index: np.ndarray) -> "Rows":
        """The rows at `index` (int `[M]`), in that order."""
        lengths = self.lengths[index]
        starts = np.r_[0, np.cumsum(lengths)]
        at = np.repeat(self.starts[:-1][index] - starts[:-1], lengths) + np.arange(starts[-1])
        return Rows(starts, self.items[at], None if self.counts is None else self.counts[at])

    def kept(self, keep: np.ndarray) -> "Rows":
        """Of all items those where `keep` (bool `[T]`) is true."""
        starts = np.r_[0, np.cumsum(keep)][self.starts]
        return Rows(starts, self.items[keep], None if self.counts is None else self.counts[keep])

    def renumbered(self, number: np.ndarray) -> "Rows":
        """With `number[i]` (int `[V]`) in place of item i, and without those where that is below 0."""
        items = number[self.items]
        rows = dataclasses.replace(self, items=items.astype(np.int32))
        return rows if (items >= 0).all() else rows.kept(items >= 0)

    def shortened(self, length: int) -> "Rows":
        """At most `length` items a row: the most frequent in it, of equal ones those that come last."""
        if not (self.lengths > length).any():
            return self
        owners = self.owners
        order = np.lexsort(
            (-np.arange(len(owners)), *([] if self.counts is None else [-self.counts]), owners)
        )
        keep = np.zeros(len(owners), bool)
        keep[order[np.arange(len(owners)) - self.starts[owners] < length]] = True
        return self.kept(keep)

    def cut(self, length: int) -> "Rows":
        """The first `length` items of each row."""
        return self.kept(np.arange(len(self.items)) - self.starts[self.owners] < length)

    def padded(self, length: int, counted: bool) -> np.ndarray:
        """Items + 1, and 0 behind the last: int32 `[N, length]`; where `counted`, pairs with counts `[N, length, 2]`.

        Rows are at most that long.
        """
        owners = self.owners
        place = np.arange(len(owners)) - self.starts[owners]
        codes = np.zeros((len(self), length, 2) if counted else (len(self), length), np.int32)
        if not counted:
            codes[owners, place] = self.items + 1
            return codes
        codes[owners, place, 0] = self.items + 1
        codes[owners, place, 1] = 1 if self.counts is None else self.counts
        return codes


def joined(rows: Sequence[np.ndarray], counts: Sequence[np.ndarray] | None = None) -> Rows:
    """Rows of lists of numbers, and of how often each."""
    flat = lambda parts: np.concatenate([np.zeros(0, np.int32), *parts]).astype(np.int32)
    starts = np.r_[0, np.cumsum([len(row) for row in rows], dtype=np.int64)].astype(np.int64)
    return Rows(starts, flat(rows), None if counts is None else flat(counts))


def unpadded(codes: np.ndarray) -> Rows:
    """The inverse of `Rows.padded`, of int `[N, L]` or `[N, L, 2]`; what counts 0 times is left out."""
    items, counts = (codes[..., 0], codes[..., 1]) if codes.ndim == 3 else (codes, None)
    there = items > 0 if counts is None else (items > 0) & (counts > 0)
    starts = np.r_[0, np.cumsum(there.sum(axis=1))].astype(np.int64)
    return Rows(starts, (items[there] - 1).astype(np.int32), None if counts is None else counts[there])


@dataclasses.dataclass(frozen=True, eq=False)
class SparseSplit(Sequence):
    """Examples that are rows of items: `split[i] -> (codes, label)`, padded when they are asked for.

    In memory are 4 bytes for each item of each row (8 where they are counted) and 8 for each row.

    Attributes:
        rows: the examples.
        names: of the items, `[V]`.
        length: to which rows are padded.
        counted: pairs of items and counts.
        y: labels `[N]` int32, or None.
        ids: whose rows they are, `[N]`; None: nobody's.
    """

    rows: Rows
    names: Sequence[str]
    length: int = 0
    counted: bool = False
    y: np.ndarray | None = None
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:
        x, y = self.gather(np.array([range(len(self))[i]]))
        return x[0], None if y is None else y[0]

    def select(self, index: np.ndarray) -> "SparseSplit":
        """The examples at `index` (int `[M]`), in that order."""
        of = lambda a: None if a is None else a[index]
        return dataclasses.replace(self, rows=self.rows.select(index), y=of(self.y), ids=of(self.ids))

    def labels(self) -> np.ndarray | None:
        """All labels, `[N]` int32, or None."""
        return self.y

    def gather(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Codes `[M, L]` or `[M, L, 2]` and labels `[M]` (or None) at `index` (int `[M]`)."""
        codes = self.rows.select(index).padded(self.length, self.counted)
        return codes, None if self.y is None else self.y[index]

    def named(self, index: np.ndarray) -> list[list[str] | dict[str, int]]:
        """The names of the items of each row at `index`, with their counts where they have any."""
        rows, made = self.rows.select(index), []
        for start, end in zip(rows.starts[:-1], rows.starts[1:], strict=True):
            names = [self.names[i] for i in rows.items[start:end]]
            counts = () if rows.counts is None else rows.counts[start:end].tolist()
            made.append(dict(zip(names, counts, strict=True)) if counts else names)
        return made
