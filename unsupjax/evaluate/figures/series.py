"""Figures of time series: scores with alarms, what each channel contributes, and the worst windows."""

from pathlib import Path
from typing import Any

import numpy as np

from unsupjax.data.windows import Timeline
from unsupjax.evaluate import require
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.series.steps import Judged, judged
from unsupjax.evaluate.subject import Subject
from unsupjax.series.intervals import runs
from unsupjax.series.thresholds import alarms, threshold

_POINTS = 4_000  # of a line that is drawn
_SHOWN = 8  # channels at most
_TRUE, _ALARM = style.PALETTE[1], style.PALETTE[2]


def detections(subject: Subject, path: str | Path, *, rule: str = "tail:0.0001", series: int = 0) -> None:
    """Draw a series with its scores, the threshold, true and alarmed intervals.

    Args:
        subject: what is shown; its data are series.
        path: the PNG to write.
        rule: of the threshold, as `unsupjax.series.thresholds.threshold` takes it.
        series: which one, from 0.

    Raises:
        UserError: no series, or no such one.
    """
    found, one, span = _of(subject, "detections", series)
    scores, values = found.scores[span], found.split.series[span]
    level = threshold(rule, found.scores[found.split.timeline.training()])
    channels = _names(subject)[:_SHOWN]
    figure = style.new_figure(11, 1.1 * len(channels) + 2.6)
    axes = figure.subplots(len(channels) + 1, 1, sharex=True, height_ratios=[1] * len(channels) + [1.6])
    x, ticks = np.arange(len(scores)), _ticks(one)
    for c, (name, ax) in enumerate(zip(channels, axes[:-1], strict=True)):
        _line(ax, x, values[:, c], style.PALETTE[0])
        style.polish(ax, ylabel=name)
        _shade(ax, one)
    _line(axes[-1], x, scores, "0.25", greatest=True)
    axes[-1].axhline(level, color=_ALARM, linewidth=1, linestyle="--", label=f"threshold ({rule})")
    for i, alarm in enumerate(alarms(scores, level, found.steps.parts[span])):
        axes[-1].axvspan(
            alarm.first, alarm.last + 1, color=_ALARM, alpha=0.25, label="alarm" if not i else None
        )
    _shade(axes[-1], one, label=True)
    if scores.max() > 20 * max(level, 1e-12):
        axes[-1].set_yscale("symlog", linthresh=max(level, 1e-3))
        axes[-1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[-1].set_ylim(bottom=min(scores.min(), 0))
    style.polish(axes[-1], ylabel="score")
    axes[-1].set_xticks(*ticks)
    axes[-1].legend(frameon=False, fontsize=8, loc="upper left", ncols=4)
    axes[0].set_title(one.names[0], fontsize=11)
    style.save(figure, path)


def contributions(subject: Subject, path: str | Path, *, series: int = 0) -> None:
    """Draw what each channel of a series contributes to the score of each step, over its usual contribution.

    Args:
        subject: what is shown; its data are series.
        path: the PNG to write.
        series: which one, from 0.

    Raises:
        UserError: no series, or no such one.
    """
    found, one, span = _of(subject, "contributions", series)
    parts = np.nan_to_num(found.steps.parts[span] / found.level)
    width = -(-len(parts) // 1_500)
    rows = np.pad(parts, ((0, -len(parts) % width), (0, 0)), mode="edge")
    rows = rows.reshape(-1, width, parts.shape[1]).max(axis=1)
    names = _names(subject)
    figure = style.new_figure(11, min(1.6 + 0.3 * len(names), 9))
    ax, bar = figure.subplots(2, 1, height_ratios=[12, 1], sharex=True)
    extent = (0, len(parts), len(names) - 0.5, -0.5)
    shown = np.log10(np.maximum(rows.T, 0.1))
    look = {"cmap": "magma", "interpolation": "nearest", "vmin": -0.5, "vmax": max(shown.max(), 1)}
    image = ax.imshow(shown, aspect="auto", extent=extent, **look)
    if len(names) <= 40:
        ax.set_yticks(range(len(names)), names, fontsize=8)
    colours = figure.colorbar(image, ax=[ax, bar], pad=0.01)
    colours.set_label("log10", fontsize=8)  # one channel has no room for more
    bar.set_yticks([])
    bar.set_ylim(0, 1)
    _shade(bar, one, label=True)
    bar.set_xlabel("true anomalies" if one.labels is not None else "", fontsize=8)
    bar.set_xticks(*_ticks(one))
    ax.set_title(
        f"{one.names[0]}: log10 of what channels contribute to scores, over their means in training",
        fontsize=11,
    )
    style.save(figure, path)


def worst_windows(subject: Subject, path: str | Path, *, windows: int = 6) -> None:
    """Draw the windows with the greatest scores, none of which overlap, and what is left of each after its code.

    Args:
        subject: what is shown; its data are series, and its method reconstructs.
        path: the PNG to write.
        windows: how many.

    Raises:
        UserError: no series, or a method without a decoder.
    """
    decode = require.function(subject.method, "decode", "worst_windows")
    found = judged(subject, "worst_windows")
    split, chosen = found.split, []
    middle = found.scores[split.begins + split.length // 2].copy()
    while len(chosen) < min(windows, len(split)) and np.isfinite(middle.max()):
        at = int(middle.argmax())
        chosen.append(at)
        middle[np.abs(split.begins - split.begins[at]) < split.length] = -np.inf
    x = split.gather(np.array(chosen))[0]
    back = np.asarray(decode(subject.state, subject.method.encode(subject.state, x)))
    figure, axes = style.panels(len(chosen), 3, 3.6, 2.4)
    for i, (ax, at) in enumerate(zip(axes, chosen, strict=True)):
        error = np.square(x[i] - back[i]).sum(axis=0)
        c = int(error.argmax())
        ax.plot(x[i, :, c], color=style.PALETTE[0], linewidth=1.2, label="as it was")
        ax.plot(back[i, :, c], color=_ALARM, linewidth=1.2, label="reconstruction")
        style.polish(ax, f"from step {split.begins[at]}: {_names(subject)[c]}")
    axes[0].legend(frameon=False, fontsize=8)
    style.save(figure, path)


def _of(subject: Subject, user: str, series: int) -> tuple[Judged, Timeline, slice]:
    """What was found, and one series of it."""
    found = judged(subject, user)
    spans = found.split.timeline.spans()
    if not 0 <= series < len(spans):
        raise require.missing(user, f"series={series} from 0 to {len(spans) - 1}", "choose one of them")
    return found, found.split.timeline.of(series), slice(*spans[series])


def _names(subject: Subject) -> tuple[str, ...]:
    channels = subject.series.series.shape[1]
    return getattr(subject.kind, "channels", tuple(map(str, range(channels))))


def _line(ax: Any, x: np.ndarray, y: np.ndarray, colour: str, greatest: bool = False) -> None:
    """Of more points than can be seen, the greatest and the least of neighbours."""
    width = -(-len(y) // _POINTS)
    if width > 1:
        n = len(y) // width * width
        blocks = y[:n].reshape(-1, width)
        low, high = blocks.min(axis=1), blocks.max(axis=1)
        x = x[:n:width]
        y = high if greatest else np.stack([low, high], axis=1).ravel()
        x = x if greatest else np.repeat(x, 2)
    ax.plot(x, y, color=colour, linewidth=0.8)


def _shade(ax: Any, one: Timeline, label: bool = False) -> None:
    if one.labels is None:
        return
    for i, (first, last) in enumerate(runs(one.labels)):
        ax.axvspan(
            first, last + 1, color=_TRUE, alpha=0.35, linewidth=0, label="true" if label and not i else None
        )


def _ticks(one: Timeline) -> tuple[np.ndarray, list[str]]:
    n = int(one.ends[-1])
    at = np.linspace(0, n - 1, 6).astype(int)
    if one.time is None or one.time.dtype.kind != "M":
        return at, [str(i) if one.time is None else f"{one.time[i]:g}" for i in at]
    unit = "D" if one.time[-1] - one.time[0] > np.timedelta64(10, "D") else "m"
    return at, [str(one.time[i].astype(f"M8[{unit}]")).replace("T", "\n") for i in at]
