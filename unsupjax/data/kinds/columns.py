"""The columns of a table: each turns a user's values into entries of a stored row, and back.

A column is a NamedTuple of plain values:

    read(raw) -> values [N]         float64, NaN where one is missing, or texts, ""; Unfit names the first bad one
    encode(values) -> [N, width]    as they are stored, but for their dtype
    decode(stored) -> values [N]    what entries stand for, whether a method or a table gave them
    show(values) -> raw [N]         in the user's form: dates as texts
"""

import datetime
import math
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data.columns import same

_DAY = 86_400
_FIRST, _LAST = (
    -62_135_596_800,
    253_402_300_799,
)  # seconds from 1970 to the first and the last date that there is


class Unfit(Exception):
    """The value in a row, counted from 0, that a column cannot hold, and what it holds."""

    def __init__(self, row: int, value: Any, holds: str):
        """Of row `row`."""
        super().__init__(row, value, holds)
        self.row, self.value, self.holds = row, value, holds


class Number(NamedTuple):
    """A number, `(value - mean) / std`."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    type = "number"
    width = 1

    def read(self, raw: Any) -> np.ndarray:
        """Float64."""
        return as_numbers(raw)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Standardised, `[N, 1]`."""
        return ((values - self.mean) / self.std)[:, None]

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """In the user's units."""
        return stored[:, 0] * self.std + self.mean

    def show(self, values: np.ndarray) -> np.ndarray:
        """As they are."""
        return values


class Date(NamedTuple):
    """A date, as a number of days or, where its format has hours, of seconds since 1970: `(number - mean) / std`.

    Float32 tells about 16 million of them apart: all days, and the seconds of half a year.
    """

    name: str
    mean: float
    std: float
    format: str
    type = "date"
    width = 1

    def read(self, raw: Any) -> np.ndarray:
        """Numbers of texts in the format, of `datetime`'s dates or of numpy's."""
        return as_moments(raw, self.format)

    encode, decode = Number.encode, Number.decode

    def show(self, values: np.ndarray) -> np.ndarray:
        """Texts in the format, "" where a date is missing."""
        return as_dates(values, self.format)


