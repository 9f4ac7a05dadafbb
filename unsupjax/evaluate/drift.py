"""How far columns of new rows have moved from those of training."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_BINS = 10
_FLOOR = 1e-4  # of a bin's share


def shares(kind: Any, stored: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of a table's training rows `[N, W]`: of each column the edges of its bins and their shares.

    A number has ten bins of equal shares and one for missing, a category one for each value and one for any other; one
    that is stored by places ten of about equal shares, of values beside each other, and one for any other.
    """
    made = {}
    for i, (column, values) in enumerate(_columns(kind, stored)):
        edges = np.zeros(0)
        if column.type != "category":
            known = values[~np.isnan(values)]
            edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else edges
        made |= {f"edges{i}": edges, f"shares{i}": _counted(column, values, edges)}
    return made


def drift(kind: Any, usual: Mapping[str, np.ndarray], stored: np.ndarray) -> dict[str, float]:
    r"""The population stability index of each column, :math:`\sum_b (q_b - p_b) \ln (q_b / p_b)`.

    p are the shares of training rows in the bins b, and q those of new rows; .1 is commonly called small and .25 large.

    Args:
        kind: of a table.
        usual: holds what `shares` made.
        stored: new rows `[N, W]`.
    """
    found = {}
    for i, (column, values) in enumerate(_columns(kind, stored)):
        p, q = usual[f"shares{i}"], _counted(column, values, usual[f"edges{i}"])
        p, q = np.maximum(p, _FLOOR), np.maximum(q, _FLOOR)
        found[column.name] = float(np.sum((q - p) * np.log(q / p)))
    return found


def _columns(kind: Any, stored: np.ndarray):
    """Columns with their stored numbers, or the places of their categories (the last: none of them)."""
    for column, start in zip(kind.columns, kind.starts, strict=True):
        part = stored[:, start : start + column.width].astype(np.float64)
        if column.type == "category":
            yield column, np.where(part.sum(axis=1) > 0, part.argmax(axis=1), column.width).astype(np.float64)
        elif column.type == "index":
            yield column, np.where(part[:, 0] < 0, np.nan, part[:, 0])
        else:
            yield column, part[:, 0] if column.type != "modes" else column.decode(part)


def _counted(column: Any, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    if column.type == "category":
        counts = np.bincount(values.astype(np.int64), minlength=column.width + 1)
    else:
        gone = np.isnan(values)
        counts = np.bincount(np.searchsorted(edges, values[~gone]), minlength=len(edges) + 1)
        counts = np.r_[counts, gone.sum()]
    return counts / max(len(values), 1)
