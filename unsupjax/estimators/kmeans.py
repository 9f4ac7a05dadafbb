"""k-means as a scikit-learn estimator."""

import warnings
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from unsupjax.cluster import kmeans
from unsupjax.estimators.base import Codebook, frame_of, key_of, padded


class KMeans(Codebook):
    """`cluster.kmeans.fit` with the parameters and attributes of scikit-learn's `KMeans`.

    Args:
        n_clusters: K.
        init: "k-means++", "k-means||", "random", or centres `[K, D]`.
        n_init: starts, of which the best counts; "auto": 10 for "random", else 1. Centres given are one start.
        max_iter: iterations at most.
        tol: ends when the squared movement of all centres is at most tol times the mean variance of the features.
        spherical: cluster the directions of rows; distances are then 1 - cosine similarity.
        random_state: an int makes fits repeatable.

    Attributes:
        cluster_centers_: `[K, D]`, in the dtype of the data.
        labels_: int32 `[N]`.
        inertia_: sum over rows of weight times squared distance (spherical: twice 1 - cosine similarity).
        n_iter_: iterations of the best start.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _fitted = ("cluster_centers_", "labels_", "inertia_", "n_iter_")

    def __init__(
        self,
        n_clusters=8,
        *,
        init="k-means++",
        n_init="auto",
        max_iter=300,
        tol=1e-4,
        spherical=False,
        random_state=None,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.spherical = spherical
        self.random_state = random_state

    def _units(self):
        return self.cluster_centers_

    def _how(self):
        return {"metric": "cosine" if self.spherical else "euclidean", "missing": False}

    def fit(self, X: np.ndarray, y: Any = None, sample_weight: np.ndarray | None = None) -> Self:
        """Clusters rows `[N, D]`, of weights `[N]` where given.

        Raises:
            ValueError: fewer rows than clusters, or an argument out of its range.
        """
        x = self._rows(X, reset=True)
        n, k = len(x), self.n_clusters
        if n < k:
            raise ValueError(f"n_samples={n} should be >= n_clusters={k}.")
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight is zero for every row")
        frame = frame_of(x, self._how()["metric"])
        rows = frame.into(x)
        # Rows of no weight change nothing but the variance that the tolerance is relative to: they are at the mean.
        # On the sphere they would not be.
        table = rows if self.spherical else padded(rows)
        mass = np.pad(weights / weights.max(), (0, len(table) - n)).astype(np.float32)
        found = kmeans.fit(
            key_of(self.random_state), table, k, init=frame.start(self.init, (k, x.shape[1])), restarts=self._starts(),
            iterations=self.max_iter, tolerance=self.tol * len(table) / n, weights=jnp.asarray(mass),
            spherical=self.spherical,
        )  # fmt: skip
        self.cluster_centers_ = frame.back(found.centers).astype(x.dtype)
        self.labels_, distance = self._nearest(x)
        self.inertia_ = self._inertia(distance, weights)
        self.n_iter_ = int(found.iterations)
        distinct = len(np.unique(self.labels_))
        if distinct < k:
            message = f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({k}). "
            warnings.warn(
                message + "Possibly due to duplicate points in X.", ConvergenceWarning, stacklevel=2
            )
        return self

    def _starts(self) -> int:
        if self.n_init == "auto":
            return 10 if isinstance(self.init, str) and self.init == "random" else 1
        return self.n_init

    def _inertia(self, distance: np.ndarray, weights: np.ndarray) -> float:
        return float(np.sum(weights * (2 * distance if self.spherical else np.square(distance))))

    def fit_predict(self, X, y=None, sample_weight=None) -> np.ndarray:
        """`fit(X).labels_`."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def score(self, X: np.ndarray, y: Any = None, sample_weight: np.ndarray | None = None) -> float:
        """The negative inertia of rows `[N, D]` under the centres: greater is better."""
        check_is_fitted(self)
        x = self._rows(X, reset=False)
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64)
        return -self._inertia(self._nearest(x)[1], weights)
