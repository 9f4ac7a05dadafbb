"""Steps of time."""

import numpy as np


def day(time: np.ndarray | None, ends: np.ndarray) -> float:
    """How many steps of the median length a day has; 0 where times are not dates.

    Args:
        time: of each step of series behind each other, datetime64 `[T]`, or other numbers; None: not known.
        ends: where each series ends, `[S]`.
    """
    if time is None or time.dtype.kind != "M" or len(time) < 2:
        return 0.0
    steps = np.delete(np.diff(time), np.asarray(ends[:-1]) - 1)
    median = np.median(steps / np.timedelta64(1, "s")) if len(steps) else 0
    return 86_400 / float(median) if median > 0 else 0.0
