"""From windows back to steps: a step's score is the mean over the windows that hold it."""

import numpy as np


class Fold:
    """Means of what windows say of their steps, over S steps and C channels; windows come some at a time.

    Memory is that of the steps, however many windows there are.
    """

    def __init__(self, steps: int, channels: int):
        """Of so many."""
        self._total = np.zeros((steps + 1, channels))
        self._count = np.zeros(steps + 1, np.int64)

    def add(self, errors: np.ndarray, ends: np.ndarray, span: int) -> None:
        """Adds windows.

        Args:
            errors: what they say of their last `span` steps, `[B, span, C]`; `[B, 1, C]`: the same of each.
            ends: the last step of each window, int `[B]`, no step twice.
            span: see above.
        """
        if errors.shape[1] == span:
            for k in range(span):
                at = ends - (span - 1 - k)
                self._total[at] += errors[:, k]
                self._count[at] += 1
            return
        # Of equal steps a difference at either end, which sums take to what lies between.
        change, number = np.zeros_like(self._total), np.zeros_like(self._count)
        change[ends - span + 1] += errors[:, 0]
        change[ends + 1] -= errors[:, 0]
        number[ends - span + 1] += 1
        number[ends + 1] -= 1
        self._total += np.cumsum(change, axis=0)
        self._count += np.cumsum(number)

    def means(self) -> np.ndarray:
        """Float64 `[S, C]`; NaN of a step that no window holds."""
        total, count = self._total[:-1], self._count[:-1, None]
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def smoothed(values: np.ndarray, width: int, *, causal: bool) -> np.ndarray:
    """Moving means over `width` steps of values `[T, ...]`, those behind a step (`causal`) or around it.

    Steps without a value (NaN) count for nothing, and have none; at the ends there are fewer.
    """
    if width <= 1:
        return values
    known = np.isfinite(values)
    zero = np.zeros((1, *values.shape[1:]))
    total = np.concatenate([zero, np.cumsum(np.where(known, values, 0), axis=0)])
    count = np.concatenate([zero, np.cumsum(known, axis=0)])
    at = np.arange(len(values))
    first = np.maximum(at - (width - 1 if causal else (width - 1) // 2), 0)
    end = np.minimum(at + (1 if causal else width // 2 + 1), len(values))
    means = (total[end] - total[first]) / np.maximum(count[end] - count[first], 1)
    return np.where(known, means, np.nan)
