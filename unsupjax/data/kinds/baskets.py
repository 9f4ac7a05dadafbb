"""Sets of items: what a user took, the words of a document."""

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data.bags import Rows, joined, unpadded
from unsupjax.data.tokenizers import check_unicode
from unsupjax.errors import UserError

logger = logging.getLogger(__name__)


class Baskets(NamedTuple):
    """Rows of at most L items of V, padded: int32, never a float, and never a row of V numbers.

    A row is `[L]` of item numbers + 1, and 0 behind the last; where items are counted `[L, 2]`, pairs with how often.

    Attributes:
        length: L.
        names: of the items, each another.
        frequency: in how many training rows each is.
        counted: an item may count more than once.
        words: how texts become items, JSON of the arguments of `unsupjax.data.words.counter`; "": they do not.
        in_order: a row is a text, word by word in reading order, those that are no items left out.
        leave_last: test rows are of users that were trained on, less the last item: that one alone may be asked for.
    """

    length: int
    names: tuple[str, ...]
    frequency: tuple[int, ...] = ()
    counted: bool = False
    words: str = ""
    leave_last: bool = False
    in_order: bool = False
    name = "baskets"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return (self.length, 2) if self.counted else (self.length,)

    @property
    def size(self) -> int:
        """V, how many items there are."""
        return len(self.names)

    @property
    def wide(self) -> tuple[int]:
        """The shape of an example that is made dense, as networks take and give it."""
        return (len(self.names),)

    def prepare(self, raw: Any) -> np.ndarray:
        """Rows as `rows` takes them, padded: int32 `[N, *shape]`. Longer rows are cut, which is said."""
        rows = self.rows(raw)
        if long := int((rows.lengths > self.length).sum()):
            logger.warning(
                "%d of %d rows have more than %d items: they are cut to the %s",
                *(long, len(rows), self.length, "first" if self.in_order else "most frequent or last"),
            )
        return self.shortened(rows).padded(self.length, self.counted)

    def shortened(self, rows: Rows) -> Rows:
        """Rows of at most `length` items: the first of texts in order, else the most frequent or last."""
        return rows.cut(self.length) if self.in_order else rows.shortened(self.length)

    def rows(self, raw: Any) -> Rows:
        """Rows of whatever a user has. Names that are not known count for nothing; how many there are is said.

        Args:
            raw: lists of names, dicts from names to counts, texts (where `words` says how), a SciPy sparse matrix
                `[N, V]` of counts, or rows as they are stored.

        Raises:
            UserError: none of these; counts that are no whole numbers from 0 on.
        """
        if isinstance(raw, Rows):
            return raw
        if isinstance(raw, np.ndarray) and raw.dtype.kind in "iu":
            return unpadded(self._codes(raw))
        if hasattr(raw, "tocsr"):
            return self._of_sparse(raw.tocsr())
        if isinstance(raw, str | Mapping) or (isinstance(raw, np.ndarray) and raw.dtype != object):
            what = f"{raw.dtype} of shape {raw.shape}" if isinstance(raw, np.ndarray) else "one row"
            raise UserError(f"{what}, where a list of rows belongs, each a list of names of items")
        raw = list(raw)
        texts = [isinstance(row, str) for row in raw]
        if any(texts):
            if not (self.words and all(texts)):
                i = texts.index(True)
                raise UserError(
                    f"row {i} (from 0) is the text {raw[i][:40]!r}, where a list of names belongs"
                )
            return self._of_texts(raw)
        return self._of_names(raw)

    def _codes(self, raw: np.ndarray) -> np.ndarray:
        items = raw[..., 0] if self.counted and raw.ndim == 3 else raw
        known = not raw.size or (raw.min() >= 0 and items.max() <= self.size)
        if raw.shape[1:] != self.shape or not known:
            raise UserError(
                f"rows of items are of shape {raw.shape}, where [N, {', '.join(map(str, self.shape))}] belong, each "
                f"from 0 (none) to {self.size}; or give lists of names"
            )
        return raw

    def _of_sparse(self, raw: Any) -> Rows:
        if self.in_order:
            raise UserError("a sparse matrix of counts, where texts or lists of words in their order belong")
        if raw.shape[1] != self.size:
            raise UserError(f"a sparse matrix of shape {raw.shape}, where [N, {self.size}] belongs")
        data = np.asarray(raw.data)
        if (data < 0).any() or (data != np.floor(data)).any():
            raise UserError("a sparse matrix of other numbers, where counts belong: whole and at least 0")
        rows = Rows(raw.indptr.astype(np.int64), raw.indices.astype(np.int32), data.astype(np.int32))
        rows = rows.kept(rows.counts > 0)
        return rows if self.counted else Rows(rows.starts, rows.items)

    def _of_texts(self, texts: Sequence[str]) -> Rows:
        from unsupjax.data.words import counter

        check_unicode(texts, mend="")
        made = counter(**json.loads(self.words), vocabulary=list(self.names))
        if self.in_order:
            split, index = made.build_analyzer(), _numbers(self.names)
            rows = joined(
                [np.array([index[w] for w in split(text) if w in index], np.int32) for text in texts]
            )
        else:
            rows = self._of_sparse(made.transform(texts))
        if (empty := rows.lengths == 0).any():
            logger.warning(
                "%d of %d texts have no word that the model knows, and what is said of them says nothing; the first is "
                "row %d (from 0): %r",
                *(empty.sum(), len(texts), empty.argmax(), texts[int(empty.argmax())][:40]),
            )
        return rows

    def _of_names(self, raw: list) -> Rows:
        index, items, counts, strange = _numbers(self.names), [], [], {}
        for i, row in enumerate(raw):
            found: dict[int, int] = {}
            pairs = _pairs(i, row)
            if self.in_order:
                words = [index.get(name, -1) for name, count in pairs for _ in range(count)]
                items.append(np.array([at for at in words if at >= 0], np.int32))
            for name, count in pairs:
                at = index.get(name, -1)
                if at < 0:
                    strange[name] = strange.get(name, 0) + 1
                elif count:
                    found[at] = found.get(at, 0) + count
            if not self.in_order:
                items.append(np.fromiter(found, np.int32, len(found)))
            counts.append(np.fromiter(found.values(), np.int32, len(found)))
        if strange:
            first = ", ".join(repr(name) for name in list(strange)[:3])
            logger.warning("%d names are of no known item and count for nothing: %s", len(strange), first)
        return joined(items, counts if self.counted else None)

    def see(self, stored: jax.Array) -> jax.Array:
        """Int32; UserError for another shape, or for floats."""
        if stored.shape[1:] != self.shape or not jnp.issubdtype(stored.dtype, jnp.integer):
            raise UserError(
                f"examples are {stored.dtype} of shape {stored.shape[1:]}, where the model takes items {self.shape}"
            )
        return stored.astype(jnp.int32)

    def restore(self, seen: np.ndarray) -> np.ndarray:
        """Lists of names, or dicts from names to counts, an array of objects `[N]`.

        Floats `[N, V]`, a score for each of `names`, stay as they are.
        """
        seen = np.asarray(seen)
        if seen.dtype.kind == "f":
            return seen
        rows = unpadded(seen)
        made = np.empty(len(rows), object)
        for i, (start, end) in enumerate(zip(rows.starts[:-1], rows.starts[1:], strict=True)):
            names = [self.names[j] for j in rows.items[start:end]]
            counts = () if rows.counts is None else rows.counts[start:end].tolist()
            made[i] = dict(zip(names, counts, strict=True)) if self.counted else names
        return made

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen example."""
        return jax.ShapeDtypeStruct(self.shape, jnp.int32)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return (
            {"kind": self.name}
            | self._asdict()
            | {
                "names": list(self.names),
                "frequency": list(self.frequency),
            }
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Baskets":
        """The inverse of `to_json`, less the name."""
        names, frequency = map(str, fields["names"]), map(int, fields["frequency"])
        counted, words = bool(fields["counted"]), str(fields["words"])
        rest = counted, words, bool(fields["leave_last"]), bool(fields.get("in_order", False))
        return cls(int(fields["length"]), tuple(names), tuple(frequency), *rest)


def fit_baskets(
    train: Rows, names: Sequence[str], length: int, words: str = "", in_order: bool = False
) -> Baskets:
    """The kind of rows of at most so many items, of which training rows are `train`."""
    cells = train.owners * len(names) + train.items
    items = np.unique(cells) % len(names) if in_order else train.items
    frequency = np.bincount(items, minlength=len(names)).tolist()
    counted = train.counts is not None and bool((train.counts > 1).any())
    return Baskets(length, tuple(names), tuple(frequency), counted, words, in_order=in_order)


def _pairs(i: int, row: Any) -> list[tuple[str, int]]:
    """Names and counts of a row that a user gave."""
    try:
        pairs = list(row.items()) if isinstance(row, Mapping) else [(name, 1) for name in row]
    except TypeError:
        raise UserError(f"row {i} (from 0) is {row!r}, where a list of names belongs") from None
    for name, count in pairs:
        if not isinstance(name, str | int | np.integer | np.str_) or isinstance(name, bool):
            raise UserError(f"row {i} (from 0) holds {name!r}, where names of items belong")
        if not (isinstance(count, int | float | np.number) and count >= 0 and count == int(count)):
            raise UserError(
                f"row {i} (from 0): {name!r} counts {count!r}, where whole numbers from 0 on belong"
            )
    return [(str(name), int(count)) for name, count in pairs]


@functools.lru_cache(maxsize=4)
def _numbers(names: tuple[str, ...]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}
