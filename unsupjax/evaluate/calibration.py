"""What is usual: the scores of the training part, kept with a model so that thresholds need no data."""

from collections.abc import Mapping

import numpy as np

from unsupjax.evaluate.drift import shares
from unsupjax.evaluate.fidelity.reconstruction import squared_error, summed
from unsupjax.evaluate.series.steps import levels, of_split
from unsupjax.evaluate.subject import Subject, map_batches
from unsupjax.series.steps import day

CALIBRATION = "calibration.npz"
_ROWS = 20_000  # of a table, evenly spaced


def calibration(subject: Subject) -> dict[str, np.ndarray] | None:
    """Arrays that a model's scores are measured by; None where it has none.

    Of series: `level` and `level_causal`, what each channel usually contributes `[C]`; `scores` and `scores_causal` of
    the steps of the training part, in order; `per_day`, steps in a day (0: not known). Of tables: `scores` of training
    rows, and the shares of their columns (`unsupjax.evaluate.drift.shares`).
    """
    method = subject.method
    if method.surprise is None and method.decode is None:
        return None
    if subject.series is not None:
        return _of_series(subject)
    return _of_rows(subject) if getattr(subject.kind, "name", None) == "table" else None


def training_scores(usual: Mapping[str, np.ndarray], causal: bool = False) -> np.ndarray:
    """The scores of the training part, of series as they were known at a step where `causal`."""
    return usual["scores_causal" if causal and "scores_causal" in usual else "scores"]


def _of_series(subject: Subject) -> dict[str, np.ndarray]:
    split = subject.series
    found = of_split(subject.method, subject.state, split, "calibration")
    training = split.timeline.training()
    made = {"per_day": np.array(day(split.timeline.time, split.timeline.ends))}
    for name, parts in (("", found.parts), ("_causal", found.causal)):
        level = levels(parts[training])
        made |= {f"level{name}": level, f"scores{name}": (parts[training] / level).mean(axis=1)}
    return made


def _of_rows(subject: Subject) -> dict[str, np.ndarray]:
    n, method = len(subject.x_train), subject.method
    rows = np.asarray(subject.x_train[np.unique(np.linspace(0, n - 1, min(n, _ROWS)).astype(np.int64))])
    function = (
        squared_error(method.encode, method.decode) if method.surprise is None else summed(method.surprise)
    )
    scores = map_batches(function, rows, 512, subject.state)
    return {"scores": scores.astype(np.float64)} | shares(subject.kind, rows)
