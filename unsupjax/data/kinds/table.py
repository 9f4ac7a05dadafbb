"""Rows of a table: numbers, dates and categories, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from unsupjax.data import columns as types
from unsupjax.data.kinds.columns import (
    CATEGORIES,
    Category,
    Column,
    Date,
    Index,
    Number,
    Unfit,
    as_moments,
    category,
    spread,
)
from unsupjax.data.kinds.modes import MODES, Modes, fit_modes
from unsupjax.data.kinds.seen import as_float32, example
from unsupjax.errors import UserError, nearest

COLUMNS = {"number": Number, "date": Date, "category": Category, "index": Index, "modes": Modes}
MOST_CATEGORIES = 1000
MOST_INDEXED = 100_000


class Table(NamedTuple):
    """Rows of named columns: stored and seen as float32 `[N, D]`, the entries of each column beside each other.

    A number has one entry, `(value - mean) / std`, and so has a date; a category has one for each value, one-hot. Where
    the table is fitted so, a number and a date have a scalar and the one-hot of a mode, and a category of many values
    has one entry, the place of its value among them.

    Attributes:
        columns: of `unsupjax.data.kinds.columns`, in order.
        missing: a number or a date may be missing, an entry that is NaN. (Of a category, missing is a value.)
        strange: a category that is none of its column's has zeros, or the place -1, and is no error.
    """

    columns: tuple[Column, ...]
    missing: bool = False
    strange: bool = False
    name = "table"

    @classmethod
    def of_statistics(cls, mean: Sequence[float], std: Sequence[float], missing: bool = False) -> "Table":
        """The kind of numbers without names."""
        pairs = enumerate(zip(mean, std, strict=True))
        return cls(tuple(Number(str(i), *pair) for i, pair in pairs), missing)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (sum(column.width for column in self.columns),)

    @property
    def starts(self) -> tuple[int, ...]:
        """Of each column, where its entries begin."""
        return tuple(np.cumsum([0, *(column.width for column in self.columns)])[:-1].tolist())

    @property
    def named(self) -> bool:
        """Whether the columns have names, and not only numbers."""
        return not all(name.isdigit() for name in self.names)

    @property
    def numbers_alone(self) -> bool:
        """Whether every column is a `Number`."""
        return all(isinstance(column, Number) for column in self.columns)

    def prepare(self, raw: Any) -> np.ndarray:
        """Rows as they are stored.

        Args:
            raw: columns by their names (a mapping, a DataFrame or a structured array) in any order; or, where the
                columns hold numbers alone, an array of them.

        Raises:
            UserError: another number of columns, one that is absent or unknown, or an entry that its column cannot
                hold, with its row and column.
        """
        values = self.read(raw)
        if self.numbers_alone:  # at once: there may be thousands of columns
            mean, std = (
                np.array([getattr(column, name) for column in self.columns]) for name in ("mean", "std")
            )
            return ((np.stack(values, axis=1) - mean) / std).astype(np.float32)
        encode = lambda c, v: c.encode(v, True) if self.strange and isinstance(c, CATEGORIES) else c.encode(v)
        parts = [self._told(c.name, lambda c=c, v=v: encode(c, v)) for c, v in self._pairs(values)]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def read(self, raw: Any) -> list[np.ndarray]:
        """Of each column its values `[N]`: float64 with NaN where one is missing, or texts; errors as of `prepare`."""
        raw = [raw[name] for name in self._matched(raw)] if _is_named(raw) else list(self._array(raw).T)
        values = [self._told(c.name, lambda c=c, v=v: c.read(v)) for c, v in self._pairs(raw)]
        if len({len(v) for v in values}) > 1:
            raise UserError(
                f"the columns differ in length: { {n: len(v) for n, v in zip(self.names, values, strict=True)} }"
            )
        bad = None
        for i, (column, v) in enumerate(self._pairs(values)):
            if not isinstance(column, CATEGORIES):
                wrong = ~np.isfinite(v) & ~(self.missing & np.isnan(v))
                if wrong.any() and (bad is None or wrong.argmax() < bad[0]):
                    bad = int(wrong.argmax()), i
        if bad is not None:
            row, i = bad
            mend = (
                "; train with config.data.missing=True where such are to be"
                if np.isnan(values[i][row])
                else ""
            )
            raise UserError(
                f"row {row} (from 0), column {self.names[i]!r} holds {values[i][row]}, which is no number{mend}"
            )
        return values

    def _pairs(self, parts: Sequence) -> zip:
        return zip(self.columns, parts, strict=True)

    def _told(self, name: str, run) -> np.ndarray:
        """What `run` gives; what is unfit is told with its row and column."""
        try:
            return run()
        except Unfit as error:
            raise UserError(
                f"row {error.row} (from 0), column {name!r} holds {error.value!r}, and the column holds {error.holds}"
            ) from error

    def _array(self, raw: Any) -> np.ndarray:
        x = np.asarray(raw)
        if not all(map(_is_numeric, self.columns)):
            raise UserError(
                f"rows are {x.dtype} of shape {x.shape[1:]}, where columns by their names belong (a DataFrame or a "
                f"dict): {', '.join(map(repr, self.names))}"
            )
        if x.ndim != 2 or x.shape[1] != len(self.columns) or x.dtype.kind not in "biuf":
            raise UserError(
                f"rows are {x.dtype} of shape {x.shape[1:]}, where {len(self.columns)} numbers belong"
            )
        return x.astype(np.float64, copy=False)

    def _matched(self, raw: Any) -> list:
        """The user's keys in the order of the columns."""
        keys = list(raw.keys()) if hasattr(raw, "keys") else list(raw.dtype.names)
        there = {str(key): key for key in keys}
        for name in self.names:
            if name not in there:
                raise UserError(f"the column {name!r} is missing; {nearest(name, there)}")
        if extra := [name for name in there if name not in self.names]:
            raise UserError(
                f"the column {extra[0]!r} is none of the model's; {nearest(extra[0], self.names)}"
            )
        return [there[name] for name in self.names]

    def see(self, stored: jax.Array) -> jax.Array:
        """Float32; UserError for another shape."""
        return as_float32(self, stored)

    def restore(self, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Columns by name, in the user's units: numbers float64, dates as texts, categories as their values."""
        return {column.name: column.show(v) for column, v in self._pairs(self.values(seen))}

    def values(self, seen: np.ndarray) -> list[np.ndarray]:
        """Of each column what `read` makes of `restore`: dates are numbers."""
        seen = np.asarray(seen, np.float64)
        parts = zip(self.columns, self.starts, strict=True)
        return [column.decode(seen[:, start : start + column.width]) for column, start in parts]

    def as_table(self, seen: np.ndarray) -> types.Table:
        """Rows as a table of numbers and categories."""
        kind = lambda c: (
            ("float" if c.numeric else "text", True) if isinstance(c, CATEGORIES) else ("float", False)
        )
        return types.Table(
            tuple(types.Column(c.name, *kind(c)) for c in self.columns), tuple(self.values(seen))
        )

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen row."""
        return example(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        columns = [{"type": column.type} | column._asdict() for column in self.columns]
        made = {"kind": self.name, "columns": [_lists(c) for c in columns], "missing": self.missing}
        return made | ({"strange": True} if self.strange else {})

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Table":
        """The inverse of `to_json`, less the name, and of the lists of columns, means and deviations of version 0.1.

        UserError where the lists differ in length.
        """
        if "mean" in fields:
            names, mean, std = (tuple(fields[name]) for name in ("columns", "mean", "std"))
            if not len(names) == len(mean) == len(std):
                raise ValueError(f"{len(names)} columns, {len(mean)} means and {len(std)} deviations")
            parts = zip(names, mean, std, strict=True)
            return cls(
                tuple(Number(str(n), float(m), float(s)) for n, m, s in parts), bool(fields["missing"])
            )
        columns = (dict(column) for column in fields["columns"])
        made = tuple(COLUMNS[c.pop("type")](**_tuples(c)) for c in columns)
        return cls(made, bool(fields["missing"]), bool(fields.get("strange", False)))


def fit(
    x: np.ndarray,
    columns: Sequence[types.Column] | Sequence[str] | None = None,
    *,
    standardise: bool = True,
    missing: bool = False,
    numbers: str = "standardised",
    categories: Sequence[str] = (),
    whole: np.ndarray | None = None,
    modes: int = MODES,
    embedded: int = 0,
) -> Table:
    """The kind of rows.

    Args:
        x: floating numbers `[N, D]`, where NaN is left out; or a structured array `[N]` of numbers and texts.
        columns: names, or for a structured array what each column is; None: "0", "1", ...
        standardise: keep the mean and the standard deviation of each number (of a constant one the mean alone).
        missing: NaN is allowed.
        numbers: "standardised", as `standardise` says, or by their "modes".
        categories: names of columns whose values are categories.
        whole: rows whose categories count beside those of x, in the form of x; None: x.
        modes: the most that a number is divided into, beside atoms and missing.
        embedded: categories of more values than this are stored by their places; 0: none.

    Raises:
        UserError: no such column to take for categories, or more than 1,000 of them in one (100,000 by their places).
    """
    names = tuple(str(getattr(c, "name", c)) for c in columns or range(x.shape[1]))
    for name in categories:
        if name not in names:
            raise UserError(f"config.data.categories: {name!r} is no column; {nearest(name, names)}")
    if x.dtype.names is None and not categories and numbers != "modes":
        return Table(_numbers(x, names, standardise), missing)
    at = (lambda rows, i: rows[names[i]]) if x.dtype.names else (lambda rows, i: rows[:, i])
    made = []
    for i, name in enumerate(names):
        column = columns[i] if x.dtype.names else types.Column(name, "float", False, (0, 18))
        column = column._replace(discrete=column.discrete or name in categories)
        values = at(x, i), at(x if whole is None else whole, i)
        if numbers == "modes" and not column.discrete:
            made.append(_modes(column, *values, modes))
        else:
            made.append(_column(column, *values, standardise, embedded))
    return Table(tuple(made), missing)


def _column(
    column: types.Column, values: np.ndarray, whole: np.ndarray, standardise: bool, embedded: int
) -> Column:
    if column.discrete:
        found = category(column.name, whole)
        indexed = embedded and found.width > embedded
        most = MOST_INDEXED if indexed else MOST_CATEGORIES
        if found.width > most:
            raise UserError(
                f"column {column.name!r} has {found.width} categories in {len(whole)} rows, above {most}; "
                f"remove it (config.data.leave_out) if it names the rows, or group its values"
            )
        return Index(*found) if indexed else found
    if column.kind == "date":
        return Date(column.name, *spread(as_moments(values, column.format)), column.format)
    return Number(column.name, *(spread(values) if standardise else (0.0, 1.0)))


def _modes(column: types.Column, values: np.ndarray, whole: np.ndarray, modes: int) -> Modes:
    if column.kind == "date":
        values, whole = (as_moments(v, column.format) for v in (values, whole))
    missing = bool(np.isnan(whole).any())
    return fit_modes(
        column.name, values, missing=missing, modes=modes, decimals=column.decimals, form=column.format
    )


def _numbers(x: np.ndarray, names: tuple[str, ...], standardise: bool) -> tuple[Number, ...]:
    if not standardise:
        return tuple(map(Number, names))
    seen = ~np.isnan(x)
    count = np.maximum(seen.sum(0), 1)
    mean = np.sum(x, 0, dtype=np.float64, where=seen) / count
    apart = x - mean
    largest = np.abs(apart).max(0, where=seen, initial=0.0)
    largest = np.where(largest > 0, largest, 1.0)  # the square of a small number may be 0
    std = largest * np.sqrt(np.sum(np.square(apart / largest), 0, dtype=np.float64, where=seen) / count)
    # The standard deviation of equal numbers may be round-off, not 0.
    varies = x.max(0, where=seen, initial=-np.inf) > x.min(0, where=seen, initial=np.inf)
    return tuple(map(Number, names, mean.tolist(), np.where(varies, std, 1.0).tolist()))


def _is_numeric(column: Column) -> bool:
    """Whether numbers are what a user has of it."""
    if isinstance(column, CATEGORIES):
        return column.numeric
    return not getattr(column, "format", "")


def _is_named(raw: Any) -> bool:
    return hasattr(raw, "keys") or bool(getattr(getattr(raw, "dtype", None), "names", None))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lists(v) for name, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(v) for name, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
