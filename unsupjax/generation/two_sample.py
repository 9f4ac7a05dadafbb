"""The classifier two-sample test: can two sets be told apart?"""

import warnings
from typing import NamedTuple

import numpy as np

from unsupjax.generation.pairs import pair


def _logistic(seed: int):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))


def _boosting(seed: int):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


CLASSIFIERS = {"logistic": _logistic, "boosting": _boosting}


class C2ST(NamedTuple):
    """What `c2st` finds: 0.5 where the classifier cannot tell the sets apart, 1 where it always can."""

    auc: float
    accuracy: float


def c2st(
    x: np.ndarray, y: np.ndarray, *, classifier: str = "logistic", folds: int = 5, seed: int = 0
) -> C2ST:
    """Area under the ROC curve and accuracy, on held-out folds, of a classifier of one set against the other.

    About 0.5 for two samples of one distribution, near 1 for sets that lie apart. It shows what the classifier can
    see: logistic regression sees shifts of the mean along a direction, and so belongs on features; boosted
    trees see every difference in the distribution of a few columns, and so belong on tables. Rows that are
    in both sets, in different folds, bring it below 0.5.

    Args:
        x: `[N, D]`.
        y: `[M, D]`; the two may be swapped.
        classifier: "logistic", scikit-learn's regression after standardising each feature, or "boosting", its
            histogram gradient boosting.
        folds: of the cross-validation.
        seed: of the folds and of "boosting".

    Returns:
        means over folds; the accuracy is that of x and that of y averaged, and so 0.5 by chance whatever N and M.

    Raises:
        ValueError: no tables of finite numbers, another D, fewer rows in a set than folds, no such classifier.

    Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold, cross_validate

    if classifier not in CLASSIFIERS:
        raise ValueError(f"c2st: {classifier=} is none of {', '.join(CLASSIFIERS)}")
    if folds < 2:
        raise ValueError(f"c2st: {folds=} must be at least 2")
    x, y = pair(x, y, f"c2st with {folds} folds", least=folds)
    rows, is_y = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    with warnings.catch_warnings():
        # A fit that was cut short is judged as it is: on held-out rows.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_validate(
            CLASSIFIERS[classifier](seed),
            rows,
            is_y,
            cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
            scoring=("roc_auc", "balanced_accuracy"),
        )
    return C2ST(*(float(scores[f"test_{name}"].mean()) for name in ("roc_auc", "balanced_accuracy")))
