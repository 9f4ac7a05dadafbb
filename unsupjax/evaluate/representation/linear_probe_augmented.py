"""A linear classifier fitted on codes of random crops and flips as well."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.augment import random_resized_crop
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.representation.linear_probe import standardized
from unsupjax.evaluate.subject import Subject, lasting, map_batches


def linear_probe_augmented(
    subject: Subject,
    *,
    views: int = 4,
    area: tuple = (0.08, 1.0),
    aspect: tuple = (3 / 4, 4 / 3),
    flip: float = 0.5,
    c: float = 1.0,
    standardize: bool = True,
    max_iter: int = 1000,
) -> dict[str, float]:
    """Test accuracy of `linear_probe` fitted on random crops and flips of the training images as well.

    Each training image gives 1 + views codes, its own and those of its crops, which share its weight equally, so
    that C means what it means there. Test images are taken as they are.

    Args:
        subject: what is judged.
        views: random crops of each training image, scaled back to its size; memory and time grow with it.
        area: smallest and largest area of a crop, as a fraction of the image's.
        aspect: smallest and largest ratio of a crop's width to its height.
        flip: probability that a crop is mirrored left to right; 0 where that changes the class, as with digits.
        c: inverse strength C of the L2 penalty.
        standardize: subtract the mean and divide by the standard deviation of each feature over all those codes.
        max_iter: limit on L-BFGS iterations; scikit-learn warns where it is reached.

    Returns:
        `linear_probe_augmented_accuracy` and `linear_probe_augmented_error`, fractions of the test set.

    Raises:
        UserError: there are no labels, or fewer than two classes; the inputs are no images; an argument is
            out of range.
    """
    from sklearn.linear_model import LogisticRegression

    y_train, y_test = (require.labels(y, "linear_probe_augmented") for y in (subject.y_train, subject.y_test))
    require.images(subject.x_train, "linear_probe_augmented")
    if views < 1 or not 0 <= flip <= 1 or c <= 0:
        raise UserError(f"linear_probe_augmented: {views=} must be above 0, {flip=} in [0, 1], {c=} above 0")
    if not (0 < area[0] <= area[1] <= 1 and 0 < aspect[0] <= aspect[1]):
        raise UserError(f"linear_probe_augmented: {area=} must ascend in (0, 1], and {aspect=} above 0")
    cropped = cropped_codes(subject, views, area, aspect, flip)
    z_train, z_test = np.concatenate([subject.z_train, cropped]), np.asarray(subject.z_test)
    if standardize:
        z_train, z_test = standardized(z_train, z_test)
    model = LogisticRegression(C=c / (1 + views), max_iter=max_iter)
    accuracy = model.fit(z_train, np.tile(y_train, 1 + views)).score(z_test, y_test)
    return {"linear_probe_augmented_accuracy": accuracy, "linear_probe_augmented_error": 1 - accuracy}


def cropped_codes(subject: Subject, views: int, area: tuple, aspect: tuple, flip: float) -> np.ndarray:
    """Codes of one random crop of each training image, then of another of each, ...: `[views * N, D]`."""
    x, code = subject.x_train, _cropped_code(subject.method.encode, tuple(area), tuple(aspect), flip)
    keys = jax.random.split(subject.key, views)
    return np.concatenate(
        [map_batches(code, (np.arange(len(x)), x), 512, subject.state, key) for key in keys]
    )


@lasting
def _cropped_code(encode: Callable, area: tuple, aspect: tuple, flip: float) -> Callable:
    def crop(key, image):
        return random_resized_crop(key, image, image.shape[:2], area=area, aspect=aspect, flip=flip)

    def code(state, key, batch):
        index, images = batch
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
        return encode(state, jax.vmap(crop)(keys, images)).astype(jnp.float32)

    return code
