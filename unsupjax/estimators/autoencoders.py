"""Autoencoders, variational or not, as scikit-learn estimators."""

from typing import Any

import jax
import numpy as np
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from unsupjax import methods
from unsupjax.errors import UserError
from unsupjax.estimators.coders import Coder, adam, mlps

_SAMPLES = 256  # that are drawn at once
_DRAWS = 16  # of the latent, for a likelihood


class _Decoding:
    def inverse_transform(self, X: np.ndarray) -> np.ndarray:
        """The rows that codes `[N, K]` stand for: `[N, D]`, in the units and the dtype of the rows that were fitted."""
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float32)
        if codes.shape[1] != self.latent_dim:
            raise UserError(
                f"codes of {codes.shape[1]} numbers, and those of this one have {self.latent_dim}"
            )
        return self._restored(self._apply("decode", codes))


def _autoencoder(shape, steps, hidden, latent_dim, activation, likelihood, learning_rate):
    networks, tx = mlps(shape, hidden, activation), adam(learning_rate, steps)
    return methods.autoencoder(*networks, tx, latent_dim=latent_dim, likelihood=likelihood)


class AutoEncoder(_Decoding, Coder):
    """`methods.autoencoder` of dense layers: codes of rows, and rows of codes.

    Args:
        latent_dim: K, the numbers of a code.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of hidden layers: "relu", "tanh", "gelu", ...
        likelihood: "squared_error", or "bernoulli" for rows in [0, 1] with `standardise=False`.
        learning_rate: of Adam; over a `fit` it falls to 0 as a cosine does.
        max_iter: gradient steps of a `fit`; None: 100 passes over the rows, but 500 to 5000 steps.
        batch_size: rows in a step; where there are fewer rows, the power of two below.
        standardise: rows are seen with mean 0 and deviation 1 of each column.
        random_state: an int makes fits repeatable.

    Attributes:
        state_: all that was learnt and the optimizer's state, uint32 `[M]`, 32-bit words: nothing but numpy arrays is
            held, pickled or written.
        mean_, scale_: of each column, `[D]`.
        seed_: that everything random follows from.
        n_iter_: gradient steps taken.
        loss_curve_: the loss of each, float32 `[n_iter_]`.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    _make = staticmethod(_autoencoder)

    def __init__(
        self,
        latent_dim=16,
        *,
        hidden=(128,),
        activation="relu",
        likelihood="squared_error",
        learning_rate=3e-3,
        max_iter=None,
        batch_size=128,
        standardise=True,
        random_state=None,
    ):
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.standardise = standardise
        self.random_state = random_state

    def _settings(self):
        names = ("hidden", "latent_dim", "activation", "likelihood", "learning_rate")
        return {name: getattr(self, name) for name in names}


def _vae(shape, steps, hidden, latent_dim, activation, likelihood, learning_rate, beta, scale):
    networks, tx = mlps(shape, hidden, activation), adam(learning_rate, steps)
    return methods.vae(*networks, tx, latent_dim=latent_dim, likelihood=likelihood, beta=beta, scale=scale)


class VAE(_Decoding, Coder):
    """`methods.vae` of dense layers: codes, rows of codes, new rows, and how likely rows are.

    Args:
        latent_dim: K, the numbers of a code, which is the mean of its posterior.
        hidden, activation, learning_rate, max_iter, batch_size, standardise, random_state: as `AutoEncoder` has them.
        likelihood: "gaussian", or "bernoulli" for rows in [0, 1] with `standardise=False`.
        scale: the standard deviation of the Gaussian likelihood, in that of a column: the smaller, the more codes tell.
        beta: the weight of the KL divergence; 1 is the evidence lower bound.

    Attributes: those of `AutoEncoder`.
    """

    _make = staticmethod(_vae)

    def __init__(
        self,
        latent_dim=8,
        *,
        hidden=(128,),
        activation="relu",
        likelihood="gaussian",
        scale=0.5,
        beta=1.0,
        learning_rate=1e-3,
        max_iter=None,
        batch_size=128,
        standardise=True,
        random_state=None,
    ):
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.scale = scale
        self.beta = beta
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.standardise = standardise
        self.random_state = random_state

    def _settings(self):
        names = ("hidden", "latent_dim", "activation", "likelihood", "learning_rate", "beta", "scale")
        return {name: getattr(self, name) for name in names}

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New rows `[n_samples, D]`, in the units and the dtype of those that were fitted.

        Each is the mean of p(x | z) for a z of the prior.

        Args:
            n_samples: how many.
            random_state: an int makes them repeatable; None: others at each call.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise UserError(f"n_samples={n_samples} must be at least 1")
        key = jax.random.key(check_random_state(random_state).randint(2**31 - 1))
        found = self._programs()
        state, batches = self._state(found), range(-(-n_samples // _SAMPLES))
        rows = [np.asarray(found.sample(state, jax.random.fold_in(key, i), _SAMPLES)) for i in batches]
        return self._restored(np.concatenate(rows)[:n_samples])

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """A lower bound on the log-density of rows `[N, D]` in their own units, nats, float64 `[N]`.

        The importance-weighted bound of 16 draws, the same for every row. Of rows in [0, 1] with likelihood
        "bernoulli" it is that of the log-probability.
        """
        seen, _ = self._inputs(X)
        key = jax.random.key(self.seed_)
        bound = self._apply("log_prob", seen, key, _DRAWS).astype(np.float64)
        return bound - np.log(self.scale_.astype(np.float64)).sum()

    def score(self, X: np.ndarray, y: Any = None) -> float:
        """The mean of `score_samples`: greater is better."""
        return float(self.score_samples(X).mean())
