"""Runs of steps."""

import numpy as np


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """The first and the last step of each run of true flags `[T]`, in order."""
    edges = np.flatnonzero(np.diff(np.r_[False, np.asarray(flags, bool), False].astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
