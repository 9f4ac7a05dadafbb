"""Agglomerative clusters and HDBSCAN against scikit-learn, and what all of the room refuse."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.cluster.hierarchy import dendrogram
from sklearn.cluster import HDBSCAN, AgglomerativeClustering
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

from unsupjax import cluster
from unsupjax.errors import UserError
from unsupjax.numerics import checks

LINKAGES = ["ward", "average", "complete", "single"]


@pytest.fixture(scope="module")
def x():
    return make_blobs(120, 3, centers=4, cluster_std=2.0, random_state=0)[0]


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("k", [1, 2, 5, 119, 120])
def test_the_partition_of_scikit_learn(x, linkage, k):
    result = cluster.hierarchical.fit(x, k, linkage=linkage)
    expected = AgglomerativeClustering(k, linkage=linkage).fit_predict(x)
    assert adjusted_rand_score(expected, result.labels) == 1
    assert result.labels.dtype == np.int32 and result.labels.shape == (120,)
    firsts = [np.flatnonzero(result.labels == c)[0] for c in range(k)]
    assert firsts == sorted(firsts) and result.labels.max() == k - 1


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("k", [2, 3, 7])
def test_exactly_k_clusters_where_merges_tie(linkage, k):
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)
    labels = cluster.hierarchical.fit(grid, k, linkage=linkage).labels
    assert len(set(labels)) == k
    expected = AgglomerativeClustering(k, linkage=linkage).fit_predict(grid)
    assert adjusted_rand_score(expected, labels) == 1


def test_the_tree_is_a_dendrogram(x):
    tree = cluster.hierarchical.fit(x, 3).linkage
    assert tree.shape == (119, 4) and tree.dtype == np.float64 and (np.diff(tree[:, 2]) >= 0).all()
    assert sorted(dendrogram(tree, no_plot=True)["leaves"]) == list(range(120))
    a, b = x[:1], x[1:2]
    assert cluster.hierarchical.fit(np.concatenate([a, b]), 1).linkage[0, 2] == pytest.approx(
        np.linalg.norm(a - b)
    )


def test_one_row_is_one_cluster():
    result = cluster.hierarchical.fit(np.ones((1, 2)), 1)
    assert result.labels.tolist() == [0] and result.linkage.shape == (0, 4)


def test_too_many_rows_are_refused_before_any_distance():
    with pytest.raises(
        UserError, match=r"200000 rows have 160\.0 GB .* at most 20000 rows .*subsample.*k-means"
    ):
        cluster.hierarchical.fit(np.zeros((200_000, 1)), 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hdbscan_is_scikit_learns(dtype):
    x = make_moons(200, noise=0.05, random_state=0)[0].astype(dtype)
    before = x.copy()
    result = cluster.hdbscan.fit(x, min_cluster_size=10)
    expected = HDBSCAN(min_cluster_size=10, min_samples=10, copy=True).fit(x.astype(np.float64))
    np.testing.assert_array_equal(result.labels, expected.labels_)
    np.testing.assert_array_equal(result.probabilities, expected.probabilities_)
    np.testing.assert_array_equal(x, before)
    assert result.labels.dtype == np.int32 and result.labels.max() == 1
    other = cluster.hdbscan.fit(x, min_cluster_size=10, min_samples=3)
    expected = HDBSCAN(min_cluster_size=10, min_samples=3, copy=True).fit(x.astype(np.float64))
    np.testing.assert_array_equal(other.labels, expected.labels_)


def test_hdbscan_of_one_cluster():
    """Without the root of the tree scikit-learn finds noise, or splits."""
    x = np.random.default_rng(3).normal(size=(150, 2))
    for single in (False, True):
        result = cluster.hdbscan.fit(x, min_cluster_size=20, allow_single_cluster=single)
        peer = HDBSCAN(min_cluster_size=20, min_samples=20, allow_single_cluster=single, copy=True).fit(x)
        np.testing.assert_array_equal(result.labels, peer.labels_)
        np.testing.assert_array_equal(result.probabilities, peer.probabilities_)
        assert (result.labels == 0).any() == single


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: cluster.hierarchical.fit(x, 0), "k=0 must be between 1 and the 120 rows"),
        (lambda x: cluster.hierarchical.fit(x, 121), "k=121"),
        (lambda x: cluster.hierarchical.fit(x, 2, linkage="wart"), "did you mean 'ward'"),
        (lambda x: cluster.hdbscan.fit(x, min_cluster_size=1), "min_cluster_size=1 must be at least 2"),
        (lambda x: cluster.hdbscan.fit(x, min_samples=121), "121 neighbours"),
        (lambda x: cluster.hdbscan.fit(x, min_samples=-1), "min_samples=-1"),
        (lambda x: cluster.hdbscan.fit(x[:3]), "5 neighbours, which must be from 1 to the 3 rows"),
        (lambda x: cluster.hdbscan.fit(x[:1], min_samples=1), "at least two"),
    ],
)
def test_refusals(x, call, message):
    with pytest.raises(UserError, match=message):
        call(x)


def damaged(value):
    x = np.zeros((6, 2))
    x[2:4, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(3), r"got shape \(3,\); one feature is x.reshape\(-1, 1\)"),
        (np.zeros((3, 2, 2)), r"x.reshape\(len\(x\), -1\)"),
        (np.zeros((0, 2)), r"at least one row and one feature and got shape \(0, 2\)"),
        (np.zeros((2, 0)), "at least one row and one feature"),
        (np.array([["a"]]), "real numbers"),
        (np.ones((2, 2), complex), "real numbers and got dtype complex128"),
        ([[1, 2], [3]], "unequal length"),
        (damaged(np.nan), r"row 2 \(counting from 0\) .* 2 of 6 rows"),
        (damaged(-np.inf), "row 2"),
    ],
)
@pytest.mark.parametrize(
    "fit",
    [
        lambda x: cluster.dbscan.fit(x, eps=1),
        lambda x: cluster.dbscan.suggest_eps(x),
        lambda x: cluster.hdbscan.fit(x),
        lambda x: cluster.hierarchical.fit(x, 2),
        lambda x: cluster.scores.silhouette(x, [0, 0, 0, 1, 1, 1]),
        lambda x: cluster.scores.davies_bouldin(x, [0, 0, 0, 1, 1, 1]),
    ],
    ids=["dbscan", "suggest_eps", "hdbscan", "hierarchical", "silhouette", "davies_bouldin"],
)
def test_no_table(fit, x, message):
    with pytest.raises(UserError, match=message):
        fit(x)


@pytest.mark.parametrize(
    "x", [[[1, 2]], np.ones((1, 2), np.uint8), np.ones((1, 2), bool), np.ones((1, 2), np.float16)]
)
def test_numbers_of_any_kind_are_rows(x):
    assert checks.rows(x, "test").dtype == np.float64
    assert checks.rows(jnp.ones((1, 2), jnp.bfloat16), "test").dtype == np.float64
    assert checks.rows(np.ones((1, 2), np.float32), "test").dtype == np.float32
