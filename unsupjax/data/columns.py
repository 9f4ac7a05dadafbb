"""What a column of texts is: integers, floats, dates or categories, and how its values are read and written."""

import datetime
import decimal
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unsupjax.errors import UserError, nearest

NOT_OBSERVED = ("", "nan", "na", "n/a", "?", "null")
LARGEST = float(np.finfo(np.float32).max)
FEW = 10  # numbers without a fraction that take at most so many values are categories
DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%d.%m.%Y")
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")  # 007 is a text: as a number it would lose its zeros
_FLOAT = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
EXACT = 2**53  # float64 holds every integer up to here
_DIGITS = 17  # decimals beyond these are written in the shortest form that reads back the same


class Column(NamedTuple):
    """A column's name and type.

    Attributes:
        name: from the header.
        kind: "integer", "float", "text" or "date".
        discrete: its values are categories; always so for texts.
        decimals: the fewest and the most digits after the point that a number of it was written with.
        format: of dates, as `datetime.strptime` has it.
    """

    name: str
    kind: str
    discrete: bool
    decimals: tuple[int, int] = (0, 0)
    format: str = ""

    @property
    def numeric(self) -> bool:
        """Integers or floats."""
        return self.kind in ("integer", "float")


class Table(NamedTuple):
    """Columns beside each other.

    Attributes:
        columns: their schema, in order.
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

    def structured(self) -> np.ndarray:
        """The rows as a structured array `[N]`."""
        rows = np.empty(
            self.rows, [(c.name, v.dtype) for c, v in zip(self.columns, self.values, strict=True)]
        )
        for name, values in zip(self.names, self.values, strict=True):
            rows[name] = values
        return rows

    def find(self, name: str) -> int:
        """The position of the column called `name`; UserError where there is none."""
        if name not in self.names:
            raise UserError(f"{name!r} is no column; {nearest(name, self.names)}")
        return self.names.index(name)


def typed(
    where: str, name: str, texts: Sequence[str], *, discrete: bool = False, dates: bool = False
) -> tuple[Column, np.ndarray]:
    """The type of a column of texts, and its values as `Table` has them.

    It is numeric where everything in it that is not missing reads as a number; numbers with leading zeros and integers
    beyond 2^53 are texts. Missing are empty fields and, in numeric columns, nan, na, n/a, ? and null. Numeric columns
    without fractions that take at most 10 values are discrete.

    Args:
        where: names the table in errors.
        name: of the column.
        texts: its fields `[N]`.
        discrete: its values are categories whatever they look like.
        dates: texts that are all dates of one of the formats `DATES` are dates, and their values these texts.

    Raises:
        UserError: a number beyond float32.
    """
    observed = {t for t in set(texts) if t.strip().lower() not in NOT_OBSERVED}
    clean = [t.strip() for t in observed]
    integers = all(_INTEGER.fullmatch(t) for t in clean)
    numeric = all(abs(int(t)) <= EXACT for t in clean) if integers else all(map(_FLOAT.fullmatch, clean))
    if not numeric or not observed:
        form = date_format(clean) if dates and not discrete else ""
        if form:
            dates = [t.strip() if t in observed else "" for t in texts]
            return Column(name, "date", False, format=form), np.array(dates, str)
        return Column(name, "text", True), np.array(texts, str)
    number = {t: float(t) for t in observed}
    large = next((t for t, v in number.items() if not abs(v) <= LARGEST), None)
    if large is not None:
        raise UserError(f"{where}: column {name!r} holds {large!r}, beyond float32; rescale or remove it")
    digits = [_decimals(t) for t in clean]
    whole = all(v.is_integer() for v in number.values())
    few = whole and len(set(number.values())) <= FEW
    values = np.array([number.get(t, math.nan) for t in texts])
    kind = "integer" if integers else "float"
    return Column(name, kind, discrete or few, (min(digits), max(digits))), values


def date_format(texts: Sequence[str]) -> str:
    """The first of `DATES` that all the texts have; "" where there is none, or no text."""
    return next((form for form in DATES if texts and all(_is_date(text, form) for text in texts)), "")


def _is_date(text: str, form: str) -> bool:
    try:
        datetime.datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def parse(column: Column, text: str) -> float | str:
    """One field of `column` as its values hold it; UserError where a numeric column is given something else."""
    if not column.numeric:
        return text
    if text.strip().lower() in NOT_OBSERVED:
        return math.nan
    if not _FLOAT.fullmatch(text.strip()) or not abs(float(text)) <= LARGEST:
        raise UserError(f"{text!r} is no number of float32, and column {column.name!r} holds numbers")
    return float(text)


def is_float(text: str) -> bool:
    """Whether a text reads as a number."""
    return bool(_FLOAT.fullmatch(text))


def written(values: np.ndarray, decimals: tuple[int, int]) -> np.ndarray:
    """The numbers `[N]` that a reader finds where at most `decimals[1]` digits were written after the point."""
    return values if decimals[1] > _DIGITS else np.round(values, decimals[1]) + 0.0  # + 0.0: no -0


def texts(column: Column, values: np.ndarray) -> list[str]:
    """Values as fields of a file: integers as integers, floats with their decimals, missing as nothing."""
    if not column.numeric:
        return list(values)
    numbers = written(values, column.decimals).tolist()
    return ["" if math.isnan(v) else _text(v, *column.decimals) for v in numbers]


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equality by which missing is missing."""
    return (a == b) | ((a != a) & (b != b))


def _decimals(text: str) -> int:
    return max(0, -decimal.Decimal(text).as_tuple().exponent)


def _text(value: float, fewest: int, most: int) -> str:
    if most > _DIGITS:
        return repr(value)
    text = f"{value:.{most}f}"
    spare = min(most - fewest, len(text) - len(text.rstrip("0")))
    return text[: len(text) - spare].rstrip(".") if spare else text
