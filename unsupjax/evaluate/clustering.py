"""Scores of a clustering against labels; pure functions of two integer arrays `[N]`."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def contingency(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Number of examples of each class in each cluster: int64 `[classes, clusters]`, both ascending."""
    (n_labels, row), (n_clusters, column) = _indexed(labels), _indexed(clusters)
    cells = np.bincount(row * n_clusters + column, minlength=n_labels * n_clusters)
    return cells.reshape(n_labels, n_clusters)


def purity(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Fraction of examples that belong to the most frequent class of their cluster, in (0, 1].

    It grows with the number of clusters and is 1 where every example has its own: read it beside NMI or ARI.
    """
    counts = contingency(labels, clusters)
    return float(counts.max(axis=0).sum() / counts.sum())


def hungarian_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Accuracy under the best one-to-one assignment of clusters to classes, in (0, 1].

    Clusters beyond the number of classes stay unassigned, and their examples count as errors. Known as ACC in
    Xie et al., "Unsupervised deep embedding for clustering analysis", ICML 2016.
    """
    counts = contingency(labels, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def _indexed(values: np.ndarray) -> tuple[int, np.ndarray]:
    """The number of distinct values, and for each value its index among them."""
    distinct, index = np.unique(values, return_inverse=True)
    return len(distinct), index
