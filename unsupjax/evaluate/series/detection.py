"""How well scores of steps tell anomalies of time series from what is normal."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unsupjax.data.windows import Timeline
from unsupjax.errors import UserError, choose
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.series.baselines import BASELINES
from unsupjax.evaluate.series.steps import judged, ranked
from unsupjax.evaluate.subject import Subject
from unsupjax.series.nab import nab_score, records
from unsupjax.series.period import period
from unsupjax.series.vus import volumes


def detection(
    subject: Subject,
    *,
    causal: bool = False,
    buffer: int = 0,
    baselines: tuple = ("isolation_forest", "neighbours", "pca", "smoothed_z"),
) -> dict[str, float]:
    """How well a method's scores of steps separate anomalous steps from normal ones, beside simple detectors'.

    Every step of every series is scored, those of the training part too. Nothing is adjusted: a step counts as found
    where its own score says so, and no threshold but those of `best_f1` and `nab_standard`, which say what could be
    reached, is chosen on labels.

    Args:
        subject: what is judged; its data are series.
        causal: scores as they were known at a step; or averages over all windows that hold it.
        buffer: the greatest width of VUS; 0: the period of a series' first channel, 125 without one.
        baselines: simple detectors on the same windows: "isolation_forest", "neighbours" (the nearest training window),
            "pca", "smoothed_z".

    Returns:
        Means over the series with anomalies: `vus_pr`, `vus_roc` (`unsupjax.series.vus`), `ap` (average precision),
        `auroc`, `best_f1` (of steps, at the best threshold, without point adjustment), `anomaly_fraction`; over all
        series `nab_standard` (`unsupjax.series.nab`, of scores as they were known at a step, where a detection is a
        step with the greatest score of the last W; left out where no anomaly is scored); and all of them as
        `NAME_BASELINE`, with `random` beside.

    Raises:
        UserError: no series or no labels; scores that are not finite, or are all equal.
    """
    found = judged(subject, "detection", causal=causal)
    timeline = found.split.timeline
    if timeline.labels is None:
        raise UserError("config.evaluate.run: 'detection' needs labels, and the series have none")
    if np.ptp(found.scores) <= 1e-9 * max(np.abs(found.scores).max(), 1e-30):
        raise UserError("detection: the scores of all steps have collapsed to one value; train longer")
    tell = _measures(found.split.series, timeline, buffer, found.split.length)
    at_once = judged(subject, "detection", causal=True).scores
    results = tell(found.scores, at_once)
    random = np.random.default_rng(0).random(len(found.scores))
    for name in (*baselines, "random"):
        late, early = (random, random) if name == "random" else map(ranked, BASELINES[name](found.split))
        results |= {f"{key}_{name}": v for key, v in tell(early if causal else late, early).items()}
    fraction = float(np.mean([timeline.labels[a:b].mean() for a, b in timeline.spans()]))
    return results | {"anomaly_fraction": fraction}


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses baselines that there are not, and a buffer below 0."""
    del facts
    for name in arguments["baselines"]:
        choose("config.evaluate.detection.baselines", name, BASELINES)
    if arguments["buffer"] < 0:
        raise UserError(
            f"config.evaluate.detection.buffer={arguments['buffer']} must be 0 (the period) or more"
        )


def _measures(series: np.ndarray, timeline: Timeline, buffer: int, width: int) -> Callable:
    """`(scores [T], those known at once [T]) -> measures`, means over the series that have anomalies."""
    spans = [
        (a, b) for a, b in timeline.spans() if timeline.labels[a:b].any() and not timeline.labels[a:b].all()
    ]
    if not spans:
        raise UserError("detection: no series has both, anomalous steps and normal ones")
    buffers = [buffer or period(series[a:b, 0]) for a, b in spans]

    def tell(scores: np.ndarray, at_once: np.ndarray) -> dict[str, float]:
        each = [
            of_series(scores[a:b], timeline.labels[a:b], w) for (a, b), w in zip(spans, buffers, strict=True)
        ]
        results = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        parts = timeline.spans()
        try:
            found = [records(at_once[a:b], width) for a, b in parts]
            nab = nab_score(found, [timeline.labels[a:b] for a, b in parts])
        except UserError:
            return results
        return results | {"nab_standard": nab}

    return tell


def of_series(scores: np.ndarray, labels: np.ndarray, buffer: int) -> dict[str, float]:
    """The measures of one series."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    volume = volumes(scores, labels, buffer)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {
        "vus_pr": volume.pr,
        "vus_roc": volume.roc,
        "ap": float(average_precision_score(labels, scores)),
        "auroc": float(roc_auc_score(labels, scores)),
        "best_f1": float(f1.max()),
    }
