"""Tables of mixed types: read from CSV, and written back with the same columns, types and decimals."""

import csv
import decimal
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data.sources.csv import LARGEST, NOT_OBSERVED
from unsupjax.errors import UserError, nearest

FEW = 10  # numbers without a fraction that take at most so many values are categories
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")  # 007 is a text: as a number it would lose its zeros
_FLOAT = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_EXACT = 2**53  # float64 holds every integer up to here
_DIGITS = 17  # decimals beyond these are written in the shortest form that reads back the same


class Column(NamedTuple):
    """A column's name and type.

    Attributes:
        name: from the header.
        kind: "integer", "float" or "text".
        discrete: its values are categories; always so for texts.
        decimals: the fewest and the most digits after the point that a number of it was written with.
    """

    name: str
    kind: str
    discrete: bool
    decimals: tuple[int, int] = (0, 0)

    @property
    def numeric(self) -> bool:
        """Integers or floats."""
        return self.kind != "text"


class Table(NamedTuple):
    """Columns beside each other.

    Attributes:
        columns: their schema, in the order of the file.
        values: of each column `[N]`: float64 with NaN where a number is missing, or texts, "" where one is.
    """

    columns: tuple[Column, ...]
    values: tuple[np.ndarray, ...]

    @property
    def rows(self) -> int:
        """N."""
        return len(self.values[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    def take(self, index: np.ndarray) -> "Table":
        """The rows at `index`, an int array or a slice, in that order."""
        return self._replace(values=tuple(v[index] for v in self.values))

    def find(self, name: str) -> int:
        """The position of the column called `name`; UserError where there is none."""
        if name not in self.names:
            raise UserError(f"{name!r} is no column; {nearest(name, self.names)}")
        return self.names.index(name)


def read(
    path: str | pathlib.Path, *, discrete: Sequence[str] = (), like: Sequence[Column] | None = None
) -> Table:
    """The table in a CSV file whose first line names the columns.

    A column is numeric where everything in it that is not missing reads as a number; numbers with leading zeros and
    integers beyond 2^53 are texts. Missing are empty fields and, in numeric columns, nan, na, n/a, ? and null.
    Numeric columns without fractions that take at most 10 values are discrete.

    Args:
        path: UTF-8, commas between fields, quotes where a field holds commas.
        discrete: names of columns whose values are categories whatever they look like.
        like: the columns of another table, whose types the file's are to have.

    Raises:
        UserError: no such file or none that can be read; a header with an empty, doubled or numeric name; a line with
            more or fewer fields than the header; no rows; a number beyond float32; a name in `discrete` that is no
            column's; names or a text that do not go with `like`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = ((reader.line_num, row) for row in reader if row)
            header, texts = _fields(path, lines)
    except OSError as error:
        raise UserError(f"cannot open {path} ({error.strerror}); give the path of a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not UTF-8 text with commas between fields ({error})") from error
    return _table(path, header, texts, discrete) if like is None else _like(path, header, texts, like)


def from_columns(columns: Mapping[str, Iterable[Any]], *, discrete: Sequence[str] = ()) -> Table:
    """The table that `read` would find in a file of these columns: numbers or texts by name; None and NaN are missing.

    Raises:
        UserError: as `read`; columns of different lengths are a ValueError.

    >>> from_columns({"age": [31, 58], "city": ["Bonn", None]}).columns[1]
    Column(name='city', kind='text', discrete=True, decimals=(0, 0))
    """
    texts = {name: ["" if _is_nan(v) else str(v) for v in values] for name, values in columns.items()}
    if len({len(t) for t in texts.values()}) > 1:
        raise ValueError(f"columns of different lengths: { {n: len(t) for n, t in texts.items()} }")
    _check_header("the table", list(texts), 1)
    if not texts or not next(iter(texts.values())):
        raise UserError("the table is empty: it needs at least a column and a row")
    return _table("the table", list(texts), list(texts.values()), discrete)


def write(path: str | pathlib.Path, table: Table) -> None:
    """Writes a CSV file that `read` reads back: integers as integers, floats with their decimals, missing as nothing.

    Raises:
        UserError: the path cannot be written.
    """
    texts = [_texts(c, v) for c, v in zip(table.columns, table.values, strict=True)]
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.names)
            writer.writerows(zip(*texts, strict=True))
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); choose another path") from error


def written(column: Column, values: np.ndarray) -> np.ndarray:
    """The values `[N]` that a reader finds after `write`: integers rounded, floats to their decimals."""
    if not column.numeric or column.decimals[1] > _DIGITS:
        return values
    return np.round(values, column.decimals[1]) + 0.0  # + 0.0: no -0


def parse(column: Column, text: str) -> float | str:
    """One field of `column` as its values hold it; UserError where a numeric column is given something else."""
    if not column.numeric:
        return text
    if text.strip().lower() in NOT_OBSERVED:
        return math.nan
    if not _FLOAT.fullmatch(text.strip()) or not abs(float(text)) <= LARGEST:
        raise UserError(f"{text!r} is no number of float32, and column {column.name!r} holds numbers")
    return float(text)


def _is_nan(value) -> bool:
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _fields(path, lines) -> tuple[list[str], list[Sequence[str]]]:
    """The header, and the texts of each column."""
    line, header = next(lines, (0, None))
    if header is None:
        raise UserError(f"{path} is empty; its first line must name the columns, and rows follow")
    header = [name.strip() for name in header]
    _check_header(path, header, line)
    rows = []
    for line, row in lines:
        if len(row) != len(header):
            raise UserError(
                f"{path}: line {line} has {len(row)} fields where the header has {len(header)}; give every line as "
                f"many, and quote fields that hold commas"
            )
        rows.append(row)
    if not rows:
        raise UserError(f"{path} has a header and no rows; add rows below line {line}")
    return header, list(zip(*rows, strict=True))


def _check_header(path, header, line):
    for i, name in enumerate(header):
        if not name:
            raise UserError(f"{path}: line {line} gives column {i + 1} no name; the first line must name all")
        if _FLOAT.fullmatch(name):
            raise UserError(
                f"{path}: line {line} must name the columns and holds the number {name!r}; add a line of names"
            )
        if header.index(name) < i:
            raise UserError(f"{path}: line {line} names two columns {name!r}; rename one of them")


def _table(path, header, texts, discrete) -> Table:
    for name in discrete:
        if name not in header:
            raise UserError(f"{path} has no column {name!r} to count as discrete; {nearest(name, header)}")
    pairs = [_column(path, n, t, n in discrete) for n, t in zip(header, texts, strict=True)]
    columns, values = zip(*pairs, strict=True)
    return Table(columns, values)


def _like(path, header, texts, columns) -> Table:
    names = [c.name for c in columns]
    if header != names:
        raise UserError(f"{path} has columns {header} where {names} are wanted, in this order")
    try:
        values = [[parse(c, t) for t in ts] for c, ts in zip(columns, texts, strict=True)]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    kinds = [float if c.numeric else str for c in columns]
    return Table(tuple(columns), tuple(map(np.array, values, kinds)))


def _column(path, name: str, texts: Sequence[str], forced: bool) -> tuple[Column, np.ndarray]:
    observed = {t for t in set(texts) if t.strip().lower() not in NOT_OBSERVED}
    clean = [t.strip() for t in observed]
    integers = all(_INTEGER.fullmatch(t) for t in clean)
    numeric = all(abs(int(t)) <= _EXACT for t in clean) if integers else all(map(_FLOAT.fullmatch, clean))
    if not numeric or not observed:
        return Column(name, "text", True), np.array(texts, str)
    number = {t: float(t) for t in observed}
    large = next((t for t, v in number.items() if not abs(v) <= LARGEST), None)
    if large is not None:
        raise UserError(f"{path}: column {name!r} holds {large!r}, beyond float32; rescale or remove it")
    digits = [_decimals(t) for t in clean]
    whole = all(v.is_integer() for v in number.values())
    few = whole and len(set(number.values())) <= FEW
    values = np.array([number.get(t, math.nan) for t in texts])
    kind = "integer" if integers else "float"
    return Column(name, kind, forced or few, (min(digits), max(digits))), values


def _decimals(text: str) -> int:
    return max(0, -decimal.Decimal(text).as_tuple().exponent)


def _texts(column: Column, values: np.ndarray) -> list[str]:
    if not column.numeric:
        return list(values)
    return ["" if math.isnan(v) else _text(v, *column.decimals) for v in written(column, values).tolist()]


def _text(value: float, fewest: int, most: int) -> str:
    if most > _DIGITS:
        return repr(value)
    text = f"{value:.{most}f}"
    spare = min(most - fewest, len(text) - len(text.rstrip("0")))
    return text[: len(text) - spare].rstrip(".") if spare else text
