"""Whether texts that people find alike lie near each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unsupjax.data import delimited
from unsupjax.errors import UserError
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, codes

WHERE = "config.evaluate.sentence_pairs.path"


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, a file that holds no pairs."""
    read_pairs(arguments["path"])


def sentence_pairs(subject: Subject, *, path: str = "") -> dict[str, float]:
    """Spearman's rank correlation of cosine similarities with how alike people found pairs of texts.

    Beside it that of TF-IDF weights of words and of 3 to 5 characters within words, whose document frequencies are of
    the texts of the pairs.

    Args:
        subject: what is judged; its data are texts.
        path: a file of delimited text with three columns: how alike, a text, another text; such as the STS benchmark's.

    Returns:
        `spearman`, `spearman_tfidf_words` and `spearman_tfidf_characters`.

    Raises:
        UserError: no such file, or it holds no pairs.

    Source: Cer et al., "SemEval-2017 task 1: semantic textual similarity", 2017.
    """
    from scipy.stats import spearmanr
    from sklearn.feature_extraction.text import TfidfVectorizer

    alike, first, second = read_pairs(path)
    found = codes(subject.method, subject.state, subject.kind.prepare(first + second))
    similar = {"spearman": _cosines(found[: len(first)], found[len(first) :])}
    for name, options in (("words", {}), ("characters", {"analyzer": "char_wb", "ngram_range": (3, 5)})):
        made = TfidfVectorizer(sublinear_tf=True, **options).fit(first + second)
        products = made.transform(first).multiply(made.transform(second)).sum(1)
        similar[f"spearman_tfidf_{name}"] = np.asarray(products).ravel()
    return {name: float(spearmanr(values, alike).statistic) for name, values in similar.items()}


def read_pairs(path: str) -> tuple[np.ndarray, list[str], list[str]]:
    """How alike `[N]`, and both texts of each pair.

    Raises:
        UserError: no path, no such file, other columns, or a number that is none, with its row.
    """
    if not path:
        raise UserError(f"{WHERE} is empty; name a file with three columns: how alike, a text, another text")
    found = delimited.read(WHERE, path, delimiter="\t" if path.endswith((".tsv", ".txt")) else "")
    if len(found.columns) != 3:
        raise UserError(
            f"{WHERE}={path!r} has {len(found.columns)} columns; how alike, a text and another belong there"
        )
    scores, first, second = (column.to_pylist() for column in found.columns)
    for row, score in enumerate(scores):
        if not delimited.is_number(score or ""):
            raise UserError(f"{WHERE}={path!r}, line {found.line(row)}: {score!r} is no number")
    alike = np.array([float(score) for score in scores])
    if len(np.unique(alike)) < 2:
        raise UserError(f"{WHERE}={path!r}: all pairs are equally alike, so that nothing can be ranked")
    return alike, [text or "" for text in first], [text or "" for text in second]


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / np.where(lengths > 0, lengths, 1)
