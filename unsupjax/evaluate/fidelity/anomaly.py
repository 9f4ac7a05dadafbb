"""Anomaly detection by what a method finds strange: its surprise, or else its reconstruction error."""

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.fidelity.reconstruction import strangeness
from unsupjax.evaluate.subject import Subject


def anomaly(subject: Subject) -> dict[str, float]:
    """How well scores of test examples separate anomalies from normal examples.

    The score of an example is the sum of the method's `surprise`, or where it has none `||x - decode(encode(x))||^2`,
    summed over its elements; higher is stranger.

    Args:
        subject: what is judged; its `normal` says which labels normal examples have, and all others are anomalies.

    Returns:
        `anomaly_auroc` (chance: 0.5) and `anomaly_average_precision` (chance: the fraction of anomalies,
        which is `anomaly_fraction`).

    Raises:
        UserError: there are no labels, or it is not said which are normal; no surprise and no decoder, no normal or no
            anomalous test example; the scores are not finite or have collapsed to one value.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, anomalous = anomaly_scores(subject, "anomaly")
    return {
        "anomaly_auroc": float(roc_auc_score(anomalous, scores)),
        "anomaly_average_precision": float(average_precision_score(anomalous, scores)),
        "anomaly_fraction": float(anomalous.mean()),
    }


def anomaly_scores(subject: Subject, user: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the test examples, float32 `[M]`, and whether each is an anomaly, bool `[M]`."""
    y = require.labels(subject.y_test, user)
    anomalous = ~np.isin(y, require.normal(subject.normal, subject.label_names or np.unique(y), user))
    if anomalous.all() or not anomalous.any():
        which = "are anomalies" if anomalous.all() else "are normal"
        raise require.missing(
            user, f"both, and all {len(y)} test examples {which}", "change config.data.normal_label"
        )
    scores = strangeness(subject, user)
    if not np.isfinite(scores).all():
        raise UserError(f"{user}: some scores are not finite; lower the learning rate")
    if np.ptp(scores) <= 1e-6 * scores.max():
        raise UserError(
            f"{user}: the scores of all {len(scores)} test examples have collapsed to one value "
            f"({scores[0]:.6g}), so that they rank nothing; train longer or change the method"
        )
    return scores, anomalous
