"""`csv:PATH`: a table of numbers with commas between them, and perhaps a column of labels."""

import csv
import math
from array import array
from collections.abc import Iterable

import numpy as np

from unsupjax.data.checks import encode_labels
from unsupjax.data.splits import ArraySplit, Options, Parts
from unsupjax.errors import UserError, nearest

NOT_OBSERVED = ("", "nan", "na", "n/a", "?", "null")
LARGEST = float(np.finfo(np.float32).max)


def open_csv(source: str, path: str, options: Options) -> Parts:
    """Every column but `label_column` is a feature; a first line with no number in them is a header."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = ((reader.line_num, row) for row in reader if row)
            return _parse(source, rows, options)
    except OSError as error:
        raise UserError(f"{source}: cannot open {path} ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{source} is not UTF-8 text with commas between columns ({error})") from error


def _parse(source: str, rows: Iterable[tuple[int, list[str]]], options: Options) -> Parts:
    line, first = next(rows, (0, None))
    if first is None:
        raise UserError(f"{source} is an empty file; it needs a row for every example")
    label_column, missing = options.label_column, options.missing
    label = _label_index(source, first, label_column)
    features = [i for i in range(len(first)) if i != label]
    is_header = label_column in first or not any(_is_number(first[i]) for i in features)
    names = first if is_header else [str(i) for i in range(len(first))]
    values, labels = array("d"), []

    def add(line, row):
        if len(row) != len(first):
            raise UserError(f"{source}: line {line} has {len(row)} columns where the first has {len(first)}")
        values.extend(_number(source, line, names[i], row[i], missing) for i in features)
        if label is not None:
            labels.append(row[label])

    if not is_header:
        add(line, first)
    for line, row in rows:
        add(line, row)
    if not values:
        raise UserError(f"{source} has no rows with features; it needs a line of numbers for every example")
    return _parts(source, np.array(values).reshape(-1, len(features)), labels)


def _parts(source: str, x: np.ndarray, labels: list[str]) -> Parts:
    if not labels:
        return Parts(ArraySplit(x), None, None)
    names, (y,) = encode_labels(f"{source}, label column", np.array(labels))
    return Parts(ArraySplit(x, y), None, names)


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
            f"name the column in config.data.label_column if it holds the labels"
        )
    return value
