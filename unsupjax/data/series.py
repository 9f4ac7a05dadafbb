"""Time series: values of channels at equal steps of time, and how rows with times become them."""

import logging
from typing import Any, NamedTuple

import numpy as np

from unsupjax.errors import UserError

REGULAR = 0.01  # of a step, by which times may differ from a grid
_SECONDS = 1e8  # numbers from here on are seconds since 1970, from 1e11 milli-, 1e14 micro-, 1e17 nanoseconds

logger = logging.getLogger(__name__)


class Series(NamedTuple):
    """One series.

    Attributes:
        name: of the file.
        values: float64 `[T, C]`, NaN where one is missing.
        channels: the names of the columns.
        time: of each step, datetime64[ns] in UTC or float64, ascending `[T]`; None: steps are counted.
        labels: whether each step is anomalous, bool `[T]`; None: not known.
        zone: in which times are written; "": as they came, without one.
    """

    name: str
    values: np.ndarray
    channels: tuple[str, ...]
    time: np.ndarray | None = None
    labels: np.ndarray | None = None
    zone: str = ""

    def written(self) -> list[str]:
        """The time of each step as a text."""
        return written(self.time, len(self.values), self.zone)


def written(time: np.ndarray | None, n: int, zone: str) -> list[str]:
    """Times of `Series` as texts `[n]`: ISO 8601, with the offset from UTC where there is a zone."""
    import pandas as pd

    if time is None:
        return [str(i) for i in range(n)]
    if time.dtype.kind != "M":
        return [f"{t:.15g}" for t in time.tolist()]
    index = pd.DatetimeIndex(time)
    return [t.isoformat() for t in (index.tz_localize("UTC").tz_convert(zone) if zone else index)]


def times_of(where: str, raw: Any, zone: str = "") -> np.ndarray:
    """Times `[N]` as `Series` has them, in the order in which they came.

    Numbers below 1e8 stay numbers; others are seconds since 1970, or milli-, micro- or nanoseconds, by their size.
    Texts are dates in any format that pandas tells without doubt (2024-12-31 means December; 31.12.2024 and 12/31/2024
    as they can be read). Those with an offset from UTC are converted. Those without are times of `zone`: of an hour
    that comes twice, when clocks are set back, rows in order are of the first, then of the second time; one that does
    not exist is the next that does.

    Args:
        where: names the column in errors.
        raw: numbers, texts or numpy's dates.
        zone: such as "Europe/Berlin"; "": times without an offset are taken as they are.

    Raises:
        UserError: a time that cannot be read, with its row; a zone that is not known.
    """
    import pandas as pd

    values = pd.Series(raw)
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        numbers = pd.to_numeric(values, errors="coerce")
        values = numbers if numbers.notna().all() else values
    if pd.api.types.is_numeric_dtype(values):
        return _of_numbers(where, values.to_numpy(np.float64))
    index = _of_dates(where, values)
    if index.tz is not None:
        return _nanoseconds(index.tz_convert("UTC").tz_localize(None))
    if zone:
        index = _localised(where, index, zone).tz_convert("UTC").tz_localize(None)
    return _nanoseconds(index)


def _nanoseconds(index: Any) -> np.ndarray:
    return index.to_numpy().astype("datetime64[ns]")


