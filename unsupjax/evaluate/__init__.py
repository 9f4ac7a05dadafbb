"""Judging a trained method through its functions alone: `encode`, and those optional ones that it has.

`JUDGES` (evaluators) and `FIGURES` name everything for configs, each with what it needs: see `Judge`. A `UserError`
says what a subject lacks.
"""

from unsupjax.cluster.scores import hungarian_accuracy as hungarian_accuracy
from unsupjax.cluster.scores import purity as purity
from unsupjax.evaluate.calibration import CALIBRATION as CALIBRATION
from unsupjax.evaluate.calibration import calibration as calibration
from unsupjax.evaluate.clustering.clusterings import clusterings as clusterings
from unsupjax.evaluate.clustering.clusterings import summary as summary
from unsupjax.evaluate.clustering.clusters import clusters as clusters
from unsupjax.evaluate.clustering.som import som as som
from unsupjax.evaluate.fidelity.anomaly import anomaly as anomaly
from unsupjax.evaluate.fidelity.completion import completion as completion
from unsupjax.evaluate.fidelity.denoising import check as check_denoising
from unsupjax.evaluate.fidelity.denoising import denoising as denoising
from unsupjax.evaluate.fidelity.jacobian import jacobian as jacobian
from unsupjax.evaluate.fidelity.likelihood import likelihood as likelihood
from unsupjax.evaluate.fidelity.rate_distortion import check as check_rates
from unsupjax.evaluate.fidelity.rate_distortion import rate_distortion as rate_distortion
from unsupjax.evaluate.fidelity.reconstruction import reconstruction as reconstruction
from unsupjax.evaluate.figures import animate as animate
from unsupjax.evaluate.figures import (
    check_panels,
    check_tsne,
    clustering_panels,
    completions,
    component_planes,
    compressed,
    contributions,
    dendrogram,
    denoised,
    detections,
    filters,
    hits,
    interpolations,
    label_efficiency,
    label_map,
    nearest_texts,
    pca,
    prototypes,
    rate_curves,
    reconstructions,
    samples,
    scores,
    tsne,
    u_matrix,
    views,
    worst_windows,
)
from unsupjax.evaluate.figures import learning_curves as learning_curves
from unsupjax.evaluate.judge import OF_DATA as OF_DATA
from unsupjax.evaluate.judge import Facts as Facts
from unsupjax.evaluate.judge import Judge as Judge
from unsupjax.evaluate.language.masked_accuracy import masked_accuracy as masked_accuracy
from unsupjax.evaluate.language.next_token import next_token as next_token
from unsupjax.evaluate.language.sentence_pairs import check as check_pairs
from unsupjax.evaluate.language.sentence_pairs import sentence_pairs as sentence_pairs
from unsupjax.evaluate.language.text_baselines import text_baselines as text_baselines
from unsupjax.evaluate.language.topics import check as check_topics
from unsupjax.evaluate.language.topics import topics as topics
from unsupjax.evaluate.recommendation.ranking import check as check_ranking
from unsupjax.evaluate.recommendation.ranking import ranking as ranking
from unsupjax.evaluate.representation.fine_tune import fine_tune as fine_tune
from unsupjax.evaluate.representation.kmeans import kmeans as kmeans
from unsupjax.evaluate.representation.knn import check as check_neighbours
from unsupjax.evaluate.representation.knn import knn as knn
from unsupjax.evaluate.representation.knn import knn_baselines as knn_baselines
from unsupjax.evaluate.representation.knn import knn_predict as knn_predict
from unsupjax.evaluate.representation.knn import knn_weighted as knn_weighted
from unsupjax.evaluate.representation.labelled import check as check_fractions
from unsupjax.evaluate.representation.linear_probe import linear_probe as linear_probe
from unsupjax.evaluate.representation.linear_probe_augmented import (
    linear_probe_augmented as linear_probe_augmented,
)
from unsupjax.evaluate.representation.neighbours import check as check_kept_neighbours
from unsupjax.evaluate.representation.neighbours import neighbours as neighbours
from unsupjax.evaluate.representation.rank_me import rank_me as rank_me
from unsupjax.evaluate.require import check_images as check_images
from unsupjax.evaluate.series.detection import check as check_detection
from unsupjax.evaluate.series.detection import detection as detection
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
from unsupjax.evaluate.synthesis.train_on_samples import check as check_counts
from unsupjax.evaluate.synthesis.train_on_samples import train_on_samples as train_on_samples

PICTURES = ("images", "arrays")  # whose shape may be a picture's

