"""The score of the Numenta Anomaly Benchmark."""

from collections.abc import Sequence

import numpy as np

from unsupjax.errors import UserError
from unsupjax.series.intervals import runs

FALSE_ALARM = 0.11  # of the standard profile; a detection and a missed interval count 1
_PROBATION, _MOST = 0.15, 750


def nab_score(scores: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> float:
    r"""NAB's score, profile `standard`, at the one threshold over all series that is best for it.

    An anomalous interval counts once, by its earliest detection, :math:`\sigma(y) / \sigma(-1)` with
    :math:`\sigma(y) = 2 / (1 + e^{5 y}) - 1` and y from -1 at its first step to nearly 0 at its last; -1 where it is
    missed. Every detection outside costs 0.11 times :math:`\sigma` of its distance behind the last interval, in lengths
    of that; the whole of it (3 lengths or more) before the first one. The first 15 % of a series, at most 750 steps, do
    not count. The sum is scaled: 0 for no detection, 100 for all at once and no false one.

    The threshold is chosen on the labels: it says what a detector could reach, not what it does.

    Args:
        scores: of each series, float `[T]`; higher is stranger.
        labels: whether each step is anomalous, likewise.

    Raises:
        UserError: no interval that counts; scores that are not finite.

    Source: Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark",
    ICMLA 2015.
    """
    parts = [
        _points(np.asarray(s, np.float64), np.asarray(y, bool)) for s, y in zip(scores, labels, strict=True)
    ]
    windows = sum(n for *_, n in parts)
    if not windows:
        raise UserError("NAB: no anomalous interval lies behind the first 15 % of a series")
    ranked = np.concatenate([s for s, *_ in parts])
    if not np.isfinite(ranked).all():
        raise UserError("NAB: scores that are not finite rank nothing")
    value = np.concatenate([v for _, v, *_ in parts])
    offset = np.cumsum([0, *(n for *_, n in parts)])
    which = np.concatenate(
        [np.where(w >= 0, w + o, -1) for (_, _, w, _), o in zip(parts, offset, strict=False)]
    )
    order = np.argsort(-ranked, kind="stable")
    ranked, value, which = ranked[order], value[order], which[order]
    gain = np.where(which < 0, FALSE_ALARM * value, 0)
    for window in range(windows):
        at = np.flatnonzero(which == window)
        best = np.maximum.accumulate(np.r_[-1.0, value[at]])
        gain[at] = np.diff(best)
    total = np.cumsum(gain)[np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])]
    return float(100 * max(total.max(initial=0.0), 0.0) / (2 * windows))


def records(scores: np.ndarray, width: int) -> np.ndarray:
    """Scores `[T]` of the steps that have the greatest of the last `width`, the least of all elsewhere.

    An alarm is raised once, and not at every step that it lasts.
    """
    from scipy.ndimage import maximum_filter1d

    before = maximum_filter1d(scores, width, origin=(width - 1) // 2, mode="constant", cval=-np.inf)
    return np.where(scores >= before, scores, scores.min())


def adapted(scores: np.ndarray, fewest: int = 100, span: int = 4_000) -> np.ndarray:
    """Scores `[T]` in deviations from the mean of those before them, so that one threshold may serve several series.

    The last `span` before a step count; the first `fewest` are 0.

    Source: in the way of the anomaly likelihood of Ahmad, Lavin, Purdy and Agha, Neurocomputing 262 (2017).
    """
    x = scores - scores[:fewest].mean()
    at = np.arange(len(x))
    first = np.maximum(at - span, 0)
    n = np.maximum(at - first, 1)
    total = lambda values: (c := np.r_[0, np.cumsum(values)])[at] - c[first]
    mean = total(x) / n
    spread = np.sqrt(np.maximum(total(np.square(x)) / n - np.square(mean), 0))
    z = (x - mean) / np.maximum(spread, 1e-3 * max(np.abs(scores).max(), 1e-12))
    z[:fewest] = 0
    return z


def _points(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Of the steps that count: scores, what a detection there is worth, and the interval (-1: none); and how many."""
    n = len(scores)
    value, which, found = np.full(n, -1.0), np.full(n, -1), 0
    start = int(min(_PROBATION * n, _MOST))
    intervals = runs(labels)
    for i, (first, last) in enumerate(intervals):
        length = last - first + 1
        at = np.arange(first, last + 1)
        value[at] = _sigmoid(-(last - at + 1) / length) / _sigmoid(-1.0)
        if last >= start:
            which[at], found = found, found + 1
        end = intervals[i + 1][0] if i + 1 < len(intervals) else n
        behind = np.arange(last + 1, end)
        distance = (behind - last) / max(length - 1, 1)
        value[behind] = np.where(distance >= 3, -1.0, _sigmoid(np.minimum(distance, 3)))
    return scores[start:], value[start:], which[start:], found


def _sigmoid(y):
    return 2 / (1 + np.exp(5 * y)) - 1
