"""Clustering algorithms side by side on inputs and codes."""

import jax
import numpy as np

from unsupjax.cluster import dbscan, hdbscan, hierarchical, kmeans, scores
from unsupjax.errors import UserError, choose
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, points_of, random_subset

LINKAGES = ("ward", "average", "complete", "single")
DENSITY = ("dbscan", "hdbscan")
ALGORITHMS = ("kmeans", *LINKAGES, *DENSITY)


def clusterings(
    subject: Subject,
    *,
    spaces: tuple = ("inputs", "codes"),
    algorithms: tuple = ALGORITHMS,
    clusters: int = 0,
    eps: float = 0.0,
    min_samples: int = 5,
    min_cluster_size: int = 10,
    examples: int = 5000,
) -> dict[str, float]:
    """Agreement of several algorithms' clusters of the *test* examples with their labels, space by space.

    Clustering is unsupervised, so that it is fitted and scored on the same held-out examples. The examples that
    DBSCAN and HDBSCAN leave out as noise are scored as one cluster of their own, as scikit-learn's scores
    take the label -1.

    Args:
        subject: what is judged.
        spaces: what is clustered: "inputs" (flattened), "codes", or both.
        algorithms: of "kmeans", "ward", "average", "complete", "single" (hierarchical), "dbscan", "hdbscan".
        clusters: number of clusters of k-means and the hierarchical ones; 0: the number of classes.
        eps: radius of DBSCAN; 0: in each space that which makes half of the examples core points.
        min_samples: examples within `eps` of a core point of DBSCAN, itself included.
        min_cluster_size: fewest examples in a cluster of HDBSCAN.
        examples: at most so many test examples, drawn at random: time and memory grow with their square.

    Returns:
        for each space and algorithm `{space}_{algorithm}_purity`, `_nmi`, `_ari` and `_clusters` (their number,
        noise not counted), and `_noise` (the fraction of examples) for DBSCAN and HDBSCAN.

    Raises:
        UserError: there are no labels, or fewer than two classes; a space or algorithm is unknown; more
            clusters than examples.
    """
    y = require.labels(subject.y_test, "clusterings")
    rows = random_subset(subject.key, len(y), examples)
    settings = {"eps": eps, "min_samples": min_samples, "min_cluster_size": min_cluster_size}
    results = {}
    for space in spaces:
        x = points_of(subject, space, "clusterings")[rows]
        for algorithm in algorithms:
            k = clusters or len(np.unique(y))
            found = partition(algorithm, x, subject.key, k, "clusterings", **settings)
            scores = agreement(algorithm, y[rows], found)
            results |= {f"{space}_{algorithm}_{score}": value for score, value in scores.items()}
    return results


def partition(
    algorithm: str,
    x: np.ndarray,
    key: jax.Array,
    clusters: int,
    user: str,
    *,
    eps: float,
    min_samples: int,
    min_cluster_size: int,
) -> np.ndarray:
    """The cluster of each point of x by one algorithm: integers `[N]`, -1 for noise.

    Args:
        algorithm: one of `ALGORITHMS`.
        x: points `[N, D]`.
        key: typed PRNG key of k-means.
        clusters: number of clusters of k-means and the hierarchical algorithms.
        user: the evaluator or figure that asks.
        eps, min_samples, min_cluster_size: as `clusterings` takes them.

    Raises:
        UserError: the algorithm is unknown, or `clusters` not in [1, N].
    """
    choose(f"config.evaluate.{user}.algorithms", algorithm, dict.fromkeys(ALGORITHMS))
    if not 1 <= clusters <= len(x):
        raise UserError(f"{user}: clusters={clusters} must be between 1 and the {len(x)} examples")
    if algorithm == "kmeans":
        labels = kmeans.fit(key, x, clusters).labels
    elif algorithm == "dbscan":
        eps = eps or dbscan.suggest_eps(x, min_samples)
        labels, _ = dbscan.fit(x, eps=eps, min_samples=min_samples)
    elif algorithm == "hdbscan":
        labels, _ = hdbscan.fit(x, min_cluster_size=min_cluster_size)
    else:
        labels, _ = hierarchical.fit(x, clusters, linkage=algorithm)
    return np.asarray(labels)


def agreement(algorithm: str, y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Purity, NMI and ARI of clusters against labels, how many clusters there are, and how much is noise."""
    results = {
        "purity": scores.purity(y, found),
        "nmi": scores.normalized_mutual_information(y, found),
        "ari": scores.adjusted_rand_index(y, found),
        "clusters": float(len(np.unique(found[found >= 0]))),
    }
    return results | ({"noise": float(np.mean(found < 0))} if algorithm in DENSITY else {})


def summary(results: dict[str, float]) -> str:
    """Results as text: a name and value a line, and what `clusterings` returned as a table at the end."""
    formats = {"purity": ".3f", "nmi": ".3f", "ari": ".3f", "clusters": ".0f", "noise": ".3f"}
    left, lines = dict(results), []
    for space in ("inputs", "codes"):
        for algorithm in ALGORITHMS:
            values = {name: left.pop(f"{space}_{algorithm}_{name}", None) for name in formats}
            cells = ["" if value is None else format(value, formats[name]) for name, value in values.items()]
            if any(cells):
                row = f"  {space:<8}{algorithm:<10}" + "".join(f"{cell:>9}" for cell in cells)
                lines.append(row.rstrip())
    header = f"  {'':<18}" + "".join(f"{name:>9}" for name in formats)
    width = max(map(len, left), default=0)
    plain = [f"  {name:<{width}}  {value:.5g}" for name, value in left.items()]
    return "\n".join(plain + [header] * bool(lines) + lines)
