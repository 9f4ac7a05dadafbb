"""`csv:PATH`: a table of numbers, or of numbers, dates and categories, and perhaps a column of labels."""

import csv
import math
from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from unsupjax.data.checks import encode_labels
from unsupjax.data.columns import LARGEST, NOT_OBSERVED, Table, typed
from unsupjax.data.splits import ArraySplit, Parts
from unsupjax.errors import UserError, nearest


def open_csv(
    source: str, path: str, *, label_column: str, missing: bool, columns: str, categories: tuple[str, ...]
) -> Parts:
    """Every column but `label_column` is a feature; a first line with no number in them is a header."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return _parse(source, _rows(source, file), label_column, missing, columns, categories)
    except OSError as error:
        raise UserError(f"{source}: cannot open {path} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = _first_undecodable(path)
        raise UserError(f"{source}: line {line} is not UTF-8 text; save the file in that encoding") from error


def _rows(source: str, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line, from 1."""
    reader = csv.reader(_text(source, file), strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{source}: the row that begins in line {start} is not text with commas between columns ({error}); "
            f"close its quotes"
        ) from error


def _text(source: str, file: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if "\0" in line:
            raise UserError(f"{source}: line {number} holds NUL bytes, as UTF-16 does; save it as UTF-8 text")
        yield line


def _first_undecodable(path: str) -> int:
    """The first line, from 1, that is not UTF-8: a reader decodes many at once and cannot say."""
    with open(path, "rb") as file:
        return next((number for number, line in enumerate(file, 1) if not _is_utf8(line)), 1)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parse(
    source: str,
    rows: Iterable[tuple[int, list[str]]],
    label_column: str,
    missing: bool,
    types: str,
    categories: tuple[str, ...],
) -> Parts:
    line, first = next(rows, (0, None))
    if first is None:
        raise UserError(f"{source} is an empty file; it needs a row for every example")
    label = _label_index(source, first, label_column)
    features = [i for i in range(len(first)) if i != label]
    is_header = label_column in first or not any(_is_number(first[i]) for i in features)
    names = first if is_header else [str(i) for i in range(len(first))]
    mixed = types == "mixed" or categories
    texts = [[] for _ in features]
    values, labels = array("d"), []

    def add(line, row):
        if len(row) != len(first):
            raise UserError(
                f"{source}: line {line} has {len(row)} columns where the first has {len(first)}; make them equal"
            )
        if mixed:
            for column, i in zip(texts, features, strict=True):
                column.append(row[i])
        else:
            values.extend(_number(source, line, names[i], row[i], missing) for i in features)
        if label is not None:
            labels.append(row[label])

    if not is_header:
        add(line, first)
    for line, row in rows:
        add(line, row)
    if not values and not any(texts):
        raise UserError(f"{source} has no rows with features; it needs a line of numbers for every example")
    columns = tuple(names[i] for i in features)
    if mixed:
        return _parts(source, *_typed(source, columns, texts, types, categories, missing), labels)
    return _parts(source, np.array(values).reshape(-1, len(features)), columns, labels)


def _typed(
    source: str,
    names: tuple[str, ...],
    texts: list[list[str]],
    types: str,
    categories: tuple[str, ...],
    missing: bool,
) -> tuple:
    """Columns of any type as a structured array `[N]`, and what each is."""
    for i, name in enumerate(names):
        if not name or names.index(name) < i:
            raise UserError(
                f"{source}: column {i + 1} is named {name!r}; give every column a name of its own"
            )
    found = [
        typed(source, name, column, discrete=name in categories, dates=types == "mixed")
        for name, column in zip(names, texts, strict=True)
    ]
    for column, values in found:
        if types != "mixed" and not column.numeric and column.name not in categories:
            raise UserError(
                f"{source}: column {column.name!r} holds texts, such as {str(values[0])!r}; {_mend(column.name)}"
            )
        if not column.discrete and not missing:
            gone = np.isnan(values) if column.numeric else values == ""
            if gone.any():
                raise UserError(
                    f"{source}: row {gone.argmax()} (from 0, without the header), column {column.name!r} holds "
                    "nothing that was observed; fix it, or set config.data.missing=True"
                )
    if types != "mixed":  # whole numbers stay numbers unless they are named
        found = [(c._replace(discrete=c.name in categories), v) for c, v in found]
    table = Table(*(tuple(part) for part in zip(*found, strict=True)))
    return table.structured(), table.columns


def _mend(column: str) -> str:
    return (
        f"set config.data.categories=({column!r},) if it holds categories, config.data.columns='mixed' to have all "
        f"columns typed, or config.data.label_column={column!r} if it holds the labels"
    )


def _parts(source: str, x: np.ndarray, columns: tuple, labels: list[str]) -> Parts:
    if not labels:
        return Parts(ArraySplit(x), None, None, columns)
    names, (y,) = encode_labels(f"{source}, label column", np.array(labels))
    return Parts(ArraySplit(x, y), None, names, columns)


def _label_index(source: str, first: list[str], label_column: str) -> int | None:
    """The position of the label column, given by its name in the first line or by its index."""
    if not label_column:
        return None
    if label_column in first:
        return first.index(label_column)
    try:
        return range(len(first))[int(label_column)]
    except (ValueError, IndexError):
        hint = nearest(label_column, first) if len(first) <= 50 else f"there are {len(first)} columns"
        raise UserError(f"{source}: config.data.label_column={label_column!r} is no column; {hint}") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(source: str, line: int, column: str, text: str, missing: bool) -> float:
    if missing and text.strip().lower() in NOT_OBSERVED:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise UserError(
            f"{source}: line {line}, column {column!r} holds {text!r}, not a number of float32; fix it, or "
            + (
                "set config.data.missing=True if the entry was not observed"
                if text.strip().lower() in NOT_OBSERVED
                else _mend(column)
            )
        )
    return value
