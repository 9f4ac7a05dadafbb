"""Simple detectors beside which a method's scores are judged: each fitted to the training part alone.

Each gives two scores of every step, as `unsupjax.evaluate.series.steps.Steps` has them: averaged over the windows of a
step, and as it was known there.
"""

from collections.abc import Callable

import numpy as np

from unsupjax.data.windows import WindowSplit
from unsupjax.series.fold import Fold, smoothed

MOST = 4_000  # training windows that a baseline is fitted to, evenly spaced
_NUMBERS = 2**24  # of windows, held at once
_FEATURES = 256  # numbers of a window that a forest sees, means over neighbouring steps
_LIMIT = 50.0


def smoothed_z(split: WindowSplit) -> tuple[np.ndarray, np.ndarray]:
    """The greatest deviation of a channel from its training mean, in deviations, averaged over half a window."""
    z = np.abs(split.series).max(axis=1).astype(np.float64)
    made, width = (z.copy(), z.copy()), max(split.length // 2, 1)
    for first, end in split.timeline.spans():
        for causal, values in enumerate(made):
            values[first:end] = smoothed(z[first:end], width, causal=bool(causal))
    return made


def isolation_forest(split: WindowSplit) -> tuple[np.ndarray, np.ndarray]:
    """100 trees over windows (of more than 256 numbers means of neighbouring steps), averaged over those of a step."""
    from sklearn.ensemble import IsolationForest

    group = -(-split.length * split.series.shape[1] // _FEATURES)

    def fit(windows):
        forest = IsolationForest(n_estimators=100, random_state=0).fit(_coarse(windows, group))
        return lambda x: -forest.score_samples(_coarse(x, group))

    return _of_windows(split, fit)


def neighbours(split: WindowSplit) -> tuple[np.ndarray, np.ndarray]:
    """The distance to the nearest training window (that shares less than half of its steps), averaged likewise."""

    def fit(windows):
        reference = windows.reshape(len(windows), -1)
        squares = np.square(reference).sum(axis=1)
        spacing = max(int(split.timeline.training().sum()) / len(windows), 1)
        radius = max(int(split.length / 2 / spacing), 1)
        at = np.arange(len(reference))

        def distance(x):
            q = x.reshape(len(x), -1)
            d = np.maximum(np.square(q).sum(axis=1)[:, None] - 2 * q @ reference.T + squares, 0)
            first = d.argmin(axis=1)
            itself = (q == reference[first]).all(axis=1)
            d[itself[:, None] & (np.abs(at[None] - first[:, None]) < radius)] = np.inf
            return np.sqrt(np.where(np.isfinite(least := d.min(axis=1)), least, 0))

        return distance

    return _of_windows(split, fit)


def pca(split: WindowSplit) -> tuple[np.ndarray, np.ndarray]:
    """The squared error of windows from the components of 90 % of the training windows' variance, averaged likewise."""

    def fit(windows):
        rows = windows.reshape(len(windows), -1)[:: max(len(windows) // 1_000, 1)]
        centre = rows.mean(axis=0)
        _, values, axes = np.linalg.svd(rows - centre, full_matrices=False)
        share = np.cumsum(values**2) / max(np.sum(values**2), 1e-12)
        axes = axes[: min(int(np.searchsorted(share, 0.9)) + 1, len(axes) - 1)]

        def error(x):
            x = x.reshape(len(x), -1) - centre
            return np.maximum(np.square(x).sum(axis=1) - np.square(x @ axes.T).sum(axis=1), 0)

        return error

    return _of_windows(split, fit)


BASELINES: dict[str, Callable[[WindowSplit], tuple[np.ndarray, np.ndarray]]] = {
    "isolation_forest": isolation_forest,
    "neighbours": neighbours,
    "pca": pca,
    "smoothed_z": smoothed_z,
}


def _coarse(windows: np.ndarray, group: int) -> np.ndarray:
    if group > 1:
        whole = windows.shape[1] // group * group or windows.shape[1]
        group = min(group, whole)
        windows = windows[:, :whole].reshape(len(windows), -1, group, windows.shape[2]).mean(axis=2)
    return windows.reshape(len(windows), -1)


def _of_windows(split: WindowSplit, fit: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Scores of steps, `[T]`, of a detector of windows, `fit(windows [N, W, C]) -> (windows -> [N])`: means over the
    windows of a step, and those of the window that ends there."""
    read = lambda at: np.clip(split.gather(at)[0], -_LIMIT, _LIMIT)
    trained = split.timeline.training()
    inside = np.flatnonzero(trained[split.begins] & trained[split.begins + split.length - 1])
    most = max(min(MOST, _NUMBERS // (split.length * split.series.shape[1])), 2)
    score = fit(read(inside[np.unique(np.linspace(0, len(inside) - 1, most).astype(int))]))
    fold, causal = Fold(len(split.series), 1), np.full(len(split.series), np.nan)
    size = max(min(2_048, _NUMBERS // (split.length * split.series.shape[1])), 1)
    for start in range(0, len(split), size):
        at = np.arange(start, min(start + size, len(split)))
        found = np.asarray(score(read(at)), np.float64)
        ends = split.begins[at] + split.length - 1
        fold.add(found[:, None, None], ends, split.length)
        causal[ends] = found
    return fold.means()[:, 0], causal
