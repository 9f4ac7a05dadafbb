"""Texts, and rows of items in a numbering of their own, as baskets of the items that training rows have."""

from typing import Any

import numpy as np

from unsupjax.data.bags import SparseSplit
from unsupjax.data.kinds import Kind
from unsupjax.data.kinds.baskets import Baskets, fit_baskets
from unsupjax.data.splits import ArraySplit
from unsupjax.data.tokenizers import check_unicode
from unsupjax.data.words import fit_counts, fit_words
from unsupjax.errors import UserError

_Split = ArraySplit | SparseSplit


def as_baskets(
    source: str,
    train: _Split,
    test: _Split,
    kind: Kind | None,
    longest: int,
    limits: dict[str, Any],
    in_order: bool = False,
) -> tuple[Baskets, SparseSplit, SparseSplit]:
    """The kind and both splits as rows of it.

    Args:
        source: names it in errors.
        train, test: of texts, or of rows of items.
        kind: that of a model; None: what the training split says.
        longest: the most items of a row; 0: all.
        in_order: texts are rows of words in reading order, not of counts.
        limits: of words, arguments of `unsupjax.data.words.fit_words`.

    Raises:
        UserError: a model of another kind; no item is left.
    """
    if kind is not None and not isinstance(kind, Baskets):
        raise UserError(f"{source} holds baskets, and the model was trained on {kind.name}")
    in_order = kind.in_order if kind else in_order
    if in_order and (not isinstance(train, ArraySplit) or limits["ngrams"] != 1):
        raise UserError(f"config.data.in_order=True is for texts, by single words (ngrams=1), not {source!r}")
    if isinstance(train, ArraySplit):
        for split in (train, test):
            check_unicode(split.x, source, mend="")
        names, how = (kind.names, kind.words) if kind else fit_words(source, list(train.x), **limits)
        reader = Baskets(0, names, (), not in_order, how, in_order=in_order)
        rows = [reader.rows(list(split.x)) for split in (train, test)]
    else:
        names, how = (kind.names, kind.words) if kind else _known(source, train, limits)
        place = {name: i for i, name in enumerate(names)}
        number = np.array([place.get(name, -1) for name in train.names], np.int64)
        rows = [split.rows.renumbered(number) for split in (train, test)]
    length = kind.length if kind else longest or max(1, *(int(r.lengths.max()) for r in rows))
    rows = [Baskets(length, (), in_order=in_order).shortened(r) for r in rows]
    kind = kind or fit_baskets(rows[0], names, length, how, in_order)
    made = (
        SparseSplit(r, kind.names, length, kind.counted, s.y, getattr(s, "ids", None))
        for r, s in zip(rows, (train, test), strict=True)
    )
    return kind, *made


def _known(source: str, train: SparseSplit, limits: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """The items of training rows, and how texts become them."""
    if train.counted:
        keep, how = fit_counts(source, train.rows, train.names, **limits)
    else:
        keep, how = np.bincount(train.rows.items, minlength=len(train.names)) > 0, ""
    return tuple(train.names[i] for i in np.flatnonzero(keep)), how
