"""What the estimators share: the frame that rows are computed in, and comparing rows with a codebook."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from unsupjax.estimators.saved import Saved
from unsupjax.numerics import nearest

_PADDED = 64  # rows at least, so that small tables of many lengths share a compilation
_SAMPLED = 1000  # rows whose median is the origin


class Frame(NamedTuple):
    """Where and how wide data lies: rows become (x - origin) * scale."""

    origin: np.ndarray
    scale: float

    def into(self, x: np.ndarray) -> np.ndarray:
        return ((x.astype(np.float64) - self.origin) * self.scale).astype(np.float32)

    def start(self, init: Any, shape: tuple[int, int]) -> str | jax.Array:
        """The name of a start as it is, and given units `[K, D]` within the frame."""
        if isinstance(init, str):
            return init
        units = np.asarray(init, np.float64)
        if units.shape != shape:
            raise ValueError(f"init has the shape {units.shape} and not (units, features) = {shape}")
        return jnp.asarray(self.into(units))

    def back(self, x: jax.Array) -> np.ndarray:
        return np.asarray(x, np.float64) / self.scale + self.origin


def frame_of(x: np.ndarray, metric: str) -> Frame:
    """The frame of rows, NaN left out; angles have their origin at zero.

    It is about the median of the rows, so that those in the middle keep their digits beside any outlier.
    """
    if metric == "cosine":
        return Frame(np.zeros(x.shape[1]), 1.0)
    seen = ~np.isnan(x)
    mean = np.sum(x, axis=0, dtype=np.float64, where=seen) / np.maximum(seen.sum(axis=0), 1)
    ordered = np.sort(x[:: -(-len(x) // _SAMPLED)].astype(np.float64), axis=0)  # NaN last
    middle = np.maximum(np.sum(~np.isnan(ordered), axis=0) - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[None], axis=0)[
        0
    ]  # of an even number the lower, not what lies between
    origin = np.where(np.isnan(median), mean, median)
    reach = max(np.max(np.abs(ends - origin), where=seen.any(axis=0), initial=0.0) for ends in _ends(x, seen))
    reach = reach or np.max(np.abs(origin))
    return Frame(origin, float(np.exp2(-np.frexp(reach)[1])))


def _ends(x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.min(axis=0, where=seen, initial=np.inf), x.max(axis=0, where=seen, initial=-np.inf)


def padded(x: np.ndarray) -> np.ndarray:
    """Rows with their mean appended, at most an eighth, to one of few lengths: each length is a compilation."""
    step = max(_PADDED, 1 << (len(x).bit_length() - 4)) if len(x) > _PADDED else _PADDED
    mean = x.mean(axis=0, keepdims=True, dtype=np.float64).astype(x.dtype)
    return np.concatenate([x, np.repeat(mean, -len(x) % step, axis=0)])


@functools.partial(jax.jit, static_argnames=("metric", "missing"))
def _find(x, units, *, metric, missing):
    return nearest.find(x, units, metric=metric, missing=missing)


@functools.partial(jax.jit, static_argnames=("metric", "missing"))
def _table(x, units, *, metric, missing):
    return nearest.table(x, units, metric=metric, missing=missing)


def key_of(random_state: Any) -> jax.Array:
    return jax.random.key(check_random_state(random_state).randint(2**31 - 1))


class Codebook(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, Saved):
    """What rows are compared with, and how: `predict` and `transform` of k-means and maps."""

    def _units(self) -> np.ndarray:
        raise NotImplementedError

    def _how(self) -> dict[str, Any]:
        raise NotImplementedError

    def _rows(self, x: Any, reset: bool) -> np.ndarray:
        finite = "allow-nan" if self._how()["missing"] else True
        return validate_data(self, x, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=finite)

    def _compare(self, function: Any, x: np.ndarray) -> tuple[Any, float]:
        """`function` of rows and units within the frame of the units, and what distances there are scaled by."""
        how, units = self._how(), self._units()
        frame = frame_of(units, how["metric"])
        found = function(padded(frame.into(x)), frame.into(units), **how)
        return jax.tree.map(lambda a: np.asarray(a)[: len(x)], found), frame.scale

    def _nearest(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest unit of each row, int32 `[N]`, and its distance, float64 `[N]`."""
        (index, distance), scale = self._compare(_find, x)
        return index, distance.astype(np.float64) / scale

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The nearest centre or unit of each row `[N, D]`: int32 `[N]`, the lowest on a tie."""
        check_is_fitted(self)
        return self._nearest(self._rows(X, reset=False))[0]

    def transform(self, X: np.ndarray) -> np.ndarray:
        """The distance of each row to every centre or unit, `[N, K]`, in the dtype of X."""
        check_is_fitted(self)
        x = self._rows(X, reset=False)
        table, scale = self._compare(_table, x)
        return (table.astype(np.float64) / scale).astype(x.dtype)

    @property
    def _n_features_out(self) -> int:
        return len(self._units())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
