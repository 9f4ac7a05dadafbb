"""Scores of a series that is new to a trained model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unsupjax.data.kinds.windows import Windows
from unsupjax.data.series import Series, written
from unsupjax.data.windows import Timeline, split_of, starts
from unsupjax.errors import UserError
from unsupjax.evaluate.series.steps import of_split, scores_of

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.methods.base import Method


class Detected(NamedTuple):
    """A series, scored.

    Attributes:
        time: of each step, as it is written; "0", "1", ... without times.
        scores: of each step, float64 `[T]`; 1 is the mean of the training part, NaN where no window says anything.
        parts: what each channel contributes, `[T, C]`; their mean is the score.
        channels: their names.
    """

    time: list[str]
    scores: np.ndarray
    parts: np.ndarray
    channels: tuple[str, ...]

    @property
    def top(self) -> list[str]:
        """The channel that contributes most to each step; "" where there is no score."""
        best = np.nan_to_num(self.parts, nan=-1).argmax(axis=1)
        known = np.isfinite(self.scores)
        return [self.channels[c] if ok else "" for c, ok in zip(best.tolist(), known.tolist(), strict=True)]


def detect(
    method: "Method",
    state: Any,
    kind: Windows,
    usual: Mapping[str, np.ndarray],
    raw: Any,
    *,
    causal: bool = False,
) -> Detected:
    """Scores every step of a series.

    Args:
        method, state: trained.
        kind: of its data.
        usual: of `unsupjax.evaluate.calibration`.
        raw: a `Series`; numbers `[T]` or `[T, C]`; or a DataFrame or dict of columns with the channels' names.
        causal: as each step was known when it came; missing values then stand as the last ones did.

    Raises:
        UserError: a channel that is missing, values that are no finite numbers, fewer steps than a window.
    """
    series = kind.regular(as_series(raw, kind), causal=causal)
    n = len(series.values)
    known = ~np.isnan(series.values).any(axis=1)
    timeline = Timeline((series.name,), np.array([n]), np.array([0]), series.time, None, known)
    begins = starts(timeline, kind.length, 1, train=False)
    if not len(begins):
        short = (
            f"has {n} steps, and a window {kind.length}"
            if n < kind.length
            else "is missing too much for a window"
        )
        raise UserError(f"{series.name} {short}: no step can be scored")
    split = split_of(np.nan_to_num(kind.scaled(series.values)), begins, kind.length, timeline)
    found = of_split(method, state, split, "score")
    parts = (found.causal if causal else found.parts) / usual["level_causal" if causal else "level"]
    time = written(series.time, n, series.zone)
    return Detected(time, scores_of(parts, np.ones(parts.shape[1])), parts, kind.channels)


def as_series(raw: Any, kind: Windows) -> Series:
    """What a user has as a series."""
    if isinstance(raw, Series):
        return raw
    if hasattr(raw, "keys"):
        names = {str(name): name for name in raw.keys()}  # noqa: SIM118  a DataFrame's are its columns
        missing = [name for name in kind.channels if name not in names]
        if missing:
            raise UserError(f"the channel {missing[0]!r} is missing; there are {', '.join(list(names)[:20])}")
        raw = np.stack([np.asarray(raw[names[name]], np.float64) for name in kind.channels], axis=1)
    x = np.asarray(raw)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[1] != len(kind.channels) or x.dtype.kind not in "biuf":
        raise UserError(
            f"a series is {x.dtype} of shape {x.shape}, where numbers [T, {len(kind.channels)}] belong"
        )
    if np.isinf(x).any():
        row, c = (int(a[0]) for a in np.isinf(x).nonzero())
        raise UserError(
            f"row {row} (from 0), channel {kind.channels[c]!r} holds {x[row, c]}, which is no number"
        )
    return Series("the series", x.astype(np.float64), kind.channels)
