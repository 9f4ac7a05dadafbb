"""How well clusters of the codes agree with the labels."""

import numpy as np

from unsupjax.cluster.scores import hungarian_accuracy, purity
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.subject import Subject, host_seed


def kmeans(subject: Subject, *, clusters: int = 0, restarts: int = 10) -> dict[str, float]:
    """Agreement of k-means clusters of the *test* codes with the test labels (scikit-learn's k-means++).

    Clustering is unsupervised, so that it is fitted and scored on the same held-out codes. Of all restarts
    the one with the lowest inertia is scored: labels choose nothing.

    Args:
        subject: what is judged.
        clusters: number of clusters; 0 means the number of classes.
        restarts: independent initialisations.

    Returns:
        `kmeans_purity`, `kmeans_nmi` (arithmetic mean), `kmeans_ari` and `kmeans_accuracy` (best one-to-one
        assignment of clusters to classes).

    Raises:
        UserError: there are no labels, or fewer than two classes; more clusters than test examples.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    y, z = require.labels(subject.y_test, "kmeans"), np.asarray(subject.z_test)
    clusters = clusters or len(set(y.tolist()))
    if not 1 <= clusters <= len(z):
        raise UserError(f"kmeans: clusters={clusters} must be between 1 and the {len(z)} test examples")
    found = KMeans(clusters, n_init=restarts, random_state=host_seed(subject.key)).fit(z).labels_
    return {
        "kmeans_purity": purity(y, found),
        "kmeans_nmi": float(normalized_mutual_info_score(y, found)),
        "kmeans_ari": float(adjusted_rand_score(y, found)),
        "kmeans_accuracy": hungarian_accuracy(y, found),
    }