JUDGES = {
    "anomaly": Judge(anomaly, ("labels", "normal", "score")),
    "class_balance": Judge(class_balance, ("labels", "train labels", "sample"), check=check_encoder),
    "clusterings": Judge(clusterings, ("labels",)),
    "clusters": Judge(clusters, ("assign",)),
    "completion": Judge(completion, ("fill",)),
    "denoising": Judge(denoising, ("restore",), kinds=("images",), check=check_denoising),
    "detection": Judge(detection, ("labels",), kinds=("windows",), check=check_detection),
    "fid": Judge(fid, ("sample",), kinds=PICTURES, check=check_fid),
    "fine_tune": Judge(fine_tune, ("labels", "train labels"), check=check_fractions),
    "generation": Judge(generation, ("sample",), check=check_encoder),
    "jacobian": Judge(jacobian),
    "kmeans": Judge(kmeans, ("labels",)),
    "knn": Judge(knn, ("labels", "train labels"), check=check_neighbours),
    "knn_baselines": Judge(knn_baselines, ("labels", "train labels"), check=check_neighbours),
    "knn_weighted": Judge(knn_weighted, ("labels", "train labels"), check=check_neighbours),
    "likelihood": Judge(likelihood, ("log_prob",)),
    "linear_probe": Judge(linear_probe, ("labels", "train labels"), check=check_fractions),
    "linear_probe_augmented": Judge(linear_probe_augmented, ("labels", "train labels"), kinds=PICTURES),
    "masked_accuracy": Judge(masked_accuracy, ("fill",), kinds=("tokens",)),
    "memorisation": Judge(memorisation, ("sample",), check=check_encoder),
    "modes": Judge(modes, ("labels", "train labels", "sample")),
    "neighbours": Judge(neighbours, check=check_kept_neighbours),
    "next_token": Judge(next_token, ("token_log_prob",), kinds=("tokens",)),
    "rank_me": Judge(rank_me),
    "ranking": Judge(ranking, ("recommend",), kinds=("baskets",), check=check_ranking),
    "rate_distortion": Judge(rate_distortion, ("codec",), kinds=("images",), check=check_rates),
    "reconstruction": Judge(reconstruction, ("decode",)),
    "sentence_pairs": Judge(sentence_pairs, ("texts",), check=check_pairs),
    "som": Judge(som, ("map",)),
    "synthetic_table": Judge(synthetic_table, ("sample",), kinds=("table",), check=check_table),
    "text_baselines": Judge(text_baselines, ("texts", "labels", "train labels"), check=check_fractions),
    "topics": Judge(topics, ("topics", "assign"), kinds=("baskets",), check=check_topics),
    "train_on_samples": Judge(
        train_on_samples,
        ("labels", "train labels", "sample", "conditional"),
        kinds=("images", "table", "arrays"),
        check=check_counts,
    ),
}

FIGURES = {  # no name of an evaluator: both have their arguments in `config.evaluate`
    "clustering_panels": Judge(clustering_panels, ("labels",), check=check_panels),
    "completions": Judge(completions, ("fill",), kinds=PICTURES),
    "component_planes": Judge(component_planes, ("map",)),
    "compressed": Judge(compressed, ("codec",), kinds=("images",)),
    "contributions": Judge(contributions, kinds=("windows",)),
    "dendrogram": Judge(dendrogram),
    "denoised": Judge(denoised, ("restore",), kinds=("images",)),
    "detections": Judge(detections, kinds=("windows",)),
    "filters": Judge(filters, kinds=PICTURES, check=check_images),
    "hits": Judge(hits, ("map",)),
    "interpolations": Judge(interpolations, ("interpolate",)),
    "label_efficiency": Judge(label_efficiency, ("labels", "train labels")),
    "label_map": Judge(label_map, ("labels", "train labels", "map")),
    "nearest_texts": Judge(nearest_texts, ("texts",)),
    "pca": Judge(pca),
    "prototypes": Judge(prototypes, ("prototypes",)),
    "rate_curves": Judge(rate_curves, ("codec",)),
    "reconstructions": Judge(reconstructions, ("decode",)),
    "samples": Judge(samples, ("sample",)),
    "scores": Judge(scores, ("labels", "normal", "score")),
    "tsne": Judge(tsne, check=check_tsne),
    "u_matrix": Judge(u_matrix, ("map",)),
    "views": Judge(views, ("views",), kinds=PICTURES, check=check_images),
    "worst_windows": Judge(worst_windows, ("decode",), kinds=("windows",)),
}
