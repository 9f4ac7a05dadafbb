"""Clustering algorithms side by side, on one plane."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unsupjax.errors import choose
from unsupjax.evaluate import require
from unsupjax.evaluate.clustering.clusterings import ALGORITHMS, agreement, partition
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.embedding import check_tsne, embed, principal_plane
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, host_seed, points_of, random_subset


def clustering_panels(
    subject: Subject,
    path: str | Path,
    *,
    space: str = "codes",
    plane: str = "tsne",
    algorithms: tuple = ALGORITHMS,
    clusters: int = 0,
    eps: float = 0.0,
    min_samples: int = 5,
    min_cluster_size: int = 10,
    examples: int = 2000,
) -> None:
    """Draw the clusters of several algorithms in a plane, beside the labels; the evaluator `clusterings` as a picture.

    Algorithms see all dimensions of the space, the plane only shows what they found. A cluster has the colour of
    the class that the best one-to-one assignment gives it; noise is grey.

    Args:
        subject: what is shown.
        path: the PNG to write.
        space: what is clustered, "codes" or "inputs" (flattened).
        plane: "tsne", or "pca": the first two principal components.
        algorithms: of "kmeans", "ward", "average", "complete", "single" (hierarchical), "dbscan", "hdbscan".
        clusters: number of clusters of k-means and the hierarchical ones; 0: the number of classes.
        eps: radius of DBSCAN; 0: that which makes half of the examples core points.
        min_samples: examples within `eps` of a core point of DBSCAN, itself included.
        min_cluster_size: fewest examples in a cluster of HDBSCAN.
        examples: at most so many test examples, drawn at random.

    Raises:
        UserError: as `clusterings`; the plane is unknown.
    """
    y = require.labels(subject.y_test, "clustering_panels")
    choose("config.evaluate.clustering_panels.plane", plane, dict.fromkeys(("tsne", "pca")))
    rows = random_subset(subject.key, len(y), examples)
    x, y = points_of(subject, space, "clustering_panels")[rows], y[rows]
    settings = {"eps": eps, "min_samples": min_samples, "min_cluster_size": min_cluster_size}
    k = clusters or len(np.unique(subject.y_test))
    found = {a: partition(a, x, subject.key, k, "clustering_panels", **settings) for a in algorithms}
    perplexity = min(30.0, (len(x) - 1) / 3)
    points = embed(x, perplexity, host_seed(subject.key)) if plane == "tsne" else principal_plane(x)[0]
    figure, axes = style.panels(len(found) + 1, 4, 2.9, 3.1)
    classes, numbers = np.unique(y, return_inverse=True)
    _draw_panel(axes[0], points, numbers, "labels")
    names = [style.class_name(label, subject.label_names) for label in classes]
    style.class_legend(figure, names, loc="outside right upper")
    for ax, (algorithm, labels) in zip(axes[1:], found.items(), strict=True):
        _draw_panel(ax, points, matched(y, labels), _caption(algorithm, agreement(algorithm, y, labels)))
    shown = "a t-SNE map" if plane == "tsne" else "the plane of their first principal components"
    figure.suptitle(f"Clusters of {len(x):,} test {space} in {shown}", fontsize=12)
    style.save(figure, path)


def check_panels(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, a t-SNE that cannot be made."""
    if arguments["plane"] == "tsne":
        check_tsne(arguments, facts, "clustering_panels")


def matched(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Clusters `[N]` renumbered after the classes that they are assigned to one to one, by rank; -1 stays.

    Clusters that get no class have the numbers from the number of classes on.
    """
    from scipy.optimize import linear_sum_assignment

    classes, y = np.unique(labels, return_inverse=True)
    found, index = np.unique(clusters, return_inverse=True)
    counts = np.zeros((len(classes), len(found)), int)
    np.add.at(counts, (y, index), 1)
    counts[:, found < 0] = -1
    numbers = np.full(len(found), -1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    numbers[columns] = rows
    numbers[found < 0] = -1
    left = (numbers < 0) & (found >= 0)
    numbers[left] = len(classes) + np.arange(left.sum())
    return numbers[index]


def _caption(algorithm: str, scores: dict[str, float]) -> str:
    noise = f", {scores['noise']:.0%} noise" if "noise" in scores else ""
    plural = "" if scores["clusters"] == 1 else "s"
    return f"{algorithm}: NMI {scores['nmi']:.2f}\n{scores['clusters']:.0f} cluster{plural}{noise}"


def _draw_panel(ax, points: np.ndarray, numbers: np.ndarray, title: str) -> None:
    """The points in the colours of their numbers, noise below them."""
    size = 15_000 / (len(points) + 2_000)
    ax.scatter(*points[numbers < 0].T, color="0.8", s=size, linewidths=0)
    for number in np.unique(numbers[numbers >= 0]):
        colour, marker = style.class_look(number)
        ax.scatter(
            *points[numbers == number].T, color=colour, marker=marker, s=size, linewidths=0, alpha=0.85
        )
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.8")
    ax.set_aspect("equal", adjustable="datalim")
