"""`series:FILE`, `series:FOLDER`: time series of one or many channels, a file each; and `plant`, a simulated one."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from unsupjax.data import delimited
from unsupjax.data.files import is_remote, opened
from unsupjax.data.series import Series, times_of
from unsupjax.data.sources import columnar, frames
from unsupjax.data.sources.npz import load_array
from unsupjax.errors import UserError

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet", ".npy")
TIMES = ("timestamp", "time", "datetime", "date", "ds", "ts")  # usual names, in small letters
LABELS = ("label", "is_anomaly", "anomaly")


def read_series(
    source: str,
    path: str,
    *,
    time_column: str = "",
    label_column: str = "",
    leave_out: tuple[str, ...] = (),
    header: str = "auto",
    delimiter: str = "",
    timezone: str = "",
    intervals: str = "",
    lenient: bool = False,
) -> list[Series]:
    """The series of a file, or of every file of a folder, in the order of their names; arguments as of `open_source`.

    Raises:
        UserError: no such file, none in a folder, no channels, a time or a value that cannot be read, with its row and
            column, or files of different channels; an interval outside its series.
    """
    options = {"time_column": time_column, "label_column": label_column, "leave_out": tuple(leave_out)}
    options |= {"header": header, "delimiter": delimiter, "timezone": timezone, "lenient": lenient}
    made = [_read(source, name, options) for name in files_of(source, path)]
    for other in made[1:]:
        if other.channels != made[0].channels:
            raise UserError(
                f"{source}: {made[0].name} has the channels {', '.join(made[0].channels[:10])}, and {other.name} "
                f"{', '.join(other.channels[:10])}; leave out by config.data.leave_out what is none"
            )
    return _marked(source, made, intervals) if intervals else made


def files_of(source: str, path: str) -> list[str]:
    """The files that hold series."""
    if is_remote(path) or os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise UserError(f"{source}: there is no file or folder {path}")
    found = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.lower().endswith(SUFFIXES)]
    if not found:
        raise UserError(f"{source}: there are no files of series ({' '.join(SUFFIXES)}) in {path}")
    return found


def _read(source: str, path: str, options: dict[str, Any]) -> Series:
    name = os.path.basename(path)
    where = source if source.endswith(name) else f"{source}: {name}"
    if path.lower().endswith(".npy"):
        x = load_array(where, path)
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2 or x.dtype.kind not in "biuf" or not x.size:
            raise UserError(f"{where} is {x.dtype} of shape {x.shape}, where numbers [T] or [T, C] belong")
        values = _finite(where, x.astype(np.float64), tuple(map(str, range(x.shape[1]))))
        return Series(name, values, tuple(map(str, range(x.shape[1]))))
    if path.lower().endswith(".parquet"):
        table = columnar.joined(where, [path], "parquet")
        return of_columns(where, name, list(table.column_names), lambda i: _cells(table.column(i)), **options)
    how = {key: options.pop(key) for key in ("header", "delimiter")}
    found = delimited.read(where, path, **how, named=options["label_column"])
    options |= how
    return of_columns(where, name, list(found.names), lambda i: found.columns[i], **options)


def _cells(column: Any) -> Any:
    import pyarrow as pa

    kind = column.type
    return column.to_numpy() if pa.types.is_temporal(kind) else column.cast(pa.string()).fill_null("")


def of_columns(
    where: str,
    name: str,
    names: Sequence[str],
    column: Any,
    *,
    time_column: str = "",
    label_column: str = "",
    leave_out: tuple[str, ...] = (),
    timezone: str = "",
    lenient: bool = False,
    **_: Any,
) -> Series:
    """A series of columns: `column(i)` is an Arrow array of texts, or numpy's dates.

    Where it is `lenient`, columns of labels and those that are left out need not be there.
    """
    if not lenient:
        frames.check_left_out(where, names, leave_out)
    elif label_column not in names:
        label_column = ""
    time = frames.label_index(where, names, time_column, "time_column")
    label = frames.label_index(where, names, label_column)
    time = _usual(names, TIMES) if time is None else time
    label = _usual(names, LABELS) if label is None else label
    kept = [i for i, n in enumerate(names) if i not in (time, label) and n not in leave_out]
    if not kept:
        raise UserError(f"{where} has no channels beside its times and labels")
    values = np.stack([_numbers(where, names[i], column(i)) for i in kept], axis=1)
    labels = None if label is None else _flags(where, names[label], column(label))
    times = None
    if time is not None:
        raw = column(time)
        raw = raw if isinstance(raw, np.ndarray) else raw.to_pylist()
        times = times_of(f"{where}: column {names[time]!r}", raw, timezone)
    return Series(name, values, tuple(names[i] for i in kept), times, labels, timezone)


def _usual(names: Sequence[str], usual: Sequence[str]) -> int | None:
    low = [name.lower() for name in names]
    return next((low.index(name) for name in usual if name in low), None)


def _numbers(where: str, name: str, cells: Any) -> np.ndarray:
    values, bad = frames.as_numbers(cells, True)
    if bad is not None:
        raise UserError(
            f"{where}: row {bad} (from 0, without the header), column {name!r} holds {cells[bad].as_py()!r}, which is "
            f"no finite number; fix it, or set config.data.leave_out=({name!r},)"
        )
    return values


def _finite(where: str, values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    bad = np.isinf(values)
    if bad.any():
        row, c = (int(a[0]) for a in bad.nonzero())
        raise UserError(
            f"{where}: row {row} (from 0), column {names[c]!r} holds {values[row, c]}, no finite number"
        )
    return values


def _flags(where: str, name: str, cells: Any) -> np.ndarray:
    values = _numbers(where, name, cells)
    if np.isnan(values).any():
        raise UserError(
            f"{where}: row {int(np.isnan(values).argmax())} (from 0) has no label in column {name!r}"
        )
    return values > 0


def _marked(source: str, made: list[Series], path: str) -> list[Series]:
    """The series with the labels of a file of intervals, as the Numenta benchmark writes them."""
    try:
        with opened(os.path.expanduser(path)) as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"config.data.intervals={path!r} is no readable JSON file ({error})") from error
    found = {made[0].name: found} if isinstance(found, list) else found
    by_name = {os.path.basename(str(key)): pairs for key, pairs in found.items()}
    if not any(series.name in by_name for series in made):
        raise UserError(f"config.data.intervals={path!r} names none of {', '.join(s.name for s in made[:5])}")
    return [_with_intervals(source, s, by_name.get(s.name, [])) for s in made]


def _with_intervals(source: str, series: Series, pairs: list) -> Series:
    labels = np.zeros(len(series.values), bool)
    for pair in pairs:
        try:
            first, last = pair
        except (TypeError, ValueError):
            raise UserError(f"{source}: the interval {pair!r} of {series.name} is no [start, end]") from None
        if series.time is None:
            time, ends = np.arange(len(labels)), np.array([first, last])
        else:
            time, ends = series.time, times_of(f"intervals of {series.name}", [first, last], series.zone)
            if ends.dtype != time.dtype:
                raise UserError(
                    f"{source}: the interval {pair!r} and the times of {series.name} are of two kinds"
                )
        inside = (time >= ends[0]) & (time <= ends[1])
        if not inside.any():
            raise UserError(
                f"{source}: the interval {pair!r} holds no row of {series.name}, which reaches from "
                f"{series.written()[0]} to {series.written()[-1]}"
            )
        labels |= inside
    return series._replace(labels=labels)