def _of_numbers(where: str, numbers: np.ndarray) -> np.ndarray:
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise UserError(f"{where}: row {row} (from 0) has no time; remove it, or fill it in")
    largest = np.abs(numbers).max(initial=0)
    if largest < _SECONDS:
        return numbers
    power = min(3 * int(max(np.log10(largest / _SECONDS), 0) // 3), 9)
    whole = np.floor(numbers)  # float64 has no room for the nanoseconds of today
    return (
        (whole * 10.0 ** (9 - power) + (numbers - whole) * 10 ** (9 - power)).astype(np.int64).view("M8[ns]")
    )


def _of_dates(where: str, texts: Any) -> Any:
    import pandas as pd

    for options in ({"format": "ISO8601"}, {"format": "mixed"}, {"format": "mixed", "dayfirst": True}):
        try:
            offsets = texts.astype(str).str.contains(r"[+-]\d\d:?\d\d$|Z$", regex=True)
            return pd.DatetimeIndex(pd.to_datetime(texts, utc=bool(offsets.any()), **options))
        except (ValueError, TypeError, OverflowError):
            continue
    good = pd.to_datetime(texts, format="mixed", errors="coerce", utc=True).notna().to_numpy()
    row = int(np.argmin(good))
    raise UserError(
        f"{where}: row {row} (from 0) holds {str(texts.iloc[row])!r}, which is no time; write times as "
        "2024-12-31 23:59:59, or as numbers"
    )


def _localised(where: str, index: Any, zone: str) -> Any:
    try:
        return index.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
    except (KeyError, ValueError) as error:
        if "ambiguous" not in str(error).lower() and "repeated" not in str(error).lower():
            raise UserError(f"{where}: config.data.timezone={zone!r}: {error}") from error
    return index.tz_localize(zone, ambiguous=np.ones(len(index), bool), nonexistent="shift_forward")


def ordered(series: Series) -> Series:
    """Steps in the order of time: rows that came out of order are sorted, of one time the mean counts; both are said.

    A step is anomalous where any of its rows is.
    """
    time = series.time
    if time is None or (np.diff(time) > np.diff(time[:1], prepend=time[:1])[0] * 0).all():
        return series
    back = int((np.diff(time) < np.zeros(1, np.diff(time).dtype)[0]).sum())
    if back:
        logger.warning("%s: times go backwards at %d rows: rows are sorted by time", series.name, back)
    distinct, index = np.unique(time, return_inverse=True)
    if twice := len(time) - len(distinct):
        logger.warning("%s: %d rows repeat a time: the mean of such rows counts", series.name, twice)
    known = np.isfinite(series.values)
    total, count = (np.zeros((len(distinct), series.values.shape[1])) for _ in range(2))
    np.add.at(total, index, np.where(known, series.values, 0))
    np.add.at(count, index, known)
    values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    labels = None if series.labels is None else np.bincount(index, series.labels) > 0
    return series._replace(values=values, time=distinct, labels=labels)


def step_of(time: np.ndarray | None) -> float:
    """The median step of ascending times, in seconds or as they are counted; 1 where they are not told."""
    if time is None or len(time) < 2:
        return 1.0
    steps = np.diff(time)
    return float(np.median(steps / np.timedelta64(1, "s") if steps.dtype.kind == "m" else steps))


def irregular(time: np.ndarray | None) -> float:
    """The part of ascending times whose step is not the median one."""
    if time is None or len(time) < 3:
        return 0.0
    steps = np.diff(time)
    steps = steps / np.timedelta64(1, "s") if steps.dtype.kind == "m" else steps
    median = np.median(steps)
    return float((np.abs(steps - median) > REGULAR * median).mean())


def resampled(series: Series, step: float) -> Series:
    """A series on the grid of multiples of `step` (seconds, or as times are counted).

    A grid step has the mean of the rows from it up to the next; one without rows is missing.
    """
    time = series.time
    dates = time.dtype.kind == "M"
    numbers = time.astype(np.int64) / 1e9 if dates else time
    cell = np.floor(numbers / step + 1e-9).astype(np.int64)
    place, n = cell - cell[0], int(cell[-1] - cell[0]) + 1
    known = np.isfinite(series.values)
    total, count = (np.zeros((n, series.values.shape[1])) for _ in range(2))
    np.add.at(total, place, np.where(known, series.values, 0))
    np.add.at(count, place, known)
    values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    grid = (cell[0] + np.arange(n)) * step
    grid = np.round(grid * 1e9).astype(np.int64).view("M8[ns]") if dates else grid
    labels = None if series.labels is None else np.bincount(place, series.labels, n) > 0
    return series._replace(values=values, time=grid, labels=labels)


def filled(values: np.ndarray, gap: int, causal: bool = False) -> np.ndarray:
    """Values `[T, C]` with what is missing in at most `gap` steps behind each other interpolated, of each channel.

    At the beginning and the end, where nothing lies on the other side, the nearest value stands. With `causal` the last
    value stands for the first `gap` missing ones, and nothing for what is missing before any.
    """
    if np.isfinite(values).all() or not gap:
        return values
    made, at = values.copy(), np.arange(len(values))
    for channel in made.T:
        gone = np.isnan(channel)
        if gone.all() or not gone.any():
            continue
        edges = np.flatnonzero(np.diff(np.r_[False, gone, False].astype(np.int8))).reshape(-1, 2)
        whole = np.interp(at, at[~gone], channel[~gone])
        for first, end in edges:
            if causal and first:
                channel[first : min(end, first + gap)] = channel[first - 1]
            elif not causal and end - first <= gap:
                channel[first:end] = whole[first:end]
    return made
