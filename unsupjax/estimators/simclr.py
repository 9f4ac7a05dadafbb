"""SimCLR as a scikit-learn transformer: of rows, and of rows that are pictures."""

import math

from unsupjax import methods, models
from unsupjax.augment import POLICIES
from unsupjax.errors import UserError, choose
from unsupjax.estimators.coders import Coder, adam


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
