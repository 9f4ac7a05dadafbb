"""Scores the steps of time series: `unsupjax score RUN series.csv --out=scores.csv`, and rows as they come."""

import argparse
import csv
import io
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from unsupjax import arrays
from unsupjax.commands import output
from unsupjax.data.columns import NOT_OBSERVED
from unsupjax.data.sources.series import TIMES
from unsupjax.data.stream import open_series
from unsupjax.errors import UserError, nearest
from unsupjax.evaluate.calibration import training_scores
from unsupjax.model import Model
from unsupjax.series.thresholds import alarms, threshold

USUAL = "tail:0.0001"
_READ = 2**16  # bytes of standard input, at most, that are scored together
_MOST = float(np.finfo(np.float32).max)  # as files of series are read
_SAVE = 1.0  # seconds between two saves of a stream's state


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments that series and rows with a threshold have."""
    parser.add_argument(
        "--threshold",
        default="",
        help="of scores: a number, quantile:0.999 or tail:0.0001 of the training part's, per_day:1 (alarms), "
        f"per_thousand:5, contamination:0.01; of series default {USUAL}",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="of rows: the three most surprising cells, with what was expected",
    )
    parser.add_argument(
        "--drift", action="store_true", help="of rows: tell how far columns moved from training"
    )
    parser.add_argument(
        "--causal", action="store_true", help="of series: as each step was known when it came"
    )
    parser.add_argument(
        "--alarms", default="", help="of series: NAME.csv or .parquet of the alarmed intervals"
    )
    parser.add_argument(
        "--stream", action="store_true", help="rows of CSV from standard input, as a source of -"
    )
    parser.add_argument(
        "--state", default="", help="of a stream of a series: a file that it goes on from, and leaves"
    )


def run(options: argparse.Namespace, model: Model) -> None:
    """Scores the series of a source into a file, a row a step."""
    if options.keep:
        raise UserError("--keep is for tables; what stands beside a score of a series is its time")
    writer = output.check_columns(options.out, options.overwrite, "scores of series are columns")
    beside = output.check(options.alarms, options.overwrite) if options.alarms else None
    level = level_of(model, options.threshold or USUAL, options.causal)
    found = [
        (s.name, model.detect(s, options.causal))
        for s in open_series(options.source or model.source, model.options)
    ]
    count = 0
    with output.opened(options.out, writer) as file:
        for name, one in found:
            above = np.isfinite(one.scores) & (np.nan_to_num(one.scores) >= level)
            carried = ({"file": [name] * len(above)} if len(found) > 1 else {}) | {"time": one.time}
            file.write(carried, "", columns(one.scores, level, above, one.top))
            count += len(above)
    raised = [(name, one, alarm) for name, one in found for alarm in alarms(one.scores, level, one.parts)]
    if beside is not None:
        with output.opened(options.alarms, beside) as file:
            file.write(*_alarm_columns(raised, len(found) > 1))
    print(f"{options.out}: {count} steps, {len(raised)} alarms above {level:.4g}")


def of_rows(options: argparse.Namespace, model: Model) -> Callable:
    """`(raw rows) -> columns`: scores, and what was asked for beside."""
    level = level_of(model, options.threshold, False) if options.threshold else None

    def use(raw: Any) -> dict[str, Any] | np.ndarray:
        scores = model.score(raw)
        if level is None and not options.explain:
            return scores
        made = {"score": scores}
        if level is not None:
            made |= {"threshold": np.full(len(scores), level), "alarm": (scores >= level).astype(np.int32)}
        if options.explain:
            cells = model.explain(raw)
            for i in range(len(cells[0]) if cells else 0):
                made[f"why{i + 1}"] = np.array([_told(row[i]) for row in cells], str)
        return made

    return use


def _told(cell: Any) -> str:
    show = lambda value: f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
    return f"{cell.column}={show(cell.value)} (expected {show(cell.expected)}; {cell.surprise:.2f})"


def tell_drift(model: Model, raw: list) -> None:
    """Prints the columns that moved most, of all rows of a source as the model stores them."""
    from unsupjax.evaluate.drift import drift

    found = sorted(drift(model.kind, model.usual, np.concatenate(raw)).items(), key=lambda pair: -pair[1])
    print("drift of columns between training and these rows (population stability index; .25 is large):")
    for name, value in found[:20]:
        print(f"  {name}: {value:.3f}")


def columns(scores: np.ndarray, level: float, above: np.ndarray, top: list[str]) -> dict[str, Any]:
    """Of every step."""
    return {
        "score": scores,
        "threshold": np.full(len(scores), level),
        "alarm": above.astype(np.int32),
        "top_channel": np.array(top, str),
    }


def _alarm_columns(raised: list, several: bool) -> tuple[dict, str, dict]:
    carried: dict[str, list] = {"file": [name for name, *_ in raised]} if several else {}
    at = lambda which: [one.time[getattr(alarm, which)] for _, one, alarm in raised]
    carried |= {"start": at("first"), "end": at("last"), "peak": at("peak")}
    channels = [one.channels[alarm.channel] for _, one, alarm in raised]
    values = {
        "score": np.array([alarm.score for *_, alarm in raised]),
        "top_channel": np.array(channels, str),
    }
    return carried, "", values


def level_of(model: Model, rule: str, causal: bool) -> float:
    """The threshold that a rule makes of the model's training part."""
    usual = model.usual
    return threshold(rule, training_scores(usual, causal), float(usual.get("per_day", 0)))


