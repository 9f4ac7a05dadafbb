"""The clusters or units that a method assigns examples to, against labels and on their own."""

import numpy as np

from unsupjax.cluster import scores
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, map_batches, points_of, random_subset


def clusters(subject: Subject, *, space: str = "inputs", examples: int = 10_000) -> dict[str, float]:
    """Scores of the clusters `assign(state, x)` of the test examples.

    Against labels: purity, normalised mutual information (arithmetic mean), adjusted Rand index and the accuracy
    of the best one-to-one assignment of clusters to classes. Without labels: the silhouette
    `mean (b - a) / max(a, b)`, with a the mean distance of an example to the others of its cluster and b that to
    the nearest other cluster (Rousseeuw 1987; higher is better, at most 1), and the Davies-Bouldin index
    `1/k sum_i max_j (s_i + s_j) / d_ij`, with s the mean distance to the centre of the cluster and d that
    between centres (Davies and Bouldin 1979; lower is better).

    Args:
        subject: what is judged.
        space: where distances are taken, "inputs" (flattened) or "codes".
        examples: at most so many test examples, drawn at random, enter the silhouette, whose cost is quadratic.

    Returns:
        `clusters_used`, the number of clusters that hold a test example; with labels of at least two classes
        `clusters_purity`, `clusters_nmi`, `clusters_ari`, `clusters_accuracy`; and `clusters_silhouette`,
        `clusters_davies_bouldin`, left out where they are undefined: below 2 clusters, where each example has its
        own, or where entries are missing.

    Raises:
        UserError: the method does not cluster; the space is unknown.
    """
    found, y = assigned(subject, subject.x_test, "clusters"), subject.y_test
    points = points_of(subject, space, "clusters")
    results = {"clusters_used": float(len(np.unique(found)))}
    if y is not None and len(np.unique(y)) > 1:
        results |= {
            "clusters_purity": scores.purity(y, found),
            "clusters_nmi": scores.normalized_mutual_information(y, found),
            "clusters_ari": scores.adjusted_rand_index(y, found),
            "clusters_accuracy": scores.hungarian_accuracy(y, found),
        }
    rows = random_subset(subject.key, len(found), examples)
    observed = not np.isnan(points).any()
    if observed and _has_several(found[rows]):
        results["clusters_silhouette"] = scores.silhouette(points[rows], found[rows])
    if observed and _has_several(found):
        results["clusters_davies_bouldin"] = scores.davies_bouldin(points, found)
    return results


def assigned(subject: Subject, x: np.ndarray, user: str) -> np.ndarray:
    """The cluster or unit of each example of x: int32 `[N]`.

    Raises:
        UserError: the method does not cluster; `user` is the evaluator or figure that wants it to.
    """
    return map_batches(require.function(subject.method, "assign", user), x, 512, subject.state)


def majority(labels: np.ndarray, groups: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent label of each group and its share of the group; ties go to the lowest label.

    Args:
        labels: integer labels `[N]`.
        groups: the group of each example, integers in [0, n), `[N]`.
        n: number of groups.

    Returns:
        labels `[n]` and shares in (0, 1], `[n]`; the share of an empty group is 0, and its label means nothing.
    """
    classes, y = np.unique(labels, return_inverse=True)
    counts = np.bincount(groups * len(classes) + y, minlength=n * len(classes)).reshape(n, len(classes))
    return classes[counts.argmax(axis=1)], counts.max(axis=1) / np.maximum(counts.sum(axis=1), 1)


def _has_several(found: np.ndarray) -> bool:
    return 2 <= len(np.unique(found)) < len(found)
