"""How much of the labels a linear classifier reads from frozen codes."""

import jax
import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject


def linear_probe(
    subject: Subject,
    *,
    cs: tuple = (1.0,),
    validation: float = 0.1,
    standardize: bool = True,
    max_iter: int = 1000,
) -> dict[str, float]:
    """Test accuracy of multinomial logistic regression on the codes (scikit-learn's, L-BFGS).

    Where `cs` has several entries, each is fitted on all but a slice of the training set, the most accurate
    on that slice is chosen (the smaller C on a tie) and fitted again on all. The test set chooses nothing.

    Args:
        subject: what is judged.
        cs: inverse strengths C of the L2 penalty: `sum_i loss_i + ||W||^2 / (2 C)`.
        validation: fraction of the training set that chooses C; unused where `cs` has one entry.
        standardize: subtract the training mean and divide by the training standard deviation of each feature; of frozen
            codes that is batch norm without scale and shift, as He et al. put it before the classifier ("Masked
            autoencoders are scalable vision learners", CVPR 2022).
        max_iter: limit on L-BFGS iterations; scikit-learn warns where it is reached.

    Returns:
        `linear_probe_accuracy`, `linear_probe_error` (fractions of the test set) and `linear_probe_c`.

    Raises:
        UserError: there are no labels, or fewer than two classes; `cs` is empty or not positive.
    """
    from sklearn.linear_model import LogisticRegression

    y_train, y_test = (require.labels(y, "linear_probe") for y in (subject.y_train, subject.y_test))
    if not cs or min(cs) <= 0:
        raise UserError(f"linear_probe: cs={cs} must be one or more positive numbers")
    z_train, z_test = subject.z_train, subject.z_test
    if standardize:
        z_train, z_test = standardized(z_train, z_test)

    def fitted(c, rows):
        return LogisticRegression(C=c, max_iter=max_iter).fit(z_train[rows], y_train[rows])

    order = np.asarray(jax.random.permutation(subject.key, len(y_train)))
    c = sorted(cs)[0]
    if len(cs) > 1:
        held_out, rest = np.split(order, [max(1, int(validation * len(order)))])
        if len(np.unique(y_train[rest])) < 2:
            raise UserError(f"linear_probe: validation={validation} leaves one class to fit; lower it")
        c = max(sorted(cs), key=lambda c: fitted(c, rest).score(z_train[held_out], y_train[held_out]))
    accuracy = fitted(c, slice(None)).score(z_test, y_test)
    return {"linear_probe_accuracy": accuracy, "linear_probe_error": 1 - accuracy, "linear_probe_c": float(c)}


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays `[N, D]` with each feature at mean 0 and standard deviation 1 over `train`.

    A feature that is constant over `train` is only centred. float32 in, float32 out.
    """
    mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(1e-6, np.abs(mean)), std, 1.0)
    return tuple(((z - mean) / std).astype(train.dtype) for z in (train, test))
