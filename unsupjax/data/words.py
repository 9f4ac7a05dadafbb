"""Which words of a text count: a vocabulary by document frequency."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from unsupjax.data.bags import Rows
from unsupjax.errors import UserError

STOP_WORDS = ("", "english")


def counter(*, ngrams: int = 1, stop_words: str = "", vocabulary: list[str] | None = None, **limits: Any):
    """scikit-learn's CountVectorizer: words of two or more letters and digits of any language, in small letters.

    Args:
        ngrams: of 1 to so many words behind each other.
        stop_words: "english": without scikit-learn's list of these; "": with all.
        vocabulary: the words that count; None: they are to be fitted, within limits.
        **limits: its min_df, max_df and max_features.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(
        ngram_range=(1, ngrams),
        stop_words=stop_words or None,
        vocabulary=vocabulary,
        dtype=np.int32,
        **limits,
    )


def fit_words(
    source: str,
    texts: Sequence[str],
    *,
    ngrams: int,
    stop_words: str,
    vocabulary: int,
    min_df: int,
    max_df: float,
) -> tuple[tuple[str, ...], str]:
    """The words that count, in order, and how texts are split into them, as JSON.

    Args:
        source: names it in errors.
        texts: of training.
        ngrams, stop_words: as of `counter`.
        vocabulary: the most words, those that are counted most; 0: all.
        min_df: documents that a word is in at least.
        max_df: the fraction of all documents that a word is in at most.

    Raises:
        UserError: no word is left, or an argument out of its range.
    """
    _check(ngrams, min_df, max_df)
    how = {"ngrams": ngrams, "stop_words": stop_words}
    if int(max_df * len(texts)) < min_df:
        raise _none_left(source, min_df, max_df, len(texts))
    try:
        limits = {"min_df": int(min_df), "max_df": float(max_df), "max_features": vocabulary or None}
        made = counter(**how, **limits).fit(texts)
    except ValueError:
        raise _none_left(source, min_df, max_df, len(texts)) from None
    return tuple(made.get_feature_names_out().tolist()), json.dumps(how)


def rows_of(matrix: Any) -> Rows:
    """A SciPy sparse matrix of counts as rows."""
    csr = matrix.tocsr()
    csr.sum_duplicates()
    return Rows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data.astype(np.int32))


def fit_counts(
    source: str,
    rows: Rows,
    names: Sequence[str],
    *,
    ngrams: int,
    stop_words: str,
    vocabulary: int,
    min_df: int,
    max_df: float,
) -> tuple[np.ndarray, str]:
    """Which words of rows that were counted elsewhere are kept, bool `[V]`; the rest as of `fit_words`."""
    if ngrams != 1:
        raise UserError(f"config.data.ngrams={ngrams} is for texts, and {source} holds counts; leave it out")
    _check(ngrams, min_df, max_df)
    documents = np.bincount(rows.items, minlength=len(names))
    keep = (documents >= min_df) & (documents <= max_df * len(rows))
    if stop_words:
        stopped = counter(stop_words=stop_words).get_stop_words()
        keep &= np.array([name not in stopped for name in names])
    if 0 < vocabulary < keep.sum():
        counted = np.bincount(rows.items, rows.counts, minlength=len(names)) * keep
        keep[np.argsort(-counted, kind="stable")[vocabulary:]] = False
    if not keep.any():
        raise _none_left(source, min_df, max_df, len(rows))
    return keep, json.dumps({"ngrams": 1, "stop_words": stop_words})


def _check(ngrams: int, min_df: int, max_df: float) -> None:
    if ngrams < 1 or min_df < 1 or not 0 < max_df <= 1:
        raise UserError(
            f"config.data.ngrams={ngrams} and config.data.min_df={min_df} must be at least 1, and "
            f"config.data.max_df={max_df} above 0 and at most 1"
        )


def _none_left(source: str, min_df: int, max_df: float, documents: int) -> UserError:
    return UserError(
        f"{source}: no word is in at least config.data.min_df={min_df} and at most config.data.max_df={max_df} of the "
        f"{documents} training documents, stop words aside; lower the one or raise the other"
    )
