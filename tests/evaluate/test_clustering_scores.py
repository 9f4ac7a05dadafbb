"""Clustering scores against enumeration."""

import itertools

import numpy as np
import pytest

from unsupjax.evaluate import hungarian_accuracy, purity


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
