"""The last step of sampling: each continuous column gets the quantiles that it has in the table."""

from typing import NamedTuple

import numpy as np

from unsupjax.tables.schema import Table, written
from unsupjax.tables.transform import Transform, same, snap

_QUANTILES = 1001
_FEWEST = 10  # numbers, to tell quantiles from


class Calibration(NamedTuple):
    """Of J columns, by their index `[J]` in the table, quantiles `[J, Q]` of generated and of real numbers."""

    column: np.ndarray
    generated: np.ndarray
    real: np.ndarray


NONE = Calibration(np.zeros(0, np.int64), *np.zeros((2, 0, _QUANTILES)))


def fit(transform: Transform, generated: Table, real: Table) -> Calibration:
    """Quantiles of the numbers that are neither missing nor atoms."""
    columns, pairs = [], []
    for part in transform.continuous:
        both = [t.values[part.column] for t in (generated, real)]
        both = [v[~single(part, v)] for v in both]
        if min(map(len, both)) >= _FEWEST:
            columns.append(part.column)
            pairs.append([np.quantile(v, np.linspace(0, 1, _QUANTILES)) for v in both])
    pairs = np.array(pairs).reshape(-1, 2, _QUANTILES)
    return Calibration(np.array(columns, np.int64), pairs[:, 0], pairs[:, 1])


def apply(calibration: Calibration, transform: Transform, table: Table) -> Table:
    """The table with every number moved to the same quantile of the real ones; the order of numbers stays."""
    values, parts = list(table.values), {p.column: p for p in transform.continuous}
    for i, generated, real in zip(*calibration, strict=True):
        level, first = np.unique(generated, return_index=True)
        moved = snap(parts[i], np.interp(values[i], level, real[first]))
        values[i] = np.where(single(parts[i], values[i]), values[i], written(transform.columns[i], moved))
    return Table(table.columns, tuple(values))


def single(part, values: np.ndarray) -> np.ndarray:
    """Which numbers `[N]` are atoms or missing."""
    return same(values[:, None], part.mean[part.scale == 0]).any(axis=1)
