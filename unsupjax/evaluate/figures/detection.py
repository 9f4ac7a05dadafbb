"""Anomaly scores."""

from pathlib import Path

import numpy as np

from unsupjax.evaluate.fidelity.anomaly import anomaly_scores
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.subject import Subject


def scores(subject: Subject, path: str | Path) -> None:
    """Draw how the anomaly scores of normal and anomalous test examples are distributed, and their ROC curve.

    Scores as in the evaluator `anomaly`; the bars of either class add up to 1.

    Args:
        subject: what is shown.
        path: the PNG to write.

    Raises:
        UserError: as `anomaly`.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    values, anomalous = anomaly_scores(subject, "scores")
    figure = style.new_figure(9.4, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _histogram(left, values, anomalous)
    false_positive, true_positive, _ = roc_curve(anomalous, values)
    label = f"AUROC {roc_auc_score(anomalous, values):.3f}"
    right.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="chance")
    right.plot(false_positive, true_positive, color=style.PALETTE[0], linewidth=2, label=label)
    style.polish(right, "ROC curve", "false positive rate", "true positive rate")
    right.legend(frameon=False, fontsize=9, loc="lower right")
    right.set_box_aspect(1)
    style.save(figure, path)


def _histogram(ax, values: np.ndarray, anomalous: np.ndarray) -> None:
    """Both classes over the same 40 bins, as fractions of their class."""
    log = style.spans_decades(values)
    edges = np.geomspace if log else np.linspace
    bins = edges(values.min(), values.max(), 41)
    blue, red = style.PALETTE[0], style.PALETTE[2]
    for chosen, name, colour in ((~anomalous, "normal", blue), (anomalous, "anomaly", red)):
        weights = np.full(chosen.sum(), 1 / chosen.sum())
        label = f"{name} (n = {chosen.sum():,})"
        ax.hist(values[chosen], bins, weights=weights, color=colour, alpha=0.6, label=label)
    if log:
        ax.set_xscale("log")
    style.polish(ax, "Anomaly scores", "score of an example", "fraction of its class")
    ax.legend(frameon=False, fontsize=9)
