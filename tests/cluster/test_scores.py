"""Clustering scores against enumeration and scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import make_blobs

from unsupjax import evaluate
from unsupjax.cluster import scores
from unsupjax.cluster.scores import hungarian_accuracy, purity
from unsupjax.errors import UserError


def enumerated_accuracy(labels, clusters):
    """The best accuracy over all one-to-one maps of clusters to classes, by trying each."""
    classes, found = sorted(set(labels)), sorted(set(clusters))
    slots = classes + [None] * len(found)
    return max(
        np.mean([dict(zip(found, names, strict=True))[c] == y for y, c in zip(labels, clusters, strict=True)])
        for names in itertools.permutations(slots, len(found))
    )


def counted_purity(labels, clusters):
    members = [[y for y, c in zip(labels, clusters, strict=True) if c == k] for k in set(clusters)]
    return sum(max(group.count(y) for y in group) for group in members) / len(labels)


@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_scores_equal_enumeration(n_clusters):
    rng = np.random.default_rng(n_clusters)
    labels, clusters = rng.choice([2, 5, 9], 30), rng.choice([0, 1, 4, 8][:n_clusters], 30)
    assert hungarian_accuracy(labels, clusters) == pytest.approx(
        enumerated_accuracy(labels.tolist(), clusters.tolist())
    )
    assert purity(labels, clusters) == pytest.approx(counted_purity(labels.tolist(), clusters.tolist()))


def test_known_values():
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert purity(labels, 1 - labels) == hungarian_accuracy(labels, 1 - labels) == 1
    assert purity(labels, np.zeros(6, int)) == hungarian_accuracy(labels, np.zeros(6, int)) == 0.5
    # A cluster for each example is pure, and all but one cluster a class stay unassigned.
    assert purity(labels, np.arange(6)) == 1
    assert hungarian_accuracy(labels, np.arange(6)) == pytest.approx(2 / 6)


def test_evaluate_exports_the_same():
    assert evaluate.purity is purity and evaluate.hungarian_accuracy is hungarian_accuracy


def partition(n, k, seed=0):
    """Cluster numbers with gaps, in no order, every one taken."""
    rng = np.random.default_rng(seed)
    return 7 * rng.permutation(np.concatenate([np.arange(k), rng.integers(0, k, n - k)])) - 3


@pytest.mark.parametrize("d", [1, 2, 16, 50])
@pytest.mark.parametrize("k", [2, 7, 150, 199])
@pytest.mark.parametrize("block", [32, 256])
def test_silhouette_is_scikit_learns(d, k, block):
    x, clusters = make_blobs(200, d, centers=7, random_state=0)[0], partition(200, k)
    expected = metrics.silhouette_score(x, clusters)
    assert scores.silhouette(x, clusters, block=block) == pytest.approx(expected, abs=1e-10)


def test_silhouette_far_from_the_origin():
    x, clusters = make_blobs(100, 3, centers=3, random_state=0)
    near = scores.silhouette(x, clusters)
    assert near > 0.3
    assert scores.silhouette(x + 1e6, clusters) == pytest.approx(near, abs=1e-6)
    assert scores.silhouette(x.astype(np.float32), clusters) == pytest.approx(near, abs=1e-4)


def test_silhouette_known_values():
    x = np.array([[0.0], [1.0], [10.0]])
    # Row 0: a = 1, b = 10; row 1: a = 1, b = 9; row 2 is alone and scores 0.
    assert scores.silhouette(x, [0, 0, 1], block=2) == pytest.approx((9 / 10 + 8 / 9) / 3)
    assert scores.silhouette(np.zeros((4, 1)), [0, 0, 1, 1]) == 0  # all coincide


@pytest.mark.parametrize("k", [2, 7, 40])
def test_the_other_scores_are_scikit_learns(k):
    x, labels = make_blobs(80, 3, centers=4, random_state=0)
    clusters = partition(80, k)
    assert scores.davies_bouldin(x, clusters) == pytest.approx(metrics.davies_bouldin_score(x, clusters))
    assert scores.adjusted_rand_index(labels, clusters) == metrics.adjusted_rand_score(labels, clusters)
    assert scores.normalized_mutual_information(labels, clusters) == pytest.approx(
        metrics.normalized_mutual_info_score(labels, clusters)
    )
    assert (
        scores.adjusted_rand_index(labels, 3 - labels)
        == scores.normalized_mutual_information(labels, labels)
        == 1
    )


@pytest.mark.parametrize("score", [scores.silhouette, scores.davies_bouldin])
@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        (np.zeros(9, int), r"undefined for 1 cluster\(s\) of 9 rows"),
        (np.arange(9), r"undefined for 9 cluster\(s\) of 9 rows"),
        (np.arange(8), r"9 rows but clusters of shape \(8,\)"),
    ],
)
def test_where_no_score_is_defined(score, clusters, message):
    with pytest.raises(UserError, match=message):
        score(np.random.default_rng(0).normal(size=(9, 2)), clusters)


def test_a_block_of_nothing_is_refused():
    with pytest.raises(UserError, match="block=0"):
        scores.silhouette(np.eye(3), [0, 0, 1], block=0)
