"""How much of the labels a linear classifier reads from frozen codes."""

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.representation.labelled import labelled, suffix
from unsupjax.evaluate.subject import Subject


def linear_probe(
    subject: Subject,
    *,
    fractions: tuple = (1.0,),
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
        fractions: of the training labels that are used, each in a probe of its own; as of `fine_tune`.
        cs: inverse strengths C of the L2 penalty: `sum_i loss_i + ||W||^2 / (2 C)`.
        validation: fraction of the training set that chooses C; unused where `cs` has one entry.
        standardize: subtract the training mean and divide by the training standard deviation of each feature; of frozen
            codes that is batch norm without scale and shift, as He et al. put it before the classifier ("Masked
            autoencoders are scalable vision learners", CVPR 2022).
        max_iter: limit on L-BFGS iterations; scikit-learn warns where it is reached.

    Returns:
        `linear_probe_accuracy`, `linear_probe_error` (fractions of the test set) and `linear_probe_c`; with `_{f}`
        appended for a fraction or number f of labels, as in `linear_probe_accuracy_0.05`.

    Raises:
        UserError: there are no labels, or fewer than two classes; `cs` is empty or not positive; `fractions` is as
            `fine_tune` does not take it.
    """
    y_train, y_test = (require.labels(y, "linear_probe") for y in (subject.y_train, subject.y_test))
    if not cs or min(cs) <= 0:
        raise UserError(f"linear_probe: cs={cs} must be one or more positive numbers")
    z_train, z_test = np.asarray(subject.z_train), np.asarray(subject.z_test)
    if standardize:
        z_train, z_test = standardized(z_train, z_test)

    results = {}
    for f, rows in labelled(subject, fractions, "linear_probe").items():
        model = _fitted(z_train[rows], y_train[rows], sorted(cs), validation, max_iter)
        accuracy = model.score(z_test, y_test)
        scores = {"accuracy": accuracy, "error": 1 - accuracy, "c": float(model.C)}
        results |= {f"linear_probe_{name}" + suffix(f): x for name, x in scores.items()}
    return results


def _fitted(z: np.ndarray, y: np.ndarray, cs: list[float], validation: float, max_iter: int):
    """The classifier of the best C, of codes in random order."""
    from sklearn.linear_model import LogisticRegression

    fit = lambda c, part: LogisticRegression(C=c, max_iter=max_iter).fit(z[part], y[part])
    if len(cs) == 1:
        return fit(cs[0], slice(None))
    n = max(1, int(validation * len(y)))
    if len(np.unique(y[n:])) < 2:
        raise UserError(f"linear_probe: validation={validation} leaves one class to fit; lower it")
    return fit(max(cs, key=lambda c: fit(c, slice(n, None)).score(z[:n], y[:n])), slice(None))


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays `[N, D]` with each feature at mean 0 and standard deviation 1 over `train`.

    A feature that is constant over `train` is only centred. float32 in, float32 out.
    """
    mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(1e-6, np.abs(mean)), std, 1.0)
    return tuple(((z - mean) / std).astype(train.dtype) for z in (train, test))
