"""What a column of texts is: integers, floats, dates or categories, and how its values are read and written."""

import datetime
import decimal
import logging
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from unsupjax.errors import UserError, nearest

# What stands for a number that is missing, in capitals or not.
NOT_OBSERVED = (
    "", "nan", "na", "n/a", "?", "null", "none", "nil", "nat", "<na>", "<null>", "#n/a", "#na", "-nan", "-", "--", ".",
)  # fmt: skip
LARGEST = float(np.finfo(np.float32).max)
FEW = 10  # numbers without a fraction that take at most so many values are categories
DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%d.%m.%Y")
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")  # 007 is a text: as a number it would lose its zeros
_FLOAT = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
EXACT = 2**53  # float64 holds every integer up to here
_CODE = re.compile(r"[+-]?\d+")  # digits alone, of a number or of a code such as 007
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_COMMA = re.compile(r"([+-]?\d*),(\d+([eE][+-]?\d+)?)")  # 19,99
_STRAY = 0.1  # of the distinct texts in a column of numbers, that may be none and are a fault
_ROWS_OF_NAMES = 20
_DIGITS = 17  # decimals beyond these are written in the shortest form that reads back the same

logger = logging.getLogger(__name__)


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
    where: str,
    name: str,
    texts: Sequence[str] | Any,
    *,
    discrete: bool = False,
    dates: bool = False,
    mend: str = "name it in `discrete`",
) -> tuple[Column, np.ndarray]:
    """The type of a column of texts, and its values as `Table` has them.

    It is numeric where everything in it that is not missing reads as a number. Missing are empty fields and, in numeric
    columns, the words of `NOT_OBSERVED`. Codes of digits make it a column of texts: numbers with leading zeros, and
    integers beyond 2^53. So do texts among few numbers ("1", "2", "3+"); a stray one among many is an error. 19,99 is
    19.99 where no number of the column has a point. Numeric columns without fractions that take at most 10 values are
    discrete.

    Args:
        where: names the table in errors.
        name: of the column.
        texts: its fields `[N]`, a sequence or a pyarrow array.
        discrete: its values are categories whatever they look like.
        dates: texts that are all dates of one of the formats `DATES` are dates, and their values these texts.
        mend: what makes it a column of categories, for errors.

    Raises:
        UserError: a number beyond float32; a text, or infinity, in a column of numbers.
    """
    distinct, index = distinct_of(texts)
    clean = [t.strip() for t in distinct]
    gone = [t.lower() in NOT_OBSERVED for t in clean]
    observed = [t for t, missing in zip(clean, gone, strict=True) if not missing]
    points = {t: _with_point(t) for t in observed} if any("," in t for t in observed) else {}
    if points and all(points.values()):
        clean = [points.get(t, t) for t in clean]
        observed = [points[t] for t in observed]
    is_number = {t: _is_number(t) for t in observed}
    if not observed or not all(is_number.values()):
        _check_stray(where, name, clean, index, is_number, discrete, mend)
        form = date_format(observed) if dates and not discrete else ""
        if form:
            kept = np.array(["" if missing else t for t, missing in zip(clean, gone, strict=True)], str)
            return Column(name, "date", False, format=form), kept[index]
        return _said(where, Column(name, "text", True), np.array(distinct, str)[index])
    number = {t: float(t) for t in observed}
    large = next((t for t, v in number.items() if not abs(v) <= LARGEST), None)
    if large is not None:
        raise UserError(f"{where}: column {name!r} holds {large!r}, beyond float32; rescale or remove it")
    if words := sorted({t for t, missing in zip(clean, gone, strict=True) if missing and t}):
        logger.warning("%s: in column %r, missing is %s", where, name, " and ".join(map(repr, words)))
    digits = [_decimals(t) for t in observed]
    whole = all(v.is_integer() for v in number.values())
    few = whole and len(set(number.values())) <= FEW
    values = np.array([math.nan if missing else number[t] for t, missing in zip(clean, gone, strict=True)])
    kind = "integer" if all(map(_INTEGER.fullmatch, observed)) else "float"
    return _said(where, Column(name, kind, discrete or few, (min(digits), max(digits))), values[index])


def _said(where: str, column: Column, values: np.ndarray) -> tuple[Column, np.ndarray]:
    """The column and its values; says where it is of no use."""
    if names_rows(column, values):
        logger.warning(
            "%s: column %r is another in every row: leave it out if it names them", where, column.name
        )
    return column, values


def names_rows(column: Column, values: np.ndarray) -> bool:
    """Whether a column only tells rows apart: texts or whole numbers, another in each of 20 rows or more.

    The numbers are consecutive in some order: measurements may well be all different.
    """
    if column.kind not in ("text", "integer") or len(values) < _ROWS_OF_NAMES:
        return False
    if column.numeric and np.ptp(values) != len(values) - 1:  # nor where one is missing
        return False
    return len(np.unique(values)) == len(values)


def distinct_of(texts: Sequence[str] | Any) -> tuple[list[str], np.ndarray]:
    """The texts that there are, and of each field which one it is, int `[N]`."""
    import pyarrow as pa

    if not isinstance(texts, pa.ChunkedArray | pa.Array):
        texts = pa.array(texts, pa.large_string())
    encoded = texts.dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    if isinstance(encoded, pa.ChunkedArray):  # of no chunks
        return [], np.zeros(0, int)
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)


def _is_number(text: str) -> bool:
    if _INTEGER.fullmatch(text):
        return abs(int(text)) <= EXACT
    return bool(_FLOAT.fullmatch(text))


def _with_point(text: str) -> str:
    """A number with a comma before its fraction as one with a point, a whole number as it is; "" for others."""
    if _INTEGER.fullmatch(text):
        return text
    match = _COMMA.fullmatch(text)
    return f"{match[1] or '0'}.{match[2]}" if match else ""


def _check_stray(where, name, clean, index, is_number, discrete, mend) -> None:
    """Refuses a text that stands in a column of numbers: all numbers would become texts, without a word."""
    numbers = sum(is_number.values())
    strange = [t for t, fits in is_number.items() if not fits]
    if discrete or not numbers or any(map(_CODE.fullmatch, strange)):
        return
    infinite = all(map(_INFINITE.fullmatch, strange))
    if infinite or (numbers > FEW and len(strange) <= max(1, _STRAY * numbers)):
        row = int(np.argmax(index == clean.index(strange[0])))
        raise UserError(
            f"{where}: row {row} (from 0, without the header), column {name!r} holds {strange[0]!r}, and the column "
            f"holds numbers; mend or empty the field, or {mend} if it holds categories"
        )


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
    """The numbers `[N]` that a reader finds where at most `decimals[1]` digits were written after the point.

    Of numbers that were so written, these numbers: n / 10^d of whole numbers is rounded once, and what has as many
    digits as float64 is left alone.
    """
    if decimals[1] > _DIGITS:
        return values
    with np.errstate(over="ignore"):
        exact = np.abs(values) * 10.0 ** decimals[1] < EXACT / 16
    return np.where(exact, np.round(np.where(exact, values, 0.0), decimals[1]), values) + 0.0  # + 0.0: no -0


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
    if most > _DIGITS or abs(value) * 10.0**most >= EXACT:
        return str(int(value)) if most == 0 and abs(value) <= EXACT else repr(value)
    text = f"{value:.{most}f}"
    spare = min(most - fewest, len(text) - len(text.rstrip("0")))
    return text[: len(text) - spare].rstrip(".") if spare else text
