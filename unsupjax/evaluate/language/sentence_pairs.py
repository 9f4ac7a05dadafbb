"""Whether texts that people find alike lie near each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unsupjax.data import delimited
from unsupjax.errors import UserError, first_line
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
    rows = _tabbed(path) if path.endswith((".tsv", ".txt")) else _delimited(path)
    for line, row in rows:
        if len(row) != 3:
            raise UserError(
                f"{WHERE}={path!r}, line {line}, has {len(row)} columns; how alike, a text and another belong there"
            )
        if not delimited.is_number(row[0]):
            raise UserError(f"{WHERE}={path!r}, line {line}: {row[0]!r} is no number")
    alike = np.array([float(row[0]) for _, row in rows])
    if len(np.unique(alike)) < 2:
        raise UserError(f"{WHERE}={path!r}: all pairs are equally alike, so that nothing can be ranked")
    return alike, [row[1] for _, row in rows], [row[2] for _, row in rows]


def _tabbed(path: str) -> list[tuple[int, list[str]]]:
    """Lines and their fields between tabs, where a quote is a character like others, as the STS benchmark has it."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{WHERE}={path!r} cannot be read: {first_line(error)}") from error
    return [(i, line.split("\t")) for i, line in enumerate(lines, 1) if line.strip()]


def _delimited(path: str) -> list[tuple[int, list[str]]]:
    found = delimited.read(WHERE, path)
    columns = [column.to_pylist() for column in found.columns]
    return [(found.line(i), [text or "" for text in row]) for i, row in enumerate(zip(*columns, strict=True))]


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / np.where(lengths > 0, lengths, 1)
