"""What is usual: the scores of the training part, kept with a model so that thresholds need no data."""

import numpy as np

from unsupjax.evaluate.series.steps import levels, of_split
from unsupjax.evaluate.subject import Subject
from unsupjax.series.steps import day

CALIBRATION = "calibration.npz"


def calibration(subject: Subject) -> dict[str, np.ndarray] | None:
    """Arrays that a model's scores are measured by; None where it has none.

    Of series: `level` and `level_causal`, what each channel usually contributes `[C]`; `scores` and `scores_causal` of
    the steps of the training part, in order; `per_day`, steps in a day (0: not known).
    """
    method = subject.method
    if subject.series is None or (method.surprise is None and method.decode is None):
        return None
    split = subject.series
    found, training = of_split(method, subject.state, split, "calibration"), split.timeline.training()
    made = {"per_day": np.array(day(split.timeline.time, split.timeline.ends))}
    for name, parts in (("", found.parts), ("_causal", found.causal)):
        level = levels(parts[training])
        made |= {f"level{name}": level, f"scores{name}": (parts[training] / level).mean(axis=1)}
    return made