def live(options: argparse.Namespace, model: Model) -> None:
    """Rows from standard input, each answered in a line as soon as it came; those that wait go through together."""
    stream = model.stream()
    path = pathlib.Path(options.state) if options.state else None
    if path is not None and path.exists():
        stream.restore(arrays.load(path)[0])
    elif path is not None:  # what cannot be written is told before there is anything to lose
        arrays.save(path, stream.arrays())
    if path is not None:  # a stream ends by being ended
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _answer(stream, model, level_of(model, options.threshold or USUAL, causal=True), path)
    finally:
        if path is not None:
            arrays.save(path, stream.arrays())


def _answer(stream: Any, model: Model, level: float, path: pathlib.Path | None) -> None:
    names, saved, number = None, time.monotonic(), 0
    out = sys.stdout
    for lines in _lines():
        rows = [row for row in csv.reader(lines) if row]
        if names is None and rows:
            names, places, at = _places(rows.pop(0), model)
            out.write("time,score,threshold,alarm,top_channel\n")
        if not rows:
            out.flush()
            continue
        values = _numbers(rows, names, places, number)
        number += len(rows)
        first = stream.rows
        scores, parts = stream(values)
        times = [row[at] for row in rows] if at is not None else map(str, range(first, first + len(rows)))
        out.write(_answers(times, scores, parts, level, model.kind.channels))
        out.flush()
        if path is not None and time.monotonic() - saved >= _SAVE:
            arrays.save(path, stream.arrays())
            saved = time.monotonic()
    if names is None:
        raise UserError("standard input is empty; its first line names the columns")


def _lines():
    """Blocks of whole lines as they come."""
    left, file = b"", sys.stdin.buffer
    read = getattr(file, "read1", file.read)
    while chunk := read(_READ):
        *whole, left = (left + chunk).split(b"\n")
        if whole:
            yield io.StringIO(_text(b"\n".join(whole) + b"\n"))
    if left:
        yield io.StringIO(_text(left))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"standard input is no UTF-8 text: {error}") from error


def _places(header: list[str], model: Model) -> tuple[list[str], list[int], int | None]:
    """The names of the columns, where the channels stand, and where the time does."""
    names = [name.strip() for name in header]
    for channel in model.kind.channels:
        if channel not in names:
            raise UserError(f"standard input: the channel {channel!r} is missing; {nearest(channel, names)}")
    low, wanted = [name.lower() for name in names], model.options["time_column"]
    usual = next((low.index(name) for name in TIMES if name in low), None)
    return (
        names,
        [names.index(c) for c in model.kind.channels],
        names.index(wanted) if wanted in names else usual,
    )


def _numbers(rows: list[list[str]], names: list[str], places: list[int], start: int) -> np.ndarray:
    """The channels of rows, `[n, C]`, NaN where one is missing."""
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise UserError(
                f"standard input: row {start + i} (from 0) has {len(row)} fields, and the first line {len(names)}"
            )
    try:
        values = np.array([[row[p] for p in places] for row in rows], np.float64)
    except ValueError:
        values = np.array(
            [[_number(row[p], names[p], start + i) for p in places] for i, row in enumerate(rows)]
        )
    if (beyond := np.abs(values) > _MOST).any():
        i, c = (int(a[0]) for a in beyond.nonzero())
        _number(rows[i][places[c]], names[places[c]], start + i)
    return values


def _number(text: str, name: str, row: int) -> float:
    if text.strip().lower() in NOT_OBSERVED:
        return np.nan
    try:
        value = float(text)
    except ValueError:
        value = np.inf
    if abs(value) > _MOST:
        raise UserError(
            f"standard input: row {row} (from 0), column {name!r} holds {text!r}, which is no finite number"
        )
    return value


def _answers(
    times: Any, scores: np.ndarray, parts: np.ndarray, level: float, channels: tuple[str, ...]
) -> str:
    top = np.nan_to_num(parts, nan=-1).argmax(axis=1).tolist()
    made = []
    for moment, score, c in zip(times, scores.tolist(), top, strict=True):
        if score == score:
            made.append(f"{moment},{score:.6g},{level:.6g},{int(score >= level)},{channels[c]}\n")
        else:
            made.append(f"{moment},,{level:.6g},0,\n")
    return "".join(made)
