"""Series as windows: the part of time that is trained on, and all of it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data.kinds.windows import Windows, fit_windows, regular
from unsupjax.data.members import TEST, TRAIN, Members, hashed_rows
from unsupjax.data.series import Series, step_of, times_of
from unsupjax.data.sources.plant import TRAINED, open_plant
from unsupjax.data.sources.series import read_series
from unsupjax.data.windows import Timeline, WindowSplit, split_of, starts
from unsupjax.errors import UserError
from unsupjax.series.period import period

CLASSES = ("normal", "anomalous")
_PERIODS = 2  # of a window whose length nobody names
_SHORT, _LONG = 64, 512


class Windowed(NamedTuple):
    """Series and how they are to be cut, arguments as of `open_source`."""

    series: list[Series]
    window: int
    stride: int
    resample: str
    gap: int
    train_end: str
    timezone: str


def open_series(
    source: str,
    path: str,
    *,
    window: int,
    stride: int,
    resample: str,
    gap: int,
    train_end: str,
    timezone: str,
    intervals: str,
    time_column: str,
    label_column: str,
    leave_out: tuple[str, ...],
    header: str,
    delimiter: str,
) -> Windowed:
    """Time series, a file each; every column but those of times and labels is a channel."""
    how = {"time_column": time_column, "label_column": label_column, "leave_out": leave_out}
    how |= {"header": header, "delimiter": delimiter, "timezone": timezone, "intervals": intervals}
    found = read_series(source, path, **how)
    return Windowed(found, window, stride, resample, gap, train_end, timezone)


def open_simulated(source: str, path: str, *, window: int, stride: int) -> Windowed:
    """The simulated plant, in windows of 64 steps where nothing else is said."""
    return Windowed([open_plant()], window or _SHORT, stride, "", 0, str(TRAINED), "")


READERS: dict[str, Callable[..., list[Series]]] = {  # of series as they are, for a model that is trained
    "plant": lambda source, path, **how: [open_plant()],
    "series": functools.partial(read_series, lenient=True),
}


def cut(
    source: str, found: Windowed, kind: Windows | None, standardise: bool
) -> tuple[Windows, WindowSplit, WindowSplit]:
    """The kind, the windows of the training parts and those of everything, at every step.

    Raises:
        UserError: a setting out of its range, a series that is shorter than a window, or without a window that has no
            missing step.
    """
    if found.window < 0 or found.stride < 1 or found.gap < 0:
        raise UserError(
            f"config.data.window={found.window} and config.data.gap={found.gap} must be at least 0, and "
            f"config.data.stride={found.stride} at least 1"
        )
    if kind is None:
        step = _step(source, found)
        made = [regular(s, step, found.gap) for s in found.series]
    else:
        step, made = kind.step, [kind.regular(s) for s in found.series]
    trained = [_trained(source, s, found.train_end) for s in made]
    if kind is None:
        first = np.concatenate([s.values[:n] for s, n in zip(made, trained, strict=True)])
        length = found.window or automatic(made[0].values[: trained[0]])
        how = {"standardise": standardise, "step": step, "gap": found.gap, "zone": found.timezone}
        kind = fit_windows(first, made[0].channels, length, **how)
    for s, n in zip(made, trained, strict=True):
        if n < kind.length:
            raise UserError(
                f"{source}: {s.name} has {n} steps to train on, fewer than the {kind.length} of a window; choose a "
                "smaller config.data.window or a later config.data.train_end"
            )
    timeline = _timeline(made, trained)
    values = np.nan_to_num(kind.scaled(np.concatenate([s.values for s in made])))
    splits = []
    for train in (True, False):
        begins = starts(timeline, kind.length, found.stride if train else 1, train=train)
        if not len(begins):
            raise UserError(
                f"{source}: no window of {kind.length} steps is without a missing one; choose a smaller "
                "config.data.window, or a larger config.data.gap that is interpolated"
            )
        splits.append(split_of(values, begins, kind.length, timeline))
    return kind, *splits


def automatic(values: np.ndarray) -> int:
    """The length of windows of a series `[T, C]`: two periods of the first channel that has one, from 64 to 512 steps.

    At most a third of the series.
    """
    spans = [period(channel, usual=0) for channel in values.T]
    spans = [p for p in spans if p]
    found = _PERIODS * spans[0] if spans else 0
    return int(min(max(found, _SHORT), _LONG, max(len(values) // 3, 2)))


def members_of(windowed: WindowSplit) -> Members:
    """Each step of the series, and whether it is trained on."""
    timeline = windowed.timeline
    place = np.arange(len(windowed.series), dtype=np.float64)[:, None]  # equal steps are not the same one
    keys = hashed_rows(np.concatenate([windowed.series.astype(np.float64), place], axis=1))
    parts = np.where(timeline.training(), TRAIN, TEST).astype(np.uint8)
    return Members(keys, parts, np.zeros(0, np.uint64))


def check_members(source: str, known: Members, found: Members, changed: str) -> None:
    """Refuses series that are not what a run began with, but where they may have changed."""
    if changed == "refuse" and not (
        len(known.keys) == len(found.keys)
        and (known.keys == found.keys).all()
        and (known.parts == found.parts).all()
    ):
        raise UserError(
            f"{source} is not what the run began with: {len(known.keys)} steps then, {len(found.keys)} now. Put the "
            "old data back, choose another --workdir, or set config.data.changed='keep'"
        )


def _step(source: str, found: Windowed) -> float:
    """Of the grid; 0: rows are steps."""
    if not found.resample:
        return 0.0
    if any(s.time is None for s in found.series):
        raise UserError(
            f"config.data.resample={found.resample!r} needs times, and {source} has no column of them; "
            "name config.data.time_column"
        )
    if found.resample == "auto":
        return step_of(np.unique(found.series[0].time))
    import pandas as pd

    try:
        step = (
            pd.Timedelta(found.resample).total_seconds()
            if not _is_number(found.resample)
            else float(found.resample)
        )
    except ValueError as error:
        raise UserError(
            f"config.data.resample={found.resample!r} must be 'auto', a time such as '5min', or a number of seconds"
        ) from error
    if not step > 0:
        raise UserError(f"config.data.resample={found.resample!r} must be above 0")
    return step


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _trained(source: str, series: Series, end: str) -> int:
    """How many steps of a series are before the end of its training part."""
    n = len(series.values)
    if _is_number(end):
        number = float(end)
        if "." in end and 0 < number <= 1:
            return round(number * n)
        if number >= 1 and number == int(number):
            return min(int(number), n)
    elif series.time is not None and series.time.dtype.kind == "M":
        moment = times_of("config.data.train_end", [end], series.zone)[0]
        return int((series.time < moment).sum())
    raise UserError(
        f"config.data.train_end={end!r} must be a fraction such as 0.3, a number of steps such as 2500"
        + (", or a date" if series.time is not None else "")
    )


def _timeline(made: list[Series], trained: list[int]) -> Timeline:
    together = lambda parts: None if any(p is None for p in parts) else np.concatenate(parts)
    labels = [s.labels for s in made]
    if any(y is not None for y in labels):  # of a series without, nothing is said
        labels = [np.zeros(len(s.values), bool) if s.labels is None else s.labels for s in made]
    return Timeline(
        tuple(s.name for s in made),
        np.cumsum([len(s.values) for s in made]),
        np.array(trained),
        together([s.time for s in made]),
        together(labels),
        ~np.isnan(np.concatenate([s.values for s in made])).any(axis=1),
    )


def refuse(source: str, given: dict[str, Any], usual: dict[str, Any]) -> None:
    """Refuses settings that say nothing of series."""
    for name, value in given.items():
        if value != usual[name]:
            mend = "config.data.train_end says what is trained on" if name != "missing" else "leave it out"
            raise UserError(
                f"config.data.{name}={value!r} says nothing of {source!r}, which is series; {mend}"
            )
