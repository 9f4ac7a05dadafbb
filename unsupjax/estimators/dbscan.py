"""DBSCAN as a scikit-learn estimator."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import _check_sample_weight, validate_data

from unsupjax.cluster import dbscan
from unsupjax.estimators.saved import Saved


class DBSCAN(ClusterMixin, BaseEstimator, Saved):
    """`cluster.dbscan.fit` with the parameters and attributes of scikit-learn's `DBSCAN`.

    Args:
        eps: the radius, in the units of the data.
        min_samples: rows within eps that make a core point, itself counted.

    Attributes:
        labels_: int32 `[N]`; -1 is noise.
        core_sample_indices_: of the core points, int64 `[C]`.
        components_: the core points, `[C, D]`.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _fitted = ("labels_", "core_sample_indices_", "components_")

    def __init__(self, eps=0.5, *, min_samples=5):
        self.eps = eps
        self.min_samples = min_samples

    def fit(self, X: np.ndarray, y: Any = None, sample_weight: np.ndarray | None = None) -> Self:
        """Clusters rows `[N, D]`; those with weights `[N]` count as so many rows.

        Raises:
            ValueError: eps is not positive, min_samples below 1, or the weights are not one finite number a row.
        """
        x = validate_data(self, X, dtype=[np.float64, np.float32])
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, x, dtype=np.float64)
        self.labels_, core = dbscan.fit(x, eps=self.eps, min_samples=self.min_samples, weights=sample_weight)
        self.core_sample_indices_ = np.flatnonzero(core)
        self.components_ = x[core]
        return self

    def fit_predict(self, X, y=None, sample_weight=None) -> np.ndarray:
        """`fit(X).labels_`."""
        return self.fit(X, sample_weight=sample_weight).labels_
