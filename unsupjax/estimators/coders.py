"""Networks that make codes of rows, as scikit-learn transformers."""

import math
from typing import Any, Self

import jax
import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from unsupjax import methods, models, optimizers
from unsupjax.augment import POLICIES
from unsupjax.errors import UserError, choose
from unsupjax.estimators.network import Network

_SAMPLES = 256  # that are drawn at once
_DRAWS = 16  # of the latent, for a likelihood


def adam(rate: float, steps: int):
    """Adam, whose learning rate falls to 0 over so many steps; 0: it is constant."""
    schedule = optimizers.SCHEDULES["cosine" if steps else "constant"](rate, steps)
    return optimizers.OPTIMIZERS["adam"](schedule)


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


def mlps(shape, hidden, activation):
    """An encoder of dense layers and the decoder that mirrors it."""
    encoder = models.MLPEncoder(features=hidden, activation=activation)
    return encoder, models.MLPDecoder(shape=shape, features=hidden[::-1], activation=activation)


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


def _simclr(shape, steps, hidden, projection, rate, augment, temperature, learning_rate):
    if len(shape) == 3:
        encoder, projector = models.CNN(features=hidden), models.ProjectionHead(projection)
        views = choose("augment", augment, POLICIES)(shape)
    else:
        encoder, projector = (
            models.MLPEncoder(features=hidden),
            models.ProjectionHead(projection, batch_norm=False),
        )
        views = POLICIES["scarf"](shape, rate=rate)
    return methods.simclr(
        encoder, projector, adam(learning_rate, steps), augment=views, temperature=temperature
    )


class SimCLR(Coder):
    """`methods.simclr`: codes in which two views of a row, or of a picture, agree. Of new rows it needs no views.

    A view of a row is a copy in which some columns are those of other rows (SCARF). With `image_shape` each row is a
    picture, and its views are crops, turns and changes of contrast.

    Args:
        hidden: widths of the encoder's layers, of which the last is K, the numbers of a code; of pictures, channels of
            its convolutions. None: (256, 256), of pictures (32, 64, 128).
        projection: widths of the projector, which training alone uses.
        image_shape: (H, W, C), where each row is a picture with values in [0, 1]; None: rows of a table.
        augment: the views of pictures, a name of `unsupjax.augment.POLICIES`; None: "glyphs" for one channel, else
            "simclr".
        corruption_rate: the probability that a column of a row is replaced; not of pictures.
        temperature: of the softmax over cosine similarities; None: 1.0, of pictures 0.2.
        learning_rate, max_iter, batch_size, standardise, random_state: as `AutoEncoder` has them; pictures are seen as
            they are.

    Attributes: those of `AutoEncoder`.
    """

    _make = staticmethod(_simclr)

    def __init__(
        self,
        hidden=None,
        *,
        projection=(256, 256),
        image_shape=None,
        augment=None,
        corruption_rate=0.6,
        temperature=None,
        learning_rate=1e-3,
        max_iter=None,
        batch_size=128,
        standardise=True,
        random_state=None,
    ):
        self.hidden = hidden
        self.projection = projection
        self.image_shape = image_shape
        self.augment = augment
        self.corruption_rate = corruption_rate
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.standardise = standardise
        self.random_state = random_state

    def _settings(self):
        pictures = self.image_shape is not None
        augment = self.augment or ("glyphs" if pictures and self.image_shape[-1] == 1 else "simclr")
        temperature = (0.2 if pictures else 1.0) if self.temperature is None else self.temperature
        return {
            "hidden": self._widths,
            "projection": self.projection,
            "rate": self.corruption_rate,
            "augment": augment,
            "temperature": temperature,
            "learning_rate": self.learning_rate,
        }

    def _shape(self, features):
        return (features,) if self.image_shape is None else tuple(self.image_shape)

    @property
    def _scales(self):
        return self.standardise and self.image_shape is None

    def _begin(self, x):
        if self.image_shape is not None and math.prod(self.image_shape) != x.shape[1]:
            raise UserError(
                f"image_shape={self.image_shape} has not the {x.shape[1]} numbers of a row; change it"
            )
        super()._begin(x)

    def _check(self, rows, method):
        if len(rows) < 2:
            raise UserError("SimCLR tells each row from others: give at least 2, and not n_samples=1")
        if self.image_shape is not None and not 0 <= rows.min() <= rows.max() <= 1:
            raise UserError(
                f"pictures have values in [0, 1], and these reach from {rows.min():.3g} to {rows.max():.3g}; divide "
                "them by the value of white"
            )

    @property
    def _widths(self):
        if self.hidden is None:
            return (256, 256) if self.image_shape is None else (32, 64, 128)
        return tuple(self.hidden)

    @property
    def _n_features_out(self):
        return self._widths[-1]
