"""Topics over time: which share of each period's documents has which."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unsupjax.data.series import times_of
from unsupjax.errors import UserError

_MOST = 24  # periods
_PERIODS = ("h", "D", "W", "M", "Q", "Y")  # of pandas


class Times(NamedTuple):
    """The periods of documents.

    Attributes:
        names: of P periods, in their order, those without a document too.
        period: of each document, int `[N]`.
    """

    names: tuple[str, ...]
    period: np.ndarray

    def shares(self, topics: np.ndarray, n: int) -> np.ndarray:
        """The share of each period's documents that has each of n topics, float `[P, n]`; NaN of an empty period."""
        counts = np.zeros((len(self.names), n))
        has = topics >= 0
        np.add.at(counts, (self.period[has], topics[has]), 1)
        total = np.bincount(self.period, minlength=len(self.names)).astype(float)
        return counts / np.where(total > 0, total, np.nan)[:, None]


def periods(where: str, raw: Sequence[str]) -> Times:
    """Hours, days, weeks, months, quarters or years: the shortest of which there are at most 24. Numbers as they are.

    Args:
        where: names the column in errors.
        raw: the time of each document, as `times_of` reads them; of numbers of more than 24 values, as many equal parts
            of their range.

    Raises:
        UserError: a time that cannot be read, with its row.
    """
    import pandas as pd

    blank = next((i for i, text in enumerate(raw) if not text.strip()), None)
    if blank is not None:
        raise UserError(f"{where}: row {blank} (from 0) has no time")
    time = times_of(where, np.array(raw, object))
    if time.dtype.kind != "M":
        known, period = np.unique(time, return_inverse=True)
        if len(known) > _MOST:
            edges = np.linspace(known[0], known[-1], _MOST + 1)
            known, period = edges[:-1], np.clip(np.digitize(time, edges) - 1, 0, _MOST - 1)
        return Times(tuple(f"{t:.6g}" for t in known), period)
    index = pd.DatetimeIndex(time)
    for form in _PERIODS:
        found = index.to_period(form)
        every = pd.period_range(found.min(), found.max(), freq=form)
        if len(every) <= _MOST:
            break
    return Times(tuple(map(str, every)), every.get_indexer(found))
