"""What all tables of columns share, whatever they are stored in: labels, numbers, types."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unsupjax.data.checks import encode_labels
from unsupjax.data.columns import LARGEST, NOT_OBSERVED, Column, Table, distinct_of
from unsupjax.data.splits import ArraySplit, Parts
from unsupjax.errors import UserError, nearest


def label_index(
    source: str, names: Sequence[str], label_column: str, field: str = "label_column"
) -> int | None:
    """The position of the column that a field of the config gives by its name or its index; None where it does not."""
    if not label_column:
        return None
    if label_column in names:
        return list(names).index(label_column)
    try:
        return range(len(names))[int(label_column)]
    except (ValueError, IndexError):
        hint = nearest(label_column, names) if len(names) <= 50 else f"there are {len(names)} columns"
        raise UserError(f"{source}: config.data.{field}={label_column!r} is no column; {hint}") from None


def as_numbers(texts: Any, missing: bool) -> tuple[np.ndarray, int | None]:
    """Texts `[N]` as float64, with NaN where `missing` words are allowed, and the first row that is no number.

    A column whose fractions all begin with a comma is read so.
    """
    import pyarrow as pa
    from pyarrow import compute

    with contextlib.suppress(pa.ArrowInvalid):  # of a text that is no number, which what follows tells apart
        values = compute.cast(compute.utf8_trim_whitespace(texts), pa.float64()).to_numpy()
        if (np.abs(values) <= LARGEST).all():
            return values, None
    distinct, index = distinct_of(texts)
    clean = [text.strip() for text in distinct]
    if any("," in text for text in clean) and not any("." in text for text in clean):
        clean = [text.replace(",", ".") for text in clean]
    values = np.array([_number(text, missing) for text in clean], float)
    bad = np.array(
        [
            not (abs(v) <= LARGEST or (missing and t.lower() in NOT_OBSERVED))
            for v, t in zip(values, clean, strict=True)
        ]
    )
    wrong = bad[index] if len(index) else np.zeros(0, bool)
    return values[index], int(wrong.argmax()) if wrong.any() else None


def _number(text: str, missing: bool) -> float:
    try:
        return math.nan if missing and text.lower() in NOT_OBSERVED else float(text)
    except ValueError:
        return math.nan


def not_a_number(where: str, column: str, text: str) -> UserError:
    """The error of a text in a column of numbers."""
    gone = text.strip().lower() in NOT_OBSERVED
    mend = "set config.data.missing=True if the entry was not observed" if gone else mend_of(column)
    return UserError(f"{where}, column {column!r} holds {text!r}, not a number of float32; fix it, or {mend}")


def mend_of(column: str) -> str:
    """What a user can do with a column of texts."""
    return (
        f"set config.data.categories=({column!r},) if it holds categories, config.data.columns='mixed' to have all "
        f"columns typed, config.data.label_column={column!r} if it holds the labels, or "
        f"config.data.leave_out=({column!r},)"
    )


def check_left_out(source: str, names: Sequence[str], left: Sequence[str]) -> None:
    """UserError for a name that is no column's."""
    for name in left:
        if name not in names:
            raise UserError(f"{source}: config.data.leave_out: {name!r} is no column; {nearest(name, names)}")


def of_types(
    source: str,
    splits: list[list[tuple[Column, np.ndarray]]],
    labels: tuple[tuple[str, ...] | None, list[np.ndarray | None]],
    types: str,
    categories: tuple[str, ...],
    missing: bool,
) -> Parts:
    """Columns of any type as structured arrays `[N]`, and what each is.

    Args:
        source: names them in errors.
        splits: of train, and perhaps of test, the columns and their values; a column is in both what it is in train.
        labels: their names, and those of each split as indices.
        types, categories, missing: as `unsupjax.data.open_source` has them.
    """
    for column, values in (pair for pairs in splits for pair in pairs):
        if types != "mixed" and not column.numeric and column.name not in categories:
            raise UserError(
                f"{source}: column {column.name!r} holds texts, such as {str(values[0])!r}; {mend_of(column.name)}"
            )
        if not column.discrete and not missing:
            gone = np.isnan(values) if column.numeric else values == ""
            if gone.any():
                raise UserError(
                    f"{source}: row {gone.argmax()} (from 0, without the header), column {column.name!r} holds "
                    "nothing that was observed; fix it, or set config.data.missing=True"
                )
    columns = tuple(column for column, _ in splits[0])
    if types != "mixed":  # whole numbers stay numbers unless they are named
        columns = tuple(c._replace(discrete=c.name in categories) for c in columns)
    made = [Table(columns, tuple(values for _, values in pairs)).structured() for pairs in splits]
    return parts(made, columns, labels)


def parts(
    xs: list[np.ndarray],
    columns: tuple | None,
    labels: tuple[tuple[str, ...] | None, list[np.ndarray | None]],
) -> Parts:
    """The rows of the splits of a table, with their labels."""
    names, ys = labels
    made = [ArraySplit(x, y) for x, y in zip(xs, ys, strict=True)]
    return Parts(made[0], made[1] if len(made) > 1 else None, names, columns)


def labelled(source: str, labels: list[np.ndarray | None]) -> tuple[tuple[str, ...] | None, list]:
    """The names of classes, and the labels of each split as indices into them; None where there are none."""
    return (None, labels) if labels[0] is None else encode_labels(f"{source}, label column", *labels)
