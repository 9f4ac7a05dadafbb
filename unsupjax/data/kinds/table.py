"""Rows of a table of numbers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from unsupjax.data.kinds.seen import as_float32, example
from unsupjax.errors import UserError, nearest


class Table(NamedTuple):
    """Rows of named columns of numbers: stored and seen as float32 `[N, D]`, `(raw - mean) / std`.

    Attributes:
        columns: their names, in order.
        mean, std: of each column, in the user's units; 0 and 1 where nothing is standardised.
        missing: NaN is allowed, an entry that was not observed.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: bool = False
    name = "table"

    @classmethod
    def of_statistics(cls, mean: list[float], std: list[float], missing: bool = False) -> "Table":
        """The kind of columns without names."""
        return cls(tuple(map(str, range(len(mean)))), tuple(mean), tuple(std), missing)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (len(self.columns),)

    @property
    def named(self) -> bool:
        """Whether the columns have names, and not only numbers."""
        return not all(name.isdigit() for name in self.columns)

    def prepare(self, raw: Any) -> np.ndarray:
        """Rows as they are stored.

        Args:
            raw: an array `[N, D]`, or columns by their names (a mapping or a DataFrame) in any order.

        Raises:
            UserError: another number of columns, one that is absent or unknown, or an entry that is no finite
                number, with its row and column.
        """
        x = self._matched(raw) if hasattr(raw, "keys") else np.asarray(raw)
        if x.ndim != 2 or x.shape[1:] != self.shape or x.dtype.kind not in "biuf":
            raise UserError(
                f"rows are {x.dtype} of shape {x.shape[1:]}, where {self.shape[0]} numbers belong"
            )
        x = x.astype(np.float64, copy=False)
        bad = ~np.isfinite(x) & ~(self.missing & np.isnan(x))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise UserError(f"row {row} (from 0), column {self.columns[column]!r} holds {x[row, column]}")
        return ((x - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def _matched(self, raw: Any) -> np.ndarray:
        there = [str(name) for name in raw.keys()]  # noqa: SIM118  a DataFrame iterates over its names as well
        for name in self.columns:
            if name not in there:
                raise UserError(f"the column {name!r} is missing; {nearest(name, there)}")
        if extra := [name for name in there if name not in self.columns]:
            raise UserError(
                f"the column {extra[0]!r} is none of the model's; {nearest(extra[0], self.columns)}"
            )
        by_name = dict(zip(there, raw.keys(), strict=True))
        try:
            return np.stack([np.asarray(raw[by_name[name]], np.float64) for name in self.columns], axis=1)
        except ValueError as error:
            raise UserError(
                f"a column holds what is no number, or they differ in length ({error})"
            ) from error

    def see(self, stored: jax.Array) -> jax.Array:
        """Float32; UserError for another shape."""
        return as_float32(self, stored)

    def restore(self, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Float64 columns by name, in the user's units."""
        raw = np.asarray(seen, np.float64) * np.array(self.std) + np.array(self.mean)
        return dict(zip(self.columns, raw.T, strict=True))

    def example(self) -> jax.ShapeDtypeStruct:
        """Of one seen row."""
        return example(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        lists = {name: list(getattr(self, name)) for name in ("columns", "mean", "std")}
        return {"kind": self.name, **lists, "missing": self.missing}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Table":
        """The inverse of `to_json`, less the name; UserError where the lists differ in length."""
        columns = tuple(str(name) for name in fields["columns"])
        mean, std = (tuple(float(v) for v in fields[name]) for name in ("mean", "std"))
        if not len(columns) == len(mean) == len(std):
            raise ValueError(f"{len(columns)} columns, {len(mean)} means and {len(std)} deviations")
        return cls(columns, mean, std, bool(fields["missing"]))


def fit(
    x: np.ndarray, columns: tuple[str, ...] | None = None, *, standardise: bool = True, missing: bool = False
) -> Table:
    """The kind of rows `[N, D]`.

    Args:
        x: floating numbers; NaN is left out.
        columns: names; None: "0", "1", ...
        standardise: keep the mean and the standard deviation of each column (of a constant one the mean alone).
        missing: NaN is allowed.
    """
    columns = columns or tuple(str(i) for i in range(x.shape[1]))
    if not standardise:
        return Table(columns, (0.0,) * x.shape[1], (1.0,) * x.shape[1], missing)
    seen = ~np.isnan(x)
    count = np.maximum(seen.sum(0), 1)
    mean = np.sum(x, 0, dtype=np.float64, where=seen) / count
    std = np.sqrt(np.sum(np.square(x - mean), 0, dtype=np.float64, where=seen) / count)
    # The standard deviation of equal numbers may be round-off, not 0.
    varies = x.max(0, where=seen, initial=-np.inf) > x.min(0, where=seen, initial=np.inf)
    return Table(columns, tuple(mean.tolist()), tuple(np.where(varies, std, 1.0).tolist()), missing)
