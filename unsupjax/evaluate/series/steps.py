"""Scores of the steps of series, from what a method says of their windows."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.data.windows import WindowSplit
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, lasting, map_batches
from unsupjax.series.fold import Fold, smoothed

if TYPE_CHECKING:  # which brings all methods with it, and their networks
    from unsupjax.methods.base import Method

_CHUNK = 2**23  # numbers that windows say of their steps, held at once
BATCH = 256


class Steps(NamedTuple):
    """How strange the steps of series are, NaN where no window says it.

    Attributes:
        parts: what each channel contributes, float64 `[T, C]`: the mean over all windows that hold a step.
        causal: the same as it was known at the step, from the window that ends there.
    """

    parts: np.ndarray
    causal: np.ndarray

    def scores(self, level: np.ndarray, *, causal: bool = False) -> np.ndarray:
        """Of each step `[T]`, the mean over channels of what they contribute over their usual `level` `[C]`."""
        return scores_of(self.causal if causal else self.parts, level)


def scores_of(parts: np.ndarray, level: np.ndarray) -> np.ndarray:
    """See `Steps.scores`."""
    return (parts / level).mean(axis=-1)


def surprising(method: "Method", user: str) -> Callable:
    """`(state, x [B, W, C]) -> [B, h, C]`, of the last h steps, or `[B, C]`, of a window as a whole.

    The method's `surprise`; without one the squared error of its reconstruction.
    """
    if method.surprise is not None:
        return method.surprise
    return _squares(method.encode, require.function(method, "decode", user))


@lasting
def _squares(encode: Callable, decode: Callable) -> Callable:
    return lambda state, x: jnp.square(decode(state, encode(state, x)) - x)


class _Asked:
    """What steps are scored by; equal to itself alone, and to one of the very same parts."""

    def __init__(self, *parts: Any):
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and all(a is b for a, b in zip(self.parts, other.parts, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.parts)))


def of_split(method: "Method", state: Any, split: WindowSplit, user: str) -> Steps:
    """The `Steps` of all series of a split, whose windows are cut at every step; the last ones are kept.

    Errors of single steps (h = 1), which jump, are averaged over half a window: those behind a step (`causal`), or
    around it.
    """
    return _of_split(_Asked(surprising(method, user), state, split))


@functools.lru_cache(maxsize=1)
def _of_split(asked: _Asked) -> Steps:
    function, state, split = asked.parts
    steps = len(split.series)
    width, channels = split.length, split.series.shape[1]
    blank = jax.ShapeDtypeStruct((1, width, channels), jnp.float32)
    shape = jax.eval_shape(function, state, blank).shape
    span = width if len(shape) == 2 else shape[1]
    fold, causal = Fold(steps, channels), np.full((steps, channels), np.nan)
    size = max(_CHUNK // int(np.prod(shape[1:])) // BATCH, 1) * BATCH
    for start in range(0, len(split), size):
        at = np.arange(start, min(start + size, len(split)))
        found = map_batches(function, Windows(split, at), BATCH, state)
        ends = split.begins[at] + width - 1
        whole = found.ndim == 2
        fold.add(found[:, None] if whole else found, ends, span)
        causal[ends] = found if whole else found.mean(axis=1)
    parts = fold.means()
    if span == 1:
        for first, end in split.timeline.spans():
            parts[first:end] = smoothed(parts[first:end], width // 2, causal=False)
            causal[first:end] = smoothed(causal[first:end], width // 2, causal=True)
    return Steps(parts, causal)


class Windows:
    """Windows of a split as an array that is read when it is indexed."""

    def __init__(self, split: WindowSplit, at: np.ndarray):
        """Those at `at`, int `[N]`."""
        self._split, self._at = split, at

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        return self._split.gather(self._at[index])[0]


def levels(parts: np.ndarray) -> np.ndarray:
    """What each channel usually contributes, `[C]`: its mean over the steps of the training part `[T, C]`.

    At least a tenth of the mean over channels: one that is constant in training does not drown the others.
    """
    known = parts[np.isfinite(parts).all(axis=1)]
    mean = known.mean(axis=0) if len(known) else np.ones(parts.shape[1])
    return np.maximum(mean, max(0.1 * mean.mean(), 1e-9))


class Judged(NamedTuple):
    """The series of a subject, scored.

    Attributes:
        split: all windows of them.
        steps: how strange each step is.
        level: of each channel, `[C]`.
        scores: of each step, `[T]`; where no window says anything, the least of all.
    """

    split: WindowSplit
    steps: Steps
    level: np.ndarray
    scores: np.ndarray


def judged(subject: Subject, user: str, *, causal: bool = False) -> Judged:
    """The `Judged` of a subject; `UserError` where it holds no series."""
    split = subject.series
    if split is None:
        raise require.missing(user, "series of windows of time", "choose such data")
    found = of_split(subject.method, subject.state, split, user)
    training = split.timeline.training()
    level = levels((found.causal if causal else found.parts)[training])
    scores = found.scores(level, causal=causal)
    return Judged(split, found, level, ranked(scores))


def ranked(scores: np.ndarray) -> np.ndarray:
    """Scores `[T]` of which those that are missing (NaN) are the least of all."""
    known = np.isfinite(scores)
    return np.where(known, scores, scores[known].min() if known.any() else 0.0)
