"""Anomaly detection by reconstruction error."""

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.fidelity.reconstruction import squared_errors
from unsupjax.evaluate.subject import Subject


def anomaly(subject: Subject, *, normal_label: int = 0) -> dict[str, float]:
    """How well the reconstruction error of test examples separates anomalies from normal examples.

    The score of an example is `||x - decode(encode(x))||^2`, summed over its elements; higher is stranger.

    Args:
        subject: what is judged.
        normal_label: the label of normal examples; all other labels are anomalies.

    Returns:
        `anomaly_auroc` (chance: 0.5) and `anomaly_average_precision` (chance: the fraction of anomalies,
        which is `anomaly_fraction`).

    Raises:
        UserError: there are no labels, no decoder, no normal or no anomalous test example; the scores are not
            finite or have collapsed to one value.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, anomalous = anomaly_scores(subject, normal_label, "anomaly")
    return {
        "anomaly_auroc": float(roc_auc_score(anomalous, scores)),
        "anomaly_average_precision": float(average_precision_score(anomalous, scores)),
        "anomaly_fraction": float(anomalous.mean()),
    }


def anomaly_scores(subject: Subject, normal_label: int, user: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the test examples, float32 `[M]`, and whether each is an anomaly, bool `[M]`."""
    anomalous = require.labels(subject.y_test, user) != normal_label
    if anomalous.all():
        present = ", ".join(str(y) for y in np.unique(subject.y_test)[:20])
        raise UserError(f"{user}: {normal_label=} is not among the test labels; choose from {present}")
    scores = squared_errors(subject, user)
    if not np.isfinite(scores).all():
        raise UserError(f"{user}: some reconstruction errors are not finite; lower the learning rate")
    if np.ptp(scores) <= 1e-6 * scores.max():
        raise UserError(
            f"{user}: the scores of all {len(scores)} test examples have collapsed to one value "
            f"({scores[0]:.6g}), so that they rank nothing; train longer or change the method"
        )
    return scores, anomalous
