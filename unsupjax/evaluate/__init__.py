"""Judging a trained method through its functions alone: `encode`, and those optional ones that it has.

`EVALUATORS` and `FIGURES` name everything for configs. An evaluator is
`f(subject, *, ...) -> dict[str, float]`, a figure `f(subject, path, *, ...) -> None`; their keyword-only
parameters are their hyperparameters. A `UserError` says what a subject lacks.
"""

from unsupjax.cluster.scores import hungarian_accuracy as hungarian_accuracy
from unsupjax.cluster.scores import purity as purity
from unsupjax.evaluate.clustering.clusterings import clusterings as clusterings
from unsupjax.evaluate.clustering.clusterings import summary as summary
from unsupjax.evaluate.clustering.clusters import clusters as clusters
from unsupjax.evaluate.clustering.som import som as som
from unsupjax.evaluate.fidelity.anomaly import anomaly as anomaly
from unsupjax.evaluate.fidelity.jacobian import jacobian as jacobian
from unsupjax.evaluate.fidelity.likelihood import likelihood as likelihood
from unsupjax.evaluate.fidelity.reconstruction import reconstruction as reconstruction
from unsupjax.evaluate.figures import animate as animate
from unsupjax.evaluate.figures import (
    clustering_panels,
    component_planes,
    dendrogram,
    filters,
    hits,
    interpolations,
    label_map,
    pca,
    prototypes,
    reconstructions,
    samples,
    scores,
    tsne,
    u_matrix,
    views,
)
from unsupjax.evaluate.figures import learning_curves as learning_curves
from unsupjax.evaluate.representation.fine_tune import fine_tune as fine_tune
from unsupjax.evaluate.representation.kmeans import kmeans as kmeans
from unsupjax.evaluate.representation.knn import knn as knn
from unsupjax.evaluate.representation.knn import knn_baselines as knn_baselines
from unsupjax.evaluate.representation.knn import knn_predict as knn_predict
from unsupjax.evaluate.representation.knn import knn_weighted as knn_weighted
from unsupjax.evaluate.representation.linear_probe import linear_probe as linear_probe
from unsupjax.evaluate.representation.linear_probe_augmented import (
    linear_probe_augmented as linear_probe_augmented,
)
from unsupjax.evaluate.representation.rank_me import rank_me as rank_me
from unsupjax.evaluate.subject import Subject as Subject
from unsupjax.evaluate.subject import map_batches as map_batches
from unsupjax.evaluate.subject import subject as subject
from unsupjax.evaluate.synthesis.class_balance import class_balance as class_balance
from unsupjax.evaluate.synthesis.fid import check as check_fid
from unsupjax.evaluate.synthesis.fid import fid as fid
from unsupjax.evaluate.synthesis.generation import generation as generation
from unsupjax.evaluate.synthesis.memorisation import memorisation as memorisation
from unsupjax.evaluate.synthesis.modes import modes as modes
from unsupjax.evaluate.synthesis.reference import check as check_encoder
from unsupjax.evaluate.synthesis.synthetic_table import check as check_table
from unsupjax.evaluate.synthesis.synthetic_table import synthetic_table as synthetic_table

EVALUATORS = {
    "anomaly": anomaly,
    "class_balance": class_balance,
    "clusterings": clusterings,
    "clusters": clusters,
    "fid": fid,
    "fine_tune": fine_tune,
    "generation": generation,
    "jacobian": jacobian,
    "kmeans": kmeans,
    "knn": knn,
    "knn_baselines": knn_baselines,
    "knn_weighted": knn_weighted,
    "likelihood": likelihood,
    "linear_probe": linear_probe,
    "linear_probe_augmented": linear_probe_augmented,
    "memorisation": memorisation,
    "modes": modes,
    "rank_me": rank_me,
    "reconstruction": reconstruction,
    "som": som,
    "synthetic_table": synthetic_table,
}

FIGURES = {  # no name of an evaluator: both have their arguments in `config.evaluate`
    "clustering_panels": clustering_panels,
    "component_planes": component_planes,
    "dendrogram": dendrogram,
    "filters": filters,
    "hits": hits,
    "interpolations": interpolations,
    "label_map": label_map,
    "pca": pca,
    "prototypes": prototypes,
    "reconstructions": reconstructions,
    "samples": samples,
    "scores": scores,
    "tsne": tsne,
    "u_matrix": u_matrix,
    "views": views,
}

CHECKS = {  # (arguments, shape of an input): what can be refused before the training
    "class_balance": check_encoder,
    "fid": check_fid,
    "generation": check_encoder,
    "memorisation": check_encoder,
    "synthetic_table": check_table,
}

NEEDS = {  # what each cannot do without: labels, or an optional function of the method
    "anomaly": ("labels", "decode"),
    "class_balance": ("labels", "sample"),
    "clustering_panels": ("labels",),
    "clusterings": ("labels",),
    "clusters": ("assign",),
    "component_planes": ("map",),
    "dendrogram": (),
    "fid": ("sample",),
    "filters": (),
    "fine_tune": ("labels",),
    "generation": ("sample",),
    "hits": ("map",),
    "interpolations": ("interpolate",),
    "jacobian": (),
    "kmeans": ("labels",),
    "knn": ("labels",),
    "knn_baselines": ("labels",),
    "knn_weighted": ("labels",),
    "label_map": ("labels", "map"),
    "likelihood": ("log_prob",),
    "linear_probe": ("labels",),
    "linear_probe_augmented": ("labels",),
    "memorisation": ("sample",),
    "modes": ("labels", "sample"),
    "pca": (),
    "prototypes": ("prototypes",),
    "rank_me": (),
    "reconstruction": ("decode",),
    "reconstructions": ("decode",),
    "samples": ("sample",),
    "scores": ("labels", "decode"),
    "som": ("map",),
    "synthetic_table": ("sample",),
    "tsne": (),
    "u_matrix": ("map",),
    "views": ("views",),
}
