"""Random access to examples: in memory, or decoded when they are asked for."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data.bags import SparseSplit
from unsupjax.data.columns import Column
from unsupjax.data.pictures import UnreadableImage
from unsupjax.data.skipped import Skipped
from unsupjax.data.windows import WindowSplit
from unsupjax.errors import UserError

BLOCK = 128  # records read at once: array_record takes many times longer for them one by one


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySplit(Sequence):
    """Examples that are rows of arrays: `split[i] -> (x[i], label)`.

    Attributes:
        x: inputs `[N, ...]`; of a table of several types, as its source reads it, a structured array `[N]`.
        y: labels `[N]` int32, or None.
    """

    x: np.ndarray
    y: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:
        return self.x[i], None if self.y is None else self.y[i]

    def select(self, index: np.ndarray) -> "ArraySplit":
        """The examples at `index` (int `[M]`), in that order."""
        return ArraySplit(*self.gather(index))

    def labels(self) -> np.ndarray | None:
        """All labels, `[N]` int32, or None."""
        return self.y

    def gather(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs `[M, ...]` and labels `[M]` (or None) at `index` (int `[M]`)."""
        return self.x[index], None if self.y is None else self.y[index]


@dataclasses.dataclass(frozen=True, eq=False)
class LazySplit(Sequence):
    """Examples that are decoded from records when asked for. Picklable where its fields are.

    In place of an example whose image is unreadable stands the next of the split that is not, with its own label: the
    same one in whatever order examples are asked for.

    Attributes:
        records: random access to whatever `decode` takes: bytes, paths.
        decode: `record -> (x, label)`; label is None where `label` is.
        label: `record -> int` without decoding the input, or None where there are no labels.
        skipped: counts the unreadable ones, and refuses too many.
        index: the records that belong to the split, int64 `[N]`.
        key: `record -> bytes` that tell it from others, whatever else there is; None: its position does.
    """

    records: Sequence
    decode: Callable
    label: Callable | None
    skipped: Skipped
    index: np.ndarray
    key: Callable | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:
        return self._example(i, self.records[self.index[i]])

    def _example(self, i: int, record: Any) -> tuple[np.ndarray, Any]:
        """Example `i`, which is decoded from `record`, or what stands in its place."""
        for j in range(i, i + len(self)):
            number = int(self.index[j % len(self)])
            if number not in self.skipped.names:
                try:
                    return self.decode(record if j == i else self.records[number])
                except UnreadableImage as error:
                    self.skipped.add(number, error)
        raise UserError(f"{self.skipped.where}: all {len(self)} images of a split of it are unreadable")

    def select(self, index: np.ndarray) -> "LazySplit":
        """The examples at `index` (int `[M]`), in that order."""
        return dataclasses.replace(self, index=self.index[index])

    def labels(self) -> np.ndarray | None:
        """All labels, `[N]` int32, or None; reads every record, but decodes no input.

        Of an unreadable image, that is its own label, and not as in `gather` the label of what stands in its place.
        """
        if self.label is None:
            return None
        y = np.empty(len(self), np.int32)

        def fill(rows):
            y[rows] = [self.label(record) for record in _read(self.records, self.index[rows])]

        _for_blocks(fill, len(self))
        return y

    def gather(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs `[M, ...]` and labels `[M]` (or None) at `index` (int `[M]`), decoded in threads.

        Raises:
            UserError: too many images are unreadable, or inputs differ in shape.
        """
        first, _ = self[index[0]]
        x = np.empty((len(index), *first.shape), first.dtype)
        y = None if self.label is None else np.empty(len(index), np.int32)

        def fill(rows):
            records = _read(self.records, self.index[index[rows]])
            for row, record in zip(range(rows.start, rows.stop), records, strict=True):
                value, label = self._example(index[row], record)
                _same_shape(first, value)
                x[row] = value
                if y is not None:
                    y[row] = label

        _for_blocks(fill, len(index))
        return x, y


Split = ArraySplit | LazySplit | SparseSplit | WindowSplit


def labels_at_hand(split: Split) -> np.ndarray | None:
    """The labels `[N]` where they are known without reading the records; else None."""
    return None if isinstance(split, LazySplit) and not isinstance(split.records, list) else split.labels()


class Parts(NamedTuple):
    """What a kind of source opens: its own splits, before holdout and standardisation.

    `test` is None where the source has no test split; `label_names` is None where it has no labels, `columns` (the
    names of features, or what each of a structured array is) where features have none, and `shape` (of an input) but
    where inputs are decoded when asked for.
    """

    train: Split
    test: Split | None
    label_names: tuple[str, ...] | None
    columns: tuple[str | Column, ...] | None = None
    shape: tuple[int, ...] | None = None


def arrays(split: Split, limit: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """The inputs and labels of a split as arrays.

    Args:
        split: `train` or `test` of a `Source`.
        limit: at most this many examples, the first of one fixed pseudo-random order, so that a smaller
            subset is part of a larger one; None takes all, in order.

    Returns:
        Inputs `[N, H, W, C]` uint8 (images) or `[N, D]` float32 (tables), and labels `[N]` int32 or None.

    Raises:
        UserError: `limit` is below 1, or examples cannot be decoded.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit} leaves no examples; give at least 1, or None for all")
    split = limited(split, limit)
    return split.gather(np.arange(len(split)))


def limited(split: Split, limit: int | None) -> Split:
    """At most `limit` of a split's examples, as `arrays` chooses them; None: all."""
    if limit is None or limit >= len(split):
        return split
    return split.select(np.random.default_rng(0).permutation(len(split))[:limit])


def _read(records: Sequence, index: np.ndarray) -> Sequence:
    many = getattr(records, "__getitems__", None)
    return many(index.tolist()) if many else [records[i] for i in index]


def _for_blocks(fill: Callable, n: int) -> None:
    """Calls `fill(slice)` for slices that cover `range(n)`, from as many threads as there are cores."""
    blocks = [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(fill, blocks):
            pass


def _same_shape(first: np.ndarray, other: np.ndarray) -> None:
    if first.shape != other.shape:
        raise UserError(f"examples of shape {first.shape} and {other.shape}; set config.data.image_size")
