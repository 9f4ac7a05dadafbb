"""Volumes under the surface: the areas under ROC and precision-recall curves, with tolerance at an anomaly's edges."""

from typing import NamedTuple

import numpy as np

from unsupjax.errors import UserError
from unsupjax.series.intervals import runs

THRESHOLDS = 250


class Volumes(NamedTuple):
    """Volumes under the surface, in [0, 1].

    Attributes:
        pr: VUS-PR, the mean of the areas under the range precision-recall curves.
        roc: VUS-ROC, likewise of the range ROC curves.
    """

    pr: float
    roc: float


def volumes(scores: np.ndarray, labels: np.ndarray, buffer: int, thresholds: int = THRESHOLDS) -> Volumes:
    r"""VUS-PR and VUS-ROC of scores of time steps.

    For each width w = 0, ..., `buffer` the labels y are extended: a step at distance d from an anomalous run, at most
    :math:`\lfloor w / 2 \rfloor`, has :math:`y_w = \sqrt{1 - d / w}` (of two runs the sum, at most 1), and runs whose
    extensions meet are one range. At a threshold, S are the steps with scores that reach it, and E the extended ones:

    .. math:: TP = \sum_S y_w, \quad P = \tfrac12 \Big(2 \sum y + \sum_{S \cap E} y_w\Big), \quad
        TPR = \min(TP / P, 1) \cdot \frac{\text{ranges that S meets}}{\text{ranges}}, \quad
        FPR = \frac{|S| - TP}{T - P}, \quad \text{precision} = \frac{TP}{|S|}.

    Thresholds are scores at evenly spaced ranks. The area under (FPR, TPR) is by trapezoids to (1, 1), that under
    (TPR, precision) by right-hand rectangles; the volume is the mean over w.

    Args:
        scores: of T steps, float `[T]`; higher is stranger.
        labels: whether a step is anomalous, `[T]`.
        buffer: the greatest width w, in steps; the period of the series.
        thresholds: how many.

    Raises:
        UserError: no step is anomalous or all are; scores that are not finite.

    Source: Paparrizos et al., "Volume under the surface: a new accuracy evaluation measure for time-series anomaly
    detection", PVLDB 15 (2022), as the `opt` code of TSB-AD computes it.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels, bool)
    if not np.isfinite(scores).all():
        raise UserError("VUS: scores that are not finite rank nothing")
    if labels.all() or not labels.any():
        raise UserError("VUS: the labels must hold anomalous steps and normal ones")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    levels = ranked[np.linspace(0, len(scores) - 1, thresholds).astype(int)]
    counts = np.searchsorted(-ranked, -levels, side="right")  # steps whose scores reach each level
    found = [_areas(scores, labels, order, levels, counts, w) for w in range(buffer + 1)]
    roc, pr = np.mean(found, axis=0)
    return Volumes(float(pr), float(roc))


def _areas(scores, labels, order, levels, counts, width: int) -> tuple[float, float]:
    """Of one width, the areas under the ROC and the precision-recall curve."""
    extended, ranges = extend(labels, width)
    total = np.cumsum(extended[order])[counts - 1]
    beyond = total - np.cumsum(labels[order])[counts - 1]
    positive = labels.sum() + beyond / 2
    best = np.array([scores[a : b + 1].max() for a, b in ranges])
    met = (best[None] >= levels[:, None]).mean(axis=1)
    tpr = np.minimum(total / positive, 1) * met
    fpr = (counts - total) / (len(scores) - positive)
    x, y = np.r_[0, fpr, 1], np.r_[0, tpr, 1]
    roc = np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)
    return float(roc), float(np.sum(np.diff(np.r_[0, tpr]) * total / counts))


def extend(labels: np.ndarray, width: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The labels `[T]` of a width, float64, and the ranges, (first, last) each."""
    extended, half, ranges = labels.astype(np.float64), width // 2, []
    for first, last in runs(labels):
        behind = np.arange(last + 1, min(last + half + 1, len(labels)))
        before = np.arange(max(first - half, 0), first)
        extended[behind] += np.sqrt(1 - (behind - last) / max(width, 1))
        extended[before] += np.sqrt(1 - (first - before) / max(width, 1))
        start, end = max(first - half, 0), min(last + half, len(labels) - 1)
        if ranges and first - half <= ranges[-1][2] + half:
            ranges[-1] = (ranges[-1][0], end, last)
        else:
            ranges.append((start, end, last))
    return np.minimum(extended, 1), [(a, b) for a, b, _ in ranges]
