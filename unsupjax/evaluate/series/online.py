"""Scores of rows as they come, in constant memory: the same as `detect(..., causal=True)` of all of them."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from unsupjax.data.kinds.windows import Windows
from unsupjax.errors import UserError
from unsupjax.evaluate.series.steps import surprising

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.methods.base import Method

SIZES = (1, 8, 64, 512)  # windows that go through together: few are compiled
_NUMBERS = 2**22  # of windows, at once


class Online:
    """Scores rows `[n, C]` as they come.

    Attributes:
        rows: how many came.
    """

    def __init__(self, method: "Method", state: Any, kind: Windows, usual: Mapping[str, np.ndarray]):
        """Of a trained method; `usual` of `unsupjax.evaluate.calibration`."""
        if kind.step:
            raise UserError(
                "the model brings series to a grid of time, which rows that come one by one have not; score a file, or "
                "train without config.data.resample"
            )
        self._kind, self._level, self._state = kind, usual["level_causal"], state
        self._score = _compiled(surprising(method, "score"))
        channels = len(kind.channels)
        blank = jax.ShapeDtypeStruct((1, *kind.shape), np.float32)
        shape = jax.eval_shape(surprising(method, "score"), state, blank).shape
        jumps = len(shape) == 3 and shape[1] == 1
        self._span = max(kind.length // 2, 1) if jumps else 1
        self.rows = 0
        self._before = np.zeros((0, channels), np.float32)  # the last rows, at most one less than a window
        self._last, self._gone = np.full(channels, np.nan), np.zeros(channels, np.int64)
        self._parts = np.full((self._span - 1, channels), np.nan)
        most = max(_NUMBERS // int(np.prod(kind.shape)), 1)
        self._sizes = [size for size in SIZES if size <= most]

    def __call__(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores `[n]`, NaN before a window is full, and what channels contribute `[n, C]`, of rows `[n, C]`."""
        rows = self._kind.scaled(self._held(np.asarray(values, np.float64)))
        known = np.concatenate([self._before, rows])
        parts = np.full((len(rows), rows.shape[1]), np.nan)
        width = self._kind.length
        if len(known) >= width:
            windows = np.lib.stride_tricks.sliding_window_view(known, width, axis=0).transpose(0, 2, 1)
            good = np.flatnonzero(np.isfinite(windows).all(axis=(1, 2)))
            if len(good):
                parts[len(rows) - len(windows) + good] = self._surprises(windows, good)
        self._before = known[max(len(known) - width + 1, 0) :] if width > 1 else known[:0]
        self.rows += len(rows)
        parts = self._smoothed(parts) / self._level
        return parts.mean(axis=1), parts

    def _held(self, values: np.ndarray) -> np.ndarray:
        """Rows with what is missing as it was last, of at most `gap` rows behind each other."""
        if np.isfinite(values).all():
            self._last, self._gone = (
                values[-1].copy() if len(values) else self._last,
                np.zeros_like(self._gone),
            )
            return values
        made = values.copy()
        for row in made:
            gone = np.isnan(row)
            self._gone = np.where(gone, self._gone + 1, 0)
            fill = gone & (self._gone <= self._kind.gap)
            self._last = np.where(gone, self._last, row)
            row[fill] = self._last[fill]
        return made

    def _surprises(self, windows: np.ndarray, at: np.ndarray) -> np.ndarray:
        made = []
        while len(at):
            size = next((s for s in self._sizes if s >= len(at)), self._sizes[-1])
            now, at = at[:size], at[size:]
            x = np.zeros((size, *self._kind.shape), np.float32)
            x[: len(now)] = windows[now]
            found = np.asarray(self._score(self._state, x))[: len(now)]
            made.append(found if found.ndim == 2 else found.mean(axis=1))
        return np.concatenate(made)

    def _smoothed(self, parts: np.ndarray) -> np.ndarray:
        if self._span == 1 or not len(parts):
            return parts
        known = np.concatenate([self._parts, parts])
        self._parts = known[len(known) - self._span + 1 :]
        windows = np.lib.stride_tricks.sliding_window_view(known, self._span, axis=0)
        there = np.isfinite(windows)
        means = np.where(there, windows, 0).sum(axis=2) / np.maximum(there.sum(axis=2), 1)
        return np.where(np.isfinite(parts), means, np.nan)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the next row's score depends on."""
        names = ("_before", "_last", "_gone", "_parts")
        return {name.strip("_"): getattr(self, name) for name in names} | {"rows": np.array(self.rows)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `arrays` gave; UserError for those of another model."""
        for name, value in arrays.items():
            if name == "rows":
                self.rows = int(value)
                continue
            old = getattr(self, f"_{name}", None)
            if old is None or old.shape[1:] != value.shape[1:]:
                raise UserError(
                    f"the state of a stream is of another model: {name} has the shape {value.shape}"
                )
            setattr(self, f"_{name}", value)


@functools.lru_cache(maxsize=8)
def _compiled(function: Callable) -> Callable:
    return jax.jit(function)
