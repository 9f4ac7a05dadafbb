"""Anomaly detection in tables, as a scikit-learn estimator."""

from typing import Any, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from unsupjax import methods
from unsupjax.errors import UserError
from unsupjax.estimators.coders import adam, mlps
from unsupjax.estimators.network import Network


def _denoising(shape, steps, hidden, latent_dim, activation, level, learning_rate):
    return methods.denoising(
        *mlps(shape, hidden, activation),
        adam(learning_rate, steps),
        latent_dim=latent_dim,
        corruption="gaussian",
        level=level,
        code_activation="identity",
        likelihood="squared_error",
    )


class AnomalyDetector(OutlierMixin, Network):
    """A denoising autoencoder, whose squared error of reconstruction says how abnormal a row is.

    The defaults are those of `configs/anomaly.py`. Fit it to normal rows, or to rows of which few are abnormal. Scores
    are scikit-learn's: the lower the more abnormal, and `predict` gives 1 for an inlier and -1 for an outlier. PyOD has
    the opposite sign: its `decision_function` is `-score_samples(X)` here, and its labels are 0 and 1 for an outlier,
    `predict(X) == -1` here.

    Args:
        latent_dim: the numbers of a code.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of hidden layers: "relu", "tanh", "gelu", ...
        level: the standard deviation of the noise, in that of a column.
        contamination: the share of the fitted rows that are called outliers, in (0, 0.5]: it moves `offset_` alone.
        learning_rate: of Adam; it falls to 0 as a cosine does.
        max_iter: gradient steps; None: 100 passes over the rows, but 500 to 5000 steps.
        batch_size: rows in a step; where there are fewer rows, the power of two below.
        standardise: rows are seen with mean 0 and deviation 1 of each column.
        random_state: an int makes fits repeatable.

    Attributes:
        offset_: the score below which a row is an outlier.
        state_, mean_, scale_, seed_, n_iter_, loss_curve_: as `AutoEncoder` has them.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _fitted = (*Network._fitted, "offset_")
    _make = staticmethod(_denoising)

    def __init__(
        self,
        latent_dim=16,
        *,
        hidden=(1024,),
        activation="tanh",
        level=0.1,
        contamination=0.1,
        learning_rate=2e-3,
        max_iter=150,
        batch_size=128,
        standardise=True,
        random_state=None,
    ):
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.activation = activation
        self.level = level
        self.contamination = contamination
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.standardise = standardise
        self.random_state = random_state

    def _settings(self):
        names = ("hidden", "latent_dim", "activation", "level", "learning_rate")
        return {name: getattr(self, name) for name in names}

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Learns what rows `[N, D]` are like.

        Raises:
            ValueError: an argument out of its range, or a loss that diverges.
        """
        if not 0 < self.contamination <= 0.5:
            raise UserError(f"contamination must be in (0, 0.5], got: {self.contamination}")
        x = self._rows(X, reset=True)
        self._fit(x)
        self.offset_ = float(np.percentile(self._scores(self._seen(x)), 100 * self.contamination))
        return self

    def _scores(self, seen: np.ndarray) -> np.ndarray:
        return -self._apply("error", seen).astype(np.float64)

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        r""":math:`-\|x - \hat x\|^2` of each row `[N, D]` as the network sees it, float64 `[N]`."""
        check_is_fitted(self)
        return self._scores(self._inputs(X)[0])

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """`score_samples(X) - offset_`, float64 `[N]`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: np.ndarray) -> np.ndarray:
        """1 for each inlier and -1 for each outlier among rows `[N, D]`: int `[N]`."""
        return np.where(self.decision_function(X) < 0, -1, 1)
