"""Tables of mixed types: read from CSV, and written back with the same columns, types and decimals."""

import csv
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unsupjax.data import delimited
from unsupjax.data.columns import Column, Table, is_float, parse, typed
from unsupjax.data.columns import texts as fields_of
from unsupjax.data.kinds.columns import as_text
from unsupjax.errors import UserError, nearest


def read(
    path: str | pathlib.Path, *, discrete: Sequence[str] = (), like: Sequence[Column] | None = None
) -> Table:
    """The table in a CSV file whose first line names the columns.

    `unsupjax.data.columns.typed` says what a column is.

    Args:
        path: UTF-8; commas, semicolons or tabs between fields, quotes where a field holds such.
        discrete: names of columns whose values are categories whatever they look like.
        like: the columns of another table, whose types the file's are to have.

    Raises:
        UserError: no such file or none that can be read; a header with an empty, doubled or numeric name; a line with
            more or fewer fields than the header; no rows; a number beyond float32; a name in `discrete` that is no
            column's; names or a text that do not go with `like`.
    """
    found = delimited.read(str(path), str(path), header="yes")
    header, texts = list(found.names), found.columns
    _check_header(path, header)
    return _table(path, header, texts, discrete) if like is None else _like(path, header, texts, like)


def from_columns(columns: Mapping[str, Iterable[Any]], *, discrete: Sequence[str] = ()) -> Table:
    """The table that `read` would find in a file of these columns: numbers or texts by name; None and NaN are missing.

    Raises:
        UserError: as `read`; columns of different lengths are a ValueError.

    >>> from_columns({"age": [31, 58], "city": ["Bonn", None]}).columns[1]
    Column(name='city', kind='text', discrete=True, decimals=(0, 0), format='')
    """
    texts = {name: list(map(as_text, values)) for name, values in columns.items()}
    if len({len(t) for t in texts.values()}) > 1:
        raise ValueError(f"columns of different lengths: { {n: len(t) for n, t in texts.items()} }")
    _check_header("the table", list(texts))
    if not texts or not next(iter(texts.values())):
        raise UserError("the table is empty: it needs at least a column and a row")
    return _table("the table", list(texts), list(texts.values()), discrete)


def write(path: str | pathlib.Path, table: Table) -> None:
    """Writes a CSV file that `read` reads back: integers as integers, floats with their decimals, missing as nothing.

    Raises:
        UserError: the path cannot be written.
    """
    texts = [fields_of(c, v) for c, v in zip(table.columns, table.values, strict=True)]
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.names)
            writer.writerows(zip(*texts, strict=True))
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); choose another path") from error


def _check_header(path, header):
    for name in header:
        if is_float(name):
            raise UserError(
                f"{path}: the first line must name the columns and holds the number {name!r}; add a line of names"
            )


def _table(path, header, texts, discrete) -> Table:
    for name in discrete:
        if name not in header:
            raise UserError(f"{path} has no column {name!r} to count as discrete; {nearest(name, header)}")
    pairs = [typed(path, n, t, discrete=n in discrete) for n, t in zip(header, texts, strict=True)]
    columns, values = zip(*pairs, strict=True)
    return Table(columns, values)


def _like(path, header, texts, columns) -> Table:
    names = [c.name for c in columns]
    if header != names:
        raise UserError(f"{path} has columns {header} where {names} are wanted, in this order")
    try:
        values = [[parse(c, t) for t in ts.to_pylist()] for c, ts in zip(columns, texts, strict=True)]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    kinds = [float if c.numeric else str for c in columns]
    return Table(tuple(columns), tuple(map(np.array, values, kinds)))
