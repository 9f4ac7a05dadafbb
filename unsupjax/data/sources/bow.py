"""`bow:` in front of a source of texts, whose words are counted, and `bow:FILE.npz`: counts that SciPy saved."""

import os
import zipfile

import numpy as np

from unsupjax.data.bags import SparseSplit
from unsupjax.data.sources import frames
from unsupjax.data.sources.text import SUFFIXES, TEXTS, open_column
from unsupjax.data.splits import Parts
from unsupjax.data.words import rows_of
from unsupjax.errors import UserError

TABLES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow"}
_VOCABULARIES = ("vocab.txt", "vocabulary.txt")


def open_bow(
    source: str,
    path: str,
    *,
    text_column: str = "",
    label_column: str = "",
    split_column: str = "",
    header: str = "auto",
    delimiter: str = "",
) -> Parts:
    """Texts, as any source of them gives them; or rows of counts with the words in `columns`."""
    form, inner = _form(source, path)
    if form == "npz":
        return _of_counts(source, inner)
    if form in TEXTS:
        if text_column or split_column or label_column:
            raise UserError(
                f"{source} is no table: leave config.data.text_column, label_column and split_column out"
            )
        return TEXTS[form](source, inner)
    if not text_column:
        raise UserError(f"{source} is a table: name the column of texts, config.data.text_column")
    return open_column(source, form, inner, text_column, label_column, split_column, header, delimiter)


def _form(source: str, path: str) -> tuple[str, str]:
    """What stands behind `bow:`, and its path."""
    form, colon, inner = path.partition(":")
    if form in TEXTS or (colon and form in (*TABLES.values(), "npz")):
        return form, os.path.expanduser(inner)
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    if suffix == ".npz" or suffix in TABLES:
        return TABLES.get(suffix, "npz"), path
    if suffix in SUFFIXES or os.path.isdir(path):
        return "text", path
    known = ", ".join(f"bow:{form}:" for form in (*TEXTS, *dict.fromkeys(TABLES.values()), "npz"))
    raise UserError(f"{source}: of what? Choices: {known.replace('docstrings:', 'docstrings')}")


def _of_counts(source: str, path: str) -> Parts:
    """A matrix, its words, its labels, and those of a test split, which lie beside it."""
    folder, file = os.path.split(path)
    places = [os.path.splitext(path)[0] + ".txt", *(os.path.join(folder, name) for name in _VOCABULARIES)]
    named = next((place for place in places if os.path.exists(place)), None)
    if named is None:
        raise UserError(f"{source}: the words are missing, one a line in {' or '.join(places)}")
    names = _lines(named)
    if len(set(names)) != len(names):
        raise UserError(f"{source}: {named} names a word twice")
    other = os.path.join(folder, file.replace("train", "test"))
    paths = [path] + ([other] if "train" in file and os.path.exists(other) else [])
    matrices = [_loaded(source, p) for p in paths]
    for p, matrix in zip(paths, matrices, strict=True):
        if matrix.shape[1] != len(names):
            raise UserError(f"{source}: {p} has {matrix.shape[1]} columns, and {named} {len(names)} words")
    labels = [_labels(source, p, m.shape[0]) for p, m in zip(paths, matrices, strict=True)]
    labels = labels if all(y is not None for y in labels) else [None] * len(labels)
    label_names, ys = frames.labelled(source, labels)
    train, *test = (
        SparseSplit(rows_of(m), names, counted=True, y=y) for m, y in zip(matrices, ys, strict=True)
    )
    return Parts(train, test[0] if test else None, label_names)


def _labels(source: str, path: str, rows: int) -> np.ndarray | None:
    beside = os.path.splitext(path)[0].removesuffix("_bow") + "_labels.txt"
    if not os.path.exists(beside):
        return None
    found = _lines(beside)
    if len(found) != rows:
        raise UserError(f"{source}: {beside} has {len(found)} lines, and the matrix {rows} rows")
    return np.array(found)


def _lines(path: str) -> tuple[str, ...]:
    with open(path, encoding="utf-8") as file:
        return tuple(line.rstrip("\r\n") for line in file)


def _loaded(source: str, path: str):
    """A SciPy sparse matrix of counts; pickles are refused."""
    from scipy import sparse

    try:
        matrix = sparse.load_npz(path).tocsr()
    except OSError as error:
        raise UserError(f"{source}: cannot open {path} ({error.strerror or error})") from error
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{source}: {path} is no matrix of scipy.sparse.save_npz ({error})") from error
    if (matrix.data < 0).any() or (matrix.data != np.floor(matrix.data)).any():
        raise UserError(f"{source}: {path} holds other numbers than counts, which are whole and at least 0")
    matrix.eliminate_zeros()
    return matrix