class Category(NamedTuple):
    """One of a few values, one-hot: all texts ("" where one is missing), or all numbers (None where one is)."""

    name: str
    values: tuple
    type = "category"

    @property
    def width(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return not isinstance(self.values[0], str)

    def array(self) -> np.ndarray:
        """The values `[K]`: float64 with NaN, or texts."""
        return np.array(self.values, float if self.numeric else str)

    def read(self, raw: Any) -> np.ndarray:
        """Numbers or texts."""
        if self.numeric:
            return as_numbers(raw)
        return np.array([as_text(v) for v in raw], str)

    def codes(self, values: np.ndarray, strange_too: bool = False) -> np.ndarray:
        """The index of each value, int `[N]`; Unfit for one that is none of them, or with `strange_too` -1."""
        known, place = np.unique(self.array(), return_index=True)
        at = np.searchsorted(known, values).clip(max=len(known) - 1)
        strange = ~same(known[at], values)
        if strange_too:
            return np.where(strange, -1, place[at])
        if strange.any():
            row = int(strange.argmax())
            listed = ", ".join(map(repr, self.values[:10])) + (", ..." if len(self.values) > 10 else "")
            raise Unfit(row, values[row].item(), f"one of {listed}")
        return place[at]

    def encode(self, values: np.ndarray, strange_too: bool = False) -> np.ndarray:
        """One-hot, `[N, width]`; with `strange_too` zeros of a value that is none of them."""
        rows = np.concatenate([np.eye(self.width), np.zeros((1, self.width))])  # -1 is the last
        return rows[self.codes(values, strange_too)]

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """The value of the largest entry."""
        return self.array()[stored.argmax(axis=1)]

    def show(self, values: np.ndarray) -> np.ndarray:
        """As they are."""
        return values


class Index(NamedTuple):
    """A category of many values, stored as the place of each among them, -1 of one that is none of them."""

    name: str
    values: tuple
    type = "index"
    width = 1

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    numeric, array, read, codes = Category.numeric, Category.array, Category.read, Category.codes

    def encode(self, values: np.ndarray, strange_too: bool = False) -> np.ndarray:
        """Places, `[N, 1]`."""
        return self.codes(values, strange_too)[:, None]

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """The value at the nearest place."""
        return self.array()[np.rint(stored[:, 0]).astype(np.int64).clip(0, self.size - 1)]

    def show(self, values: np.ndarray) -> np.ndarray:
        """As they are."""
        return values


CATEGORIES = (Category, Index)
Column = Number | Date | Category | Index


def as_numbers(raw: Any) -> np.ndarray:
    """Float64 `[N]`; NaN for None, pandas' NA and not-a-time. Unfit where one is no number."""
    try:
        return np.asarray(raw, np.float64)
    except (TypeError, ValueError):
        numbers = []
        for row, value in enumerate(raw):
            try:
                numbers.append(math.nan if is_missing(value) else float(value))
            except (TypeError, ValueError):
                raise Unfit(row, value, "numbers") from None
        return np.array(numbers)


def as_moments(raw: Any, form: str) -> np.ndarray:
    """Days, or seconds where the format has hours, since 1970, float64 `[N]`; NaN where a date is missing."""
    unit = _DAY if "%H" not in form else 1
    raw = np.asarray(raw)
    if raw.dtype.kind == "M":
        seconds = raw.astype("datetime64[s]").astype(np.float64)
        return np.where(np.isnat(raw), np.nan, np.floor(seconds / unit))
    known, index = {}, np.empty(len(raw))
    for row, value in enumerate(raw.tolist()):
        if value not in known:
            known[value] = _moment(row, value, form) // unit
        index[row] = known[value]
    return index


def _moment(row: int, value: Any, form: str) -> float:
    """Seconds since 1970."""
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        if isinstance(value, str):
            value = datetime.datetime.strptime(value.strip(), form)
        elif not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        return (value.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)).total_seconds()
    except (ValueError, AttributeError, TypeError):
        raise Unfit(row, value, f"dates such as {datetime.date(2024, 12, 31).strftime(form)}") from None


def as_dates(values: np.ndarray, form: str) -> np.ndarray:
    """Texts `[N]` of what `as_moments` gives; what lies beyond the calendar is its first or last day."""
    unit = _DAY if "%H" not in form else 1
    seconds = np.clip(np.round(values) * unit, _FIRST, _LAST)
    start = datetime.datetime(1970, 1, 1)
    date = lambda s: "" if math.isnan(s) else _formatted(start + datetime.timedelta(seconds=s), form)
    return np.array([date(s) for s in seconds.tolist()], str)


def _formatted(date: datetime.datetime, form: str) -> str:
    return date.strftime(form.replace("%Y", f"{date.year:04d}"))  # %Y alone has no leading zeros everywhere


def is_missing(value: Any) -> bool:
    """None, NaN, not-a-time and pandas' NA."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # NA is neither equal nor unequal to itself
        return str(value) == "<NA>"


def as_text(value: Any) -> str:
    """A category as a text, "" where it is missing; byte strings are read as UTF-8."""
    return "" if is_missing(value) else value.decode() if isinstance(value, bytes) else str(value)


def category(name: str, values: np.ndarray) -> Category:
    """The column of the categories among values `[N]`, numbers or texts."""
    return Category(name, tuple(None if v != v else v for v in np.unique(values).tolist()))


def spread(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the numbers that are not missing; 1 in place of 0 for equal ones."""
    known = values[~np.isnan(values)]
    if not len(known) or known.min() == known.max():
        return (float(known[0]) if len(known) else 0.0), 1.0
    mean = float(known.mean())
    largest = float(np.abs(known - mean).max())
    return mean, largest * float(np.sqrt(np.mean(np.square((known - mean) / largest))))  # squares may be 0
