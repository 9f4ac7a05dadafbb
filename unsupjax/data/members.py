"""Which examples belong to which split, by what they are and not by where they stand: data grow and move."""

import hashlib
from typing import NamedTuple

import numpy as np

from unsupjax.data.bags import SparseSplit
from unsupjax.data.splits import ArraySplit, LazySplit, Parts, Split
from unsupjax.errors import UserError

TRAIN, TEST, NEITHER = 0, 1, 2
CHANGED = ("refuse", "keep")  # what becomes of a data set that is another than a run began with
_CHUNK = 2**24  # bytes of rows that are hashed at once
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_SHIFT = np.uint64(29)


class Members(NamedTuple):
    """The examples of a data set as a run found them.

    Attributes:
        keys: of each example that the source has for training, or to be divided, uint64 `[N]`.
        parts: where it went: `TRAIN`, `TEST` or `NEITHER`, uint8 `[N]`.
        tests: keys of the examples of a test split of the source's own, uint64 `[M]`.
    """

    keys: np.ndarray
    parts: np.ndarray
    tests: np.ndarray


def members(parts: Parts, train: np.ndarray, test: np.ndarray | None) -> Members:
    """The `Members` of a source whose examples at `train` and `test` (int) became the splits."""
    where = np.full(len(parts.train), NEITHER, np.uint8)
    where[train] = TRAIN
    if test is not None:
        where[test] = TEST
    tests = np.zeros(0, np.uint64) if parts.test is None else keys(parts.test)
    return Members(keys(parts.train), where, tests)


def repeated(found: Members, split: Split) -> int:
    """How many test examples are training examples too; `split` is either of both.

    Of a data set with a version nobody knows: keys are numbers of records, of which each part has its own.
    """
    if isinstance(split, LazySplit) and split.key is None:
        return 0
    tests = np.concatenate([found.keys[found.parts == TEST], found.tests])
    return int(np.isin(tests, found.keys[found.parts == TRAIN]).sum())


def digest(found: Members) -> str:
    """The SHA-256 of all keys and where they went."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in found)).hexdigest()


def rejoined(
    source: str, known: Members, parts: Parts, changed: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the examples of a source belong that a run knows from before.

    Args:
        source: names it in errors.
        known: as the run found them.
        parts: the source as it is.
        changed: "refuse" a source that holds others; "keep": examples that are known keep their split.

    Returns:
        positions of training and of test examples, and of those that are new.

    Raises:
        UserError: the source holds others, with how many.
    """
    here, there = _counted(keys(parts.train)), _counted(known.keys)
    order = np.argsort(there)
    at = np.searchsorted(there, here, sorter=order).clip(max=len(there) - 1)
    is_known = there[order[at]] == here
    tests = np.zeros(0, np.uint64) if parts.test is None else keys(parts.test)
    new = int((~is_known).sum()) + len(np.setdiff1d(_counted(tests), _counted(known.tests)))
    gone = len(np.setdiff1d(there, here)) + len(np.setdiff1d(_counted(known.tests), _counted(tests)))
    if (new or gone) and changed == "refuse":
        raise UserError(
            f"{source} is not what the run began with: of {len(there) + len(known.tests)} examples {gone} are gone, "
            f"and {new} are new. Put the old data back, choose another --workdir, or set config.data.changed='keep': "
            "examples that the run knows keep their split, so that none that it was trained on is tested"
        )
    part = np.where(is_known, known.parts[order[at]], NEITHER)
    return np.flatnonzero(part == TRAIN), np.flatnonzero(part == TEST), np.flatnonzero(~is_known)


def keys(split: Split) -> np.ndarray:
    """A number for each example, uint64 `[N]`: of what it holds, or of a file its name and size, labels aside."""
    if isinstance(split, LazySplit):
        if split.key is None:  # records of a data set with a version, which do not change
            return hashed_rows(split.index.astype(np.uint64)[:, None])
        return np.array([_hashed(split.key(split.records[i])) for i in split.index], np.uint64)
    return _of_rows(split) if isinstance(split, SparseSplit) else _of_array(split)


def _of_rows(split: SparseSplit) -> np.ndarray:
    """Of users who they are, whatever they take; of other rows their items and counts, whatever their numbers are."""
    if split.ids is not None:
        return np.array([_hashed(str(name).encode()) for name in split.ids], np.uint64)
    names = np.array([_hashed(name.encode(errors="surrogatepass")) for name in split.names], np.uint64)
    counts = np.uint64(1) if split.rows.counts is None else split.rows.counts.astype(np.uint64)
    words = np.r_[np.uint64(0), np.cumsum((names[split.rows.items] ^ counts) * _ODD)]
    return words[split.rows.starts[1:]] - words[split.rows.starts[:-1]]


def _of_array(split: ArraySplit) -> np.ndarray:
    if split.x.dtype == object:  # texts
        return np.array([_hashed(text.encode(errors="surrogatepass")) for text in split.x], np.uint64)
    if not split.x.dtype.names:
        return hashed_rows(split.x)
    columns = [split.x[name] for name in split.x.dtype.names]
    return hashed_rows(np.stack([_as_words(column) for column in columns], axis=1))


def _as_words(column: np.ndarray) -> np.ndarray:
    """Numbers or texts `[N]` as uint64, whatever the longest text is."""
    if column.dtype.kind == "f":
        return (column.astype(np.float64) + 0.0).view(np.uint64)
    values, index = np.unique(column, return_inverse=True)
    return np.array([_hashed(str(v).encode()) for v in values], np.uint64)[index]


def _hashed(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def hashed_rows(x: np.ndarray) -> np.ndarray:
    """A number of each row `x[i]`, from its bytes; uint64 `[N]`."""
    found, size = np.empty(len(x), np.uint64), max(1, _CHUNK // max(x[0].nbytes, 1))
    for start in range(0, len(x), size):
        rows = np.ascontiguousarray(x[start : start + size]).reshape(len(x[start : start + size]), -1)
        rows = rows.view(np.uint8)
        words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8))).view(np.uint64)
        h = np.full(len(rows), rows.shape[1], np.uint64)
        for word in np.ascontiguousarray(words.T):  # a multiplicative hash, a word at a time
            h = (h ^ word) * _ODD
            h ^= h >> _SHIFT
        found[start : start + size] = h
    return found


def _counted(found: np.ndarray) -> np.ndarray:
    """Keys of their own for equal examples: the second of two, the third, ..."""
    order = np.argsort(found, kind="stable")
    ranked = found[order]
    first = np.r_[True, ranked[1:] != ranked[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(found)), 0))
    again = np.empty(len(found), np.uint64)
    again[order] = (np.arange(len(found)) - start).astype(np.uint64)
    return found + again * _ODD
