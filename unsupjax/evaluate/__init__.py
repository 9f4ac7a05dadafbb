"""Judging a trained method through `encode`, `decode`, `sample` and `log_prob` alone.

`EVALUATORS` and `FIGURES` name everything for configs. An evaluator is
`f(subject, *, ...) -> dict[str, float]`, a figure `f(subject, path, *, ...) -> None`; their keyword-only
parameters are their hyperparameters. A `UserError` says what a subject lacks.
"""

from unsupjax.evaluate.anomaly import anomaly as anomaly
from unsupjax.evaluate.clustering import hungarian_accuracy as hungarian_accuracy
from unsupjax.evaluate.clustering import purity as purity
from unsupjax.evaluate.figures import filters, reconstructions, samples, scores, tsne
from unsupjax.evaluate.figures import learning_curves as learning_curves
from unsupjax.evaluate.fine_tune import fine_tune as fine_tune
from unsupjax.evaluate.jacobian import jacobian as jacobian
from unsupjax.evaluate.kmeans import kmeans as kmeans
from unsupjax.evaluate.knn import knn as knn
from unsupjax.evaluate.knn import knn_predict as knn_predict
from unsupjax.evaluate.likelihood import likelihood as likelihood
from unsupjax.evaluate.linear_probe import linear_probe as linear_probe
from unsupjax.evaluate.reconstruction import reconstruction as reconstruction
from unsupjax.evaluate.subject import Subject as Subject
from unsupjax.evaluate.subject import map_batches as map_batches
from unsupjax.evaluate.subject import subject as subject

EVALUATORS = {
    "anomaly": anomaly,
    "fine_tune": fine_tune,
    "jacobian": jacobian,
    "kmeans": kmeans,
    "knn": knn,
    "likelihood": likelihood,
    "linear_probe": linear_probe,
    "reconstruction": reconstruction,
}

FIGURES = {
    "filters": filters,
    "reconstructions": reconstructions,
    "samples": samples,
    "scores": scores,
    "tsne": tsne,
}

NEEDS = {  # what each cannot do without: labels, or an optional function of the method
    "anomaly": ("labels", "decode"),
    "filters": (),
    "fine_tune": ("labels",),
    "jacobian": (),
    "kmeans": ("labels",),
    "knn": ("labels",),
    "likelihood": ("log_prob",),
    "linear_probe": ("labels",),
    "reconstruction": ("decode",),
    "reconstructions": ("decode",),
    "samples": ("sample",),
    "scores": ("labels", "decode"),
    "tsne": (),
}
