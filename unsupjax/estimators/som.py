"""Self-organizing maps as a scikit-learn estimator."""

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from sklearn.utils.validation import check_is_fitted

from unsupjax import som
from unsupjax.estimators.base import Codebook, frame_of, key_of

_SOM = (
    "epochs",
    "batch_size",
    "neighbourhood",
    "start_radius",
    "end_radius",
    "decay",
    "start_rate",
    "end_rate",
)
_SOM += ("metric", "missing")


class SOM(Codebook):
    """`som.fit`: a self-organizing map.

    Args:
        height, width, topology, toroidal: of the grid, as `som.Grid` has them; K = height width.
        epochs, batch_size, init, neighbourhood, start_radius, end_radius, decay, start_rate, end_rate, metric: as
            `som.fit` has them.
        missing: NaN entries were not observed: distances and updates leave them out.
        random_state: an int makes fits repeatable.

    Attributes:
        codebook_: `[K, D]`, in the dtype of the data; unit r * width + c is that of row r, column c.
        labels_: the best unit of each row, int32 `[N]`.
        errors_: quantization error during each epoch, float64 `[epochs]`.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _fitted = ("codebook_", "labels_", "errors_")

    def __init__(
        self,
        height=10,
        width=10,
        *,
        topology="rectangular",
        toroidal=False,
        epochs=10,
        batch_size=0,
        init="pca",
        neighbourhood="gaussian",
        start_radius=0.0,
        end_radius=1.0,
        decay="linear",
        start_rate=0.5,
        end_rate=0.01,
        metric="euclidean",
        missing=False,
        random_state=None,
    ):
        self.height = height
        self.width = width
        self.topology = topology
        self.toroidal = toroidal
        self.epochs = epochs
        self.batch_size = batch_size
        self.init = init
        self.neighbourhood = neighbourhood
        self.start_radius = start_radius
        self.end_radius = end_radius
        self.decay = decay
        self.start_rate = start_rate
        self.end_rate = end_rate
        self.metric = metric
        self.missing = missing
        self.random_state = random_state

    def _units(self):
        return self.codebook_

    def _how(self):
        return {"metric": self.metric, "missing": self.missing}

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Trains a map on rows `[N, D]`.

        Raises:
            ValueError: an argument that is none of the choices, or does not fit.
        """
        x = self._rows(X, reset=True)
        frame = frame_of(x, self.metric)
        grid = som.Grid(self.height, self.width, self.topology, self.toroidal)
        init = frame.start(self.init, (grid.units, x.shape[1]))
        taken = {name: value for name, value in self.get_params(deep=False).items() if name in _SOM}
        found = som.fit(key_of(self.random_state), jnp.asarray(frame.into(x)), grid, init=init, **taken)
        self.codebook_ = frame.back(found.map.codebook).astype(x.dtype)
        self.errors_ = np.asarray(found.errors, np.float64) / frame.scale
        self.labels_ = self._nearest(x)[0]
        return self

    @property
    def map_(self) -> som.Map:
        """The `som.Map`, for the functions of `som`; float32."""
        grid = som.Grid(self.height, self.width, self.topology, self.toroidal)
        return som.Map(jnp.asarray(self.codebook_, jnp.float32), grid, self.metric)

    def score(self, X: np.ndarray, y: Any = None) -> float:
        """The negative quantization error of rows `[N, D]`, their mean distance to their best units."""
        check_is_fitted(self)
        return -float(self._nearest(self._rows(X, reset=False))[1].mean())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(self.missing)
        return tags
