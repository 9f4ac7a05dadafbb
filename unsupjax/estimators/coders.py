"""What makes codes of rows, as scikit-learn transformers, and the parts of its networks."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from unsupjax import models, optimizers
from unsupjax.estimators.network import Network


def adam(rate: float, steps: int):
    """Adam, whose learning rate falls to 0 over so many steps; 0: it is constant."""
    schedule = optimizers.SCHEDULES["cosine" if steps else "constant"](rate, steps)
    return optimizers.OPTIMIZERS["adam"](schedule)


def mlps(shape, hidden, activation):
    """An encoder of dense layers and the decoder that mirrors it."""
    encoder = models.MLPEncoder(features=hidden, activation=activation)
    return encoder, models.MLPDecoder(shape=shape, features=hidden[::-1], activation=activation)


class Coder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Network):
    """What makes codes of rows: `fit`, `partial_fit` and `transform`."""

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Trains a new network on rows `[N, D]`; the learning rate falls to 0.

        Raises:
            ValueError: rows that the method cannot take, an argument out of its range, or a loss that diverges.
        """
        return self._fit(self._rows(X, reset=True))

    def partial_fit(self, X: np.ndarray, y: Any = None) -> Self:
        """One pass over rows `[N, D]` at the constant learning rate, from where the last call or `fit` left off.

        The first call fixes the standardisation: later rows are seen by its means and deviations.
        """
        first = not hasattr(self, "state_")
        x = self._rows(X, reset=first)
        if first:
            self._begin(x)
        return self._train(x, -(-len(x) // self._batch(len(x))), 0)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """The codes of rows `[N, D]`: `[N, K]`, in the dtype of X."""
        seen, dtype = self._inputs(X)
        return self._apply("encode", seen).astype(dtype)

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
