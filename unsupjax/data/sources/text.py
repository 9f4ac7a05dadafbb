"""Texts: `text:PATH`, `lines:PATH`, a column of a table, and the docstrings of SciPy, which are always there."""

import glob
import importlib
import inspect
import os
import pkgutil
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from unsupjax.data import delimited
from unsupjax.data.files import is_remote, opened
from unsupjax.data.sources import columnar, frames
from unsupjax.data.sources.encoded import TEST_NAMES, TRAIN_NAMES
from unsupjax.data.splits import ArraySplit, Parts
from unsupjax.errors import UserError

FIRST = 0.9  # of a single text, that is trained on
_FEWEST = 200  # characters of a docstring that counts as a document
SUFFIXES = (".txt", ".md", ".rst", ".text")


def open_text(source: str, path: str) -> Parts:
    """A document a file: one file, a folder of them, or what a pattern with * names; of one, the first 90 % are trained
    on. Folders in a folder are classes."""
    if is_remote(path) or os.path.isfile(path):
        return _of_one(source, _read(source, path))
    if os.path.isdir(path):
        names = sorted(n for n in glob.glob(os.path.join(glob.escape(path), "**", "*"), recursive=True))
        names = [n for n in names if n.lower().endswith((*SUFFIXES, ".txt.gz"))]
    else:
        names = sorted(n for n in glob.glob(path, recursive=True) if os.path.isfile(n))
    if not names:
        raise UserError(f"{source}: there are no texts ({' '.join(SUFFIXES)}) in {path}")
    if len(names) == 1:
        return _of_one(source, _read(source, names[0]))
    texts = [_read(source, name) for name in names]
    folders = [os.path.basename(os.path.dirname(name)) for name in names] if os.path.isdir(path) else []
    labels = np.array(folders) if len(set(folders)) > 1 else None
    return _parts(source, texts, labels)


def open_lines(source: str, path: str) -> Parts:
    """A document a line; empty lines are none."""
    lines = [line for line in _read(source, path).splitlines() if line.strip()]
    return _parts(source, lines, None)


def open_docstrings(source: str, path: str) -> Parts:
    """The docstrings of the installed SciPy's public functions and classes, labelled by subpackage."""
    import scipy

    found: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in sorted(m.name for m in pkgutil.iter_modules(scipy.__path__) if m.ispkg):
            if package.startswith("_") or package in ("misc", "conftest"):
                continue
            _collect(importlib.import_module(f"scipy.{package}"), package, found)
    labels = np.array(list(found.values()))
    return _parts(source, list(found), labels)


def _collect(module, package: str, found: dict[str, str], depth: int = 0) -> None:
    for name in sorted(n for n in dir(module) if not n.startswith("_")):
        thing = getattr(module, name)
        if inspect.ismodule(thing):
            if depth == 0 and thing.__name__.startswith(f"scipy.{package}."):
                _collect(thing, package, found, 1)
            continue
        for member in (thing, *(_methods(thing) if inspect.isclass(thing) else ())):
            text = inspect.getdoc(member) or ""
            if len(text) >= _FEWEST and (callable(member) or inspect.isdatadescriptor(member)):
                found.setdefault(text, package)


def _methods(thing) -> list:
    return [getattr(thing, name) for name in sorted(vars(thing)) if not name.startswith("_")]


def open_column(
    source: str,
    form: str,
    path: str,
    text: str,
    label: str,
    split: str,
    header: str,
    delimiter: str,
    empty: bool = False,
) -> Parts:
    """The texts of a column of a table, its labels of another, and its splits of a third.

    With `empty`, a row without a text is a document as well: every row has its number.
    """
    if form == "csv":
        found = delimited.read(source, path, header=header, delimiter=delimiter, named=text)
        names, column = found.names, lambda i: found.columns[i].to_pylist()
    else:
        files = columnar.files_in_order(source, path, f".{form}")
        table = columnar.joined(source, files, form)
        names, column = tuple(table.column_names), lambda i: table.column(i).to_pylist()
    index = lambda name, field: frames.label_index(source, names, name, field)
    texts = column(index(text, "text_column"))
    for i, cell in enumerate(texts):
        if not isinstance(cell, str):
            raise UserError(f"{source}: row {i} (from 0), column {text!r} holds {cell!r}, and no text")
    labels = np.array([str(v) for v in column(index(label, "label_column"))]) if label else None
    return _parts(source, texts, labels, column(index(split, "split_column")) if split else None, empty)


def _of_one(source: str, text: str) -> Parts:
    cut = int(FIRST * len(text))
    if not text[:cut] or not text[cut:]:
        raise UserError(f"{source}: a text of {len(text)} characters is too short to be divided")
    train, test = (ArraySplit(_objects([part])) for part in (text[:cut], text[cut:]))
    return Parts(train, test, None)


def _parts(
    source: str,
    texts: list[str],
    labels: np.ndarray | None,
    splits: Sequence | None = None,
    empty: bool = False,
) -> Parts:
    """Documents, less empty ones, which are said."""
    kept = np.array([empty or bool(text.strip()) for text in texts])
    if not kept.all():
        columnar.logger.warning(
            "%s: %d of %d documents are empty and left out", source, (~kept).sum(), len(kept)
        )
    if not kept.any():
        raise UserError(f"{source} holds no documents")
    x = _objects(texts)[kept]
    names, [y] = frames.labelled(source, [None if labels is None else labels[kept]])
    whole = ArraySplit(x, y)
    if splits is None:
        return Parts(whole, None, names)
    words = np.array([str(s).lower() for s in splits])[kept]
    train, test = np.isin(words, TRAIN_NAMES), np.isin(words, [w for w in TEST_NAMES if w in words][:1])
    if not train.any() or not test.any():
        raise UserError(
            f"{source}: the column of splits holds {sorted(set(words))[:5]}, and not train and test"
        )
    return Parts(whole.select(np.flatnonzero(train)), whole.select(np.flatnonzero(test)), names)


def _objects(texts: Sequence[str]) -> np.ndarray:
    made = np.empty(len(texts), object)
    made[:] = texts
    return made


def _read(source: str, path: str) -> str:
    try:
        with opened(path) as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{source}: cannot open {path} ({error.strerror or error})") from error
    # A byte that is not UTF-8 is kept as what stands for it; tokenizers other than of bytes name and refuse it.
    return content.decode("utf-8-sig", errors="surrogateescape")


TEXTS: dict[str, Callable] = {"docstrings": open_docstrings, "lines": open_lines, "text": open_text}
