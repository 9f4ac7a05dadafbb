"""Balanced labels against the assignment problem with every centre replicated."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import make_blobs

from unsupjax.cluster import kmeans
from unsupjax.cluster.balance import balanced_labels
from unsupjax.errors import UserError


def cost_of(x, centers, labels):
    return np.square(x.astype(np.float64) - centers.astype(np.float64)[labels]).sum()


def optimum(x, centers):
    """The least cost: floor(N / K) seats at each centre that must be filled, and one that may be."""
    n, k = len(x), len(centers)
    cost = np.square(x[:, None].astype(np.float64) - centers[None].astype(np.float64)).sum(axis=-1)
    must, left = divmod(n, k)
    bonus = n * cost.max() + 1 if left else 0.0
    seats = np.concatenate([np.repeat(cost - bonus, must, axis=1), cost if left else cost[:, :0]], axis=1)
    row, seat = linear_sum_assignment(seats)
    return cost[row, np.concatenate([np.repeat(np.arange(k), must), np.arange(k)])[seat]].sum()


def assert_balanced(labels, n, k):
    sizes = np.bincount(labels, minlength=k)
    assert labels.shape == (n,) and labels.dtype == np.int32
    assert len(sizes) == k and sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("passes", [1, 100])
@pytest.mark.parametrize(
    ("n", "k", "d"),
    [(200, 8, 3), (203, 20, 5), (150, 150, 2), (5, 9, 2), (401, 3, 1), (300, 7, 30), (10, 1, 2)],
)
def test_the_cost_is_the_least(n, k, d, passes):
    x, _ = make_blobs(n, d, centers=3, random_state=n)
    centers = x[np.random.default_rng(n).choice(n, k, replace=k > n)] + 0.1
    labels = balanced_labels(x, centers, passes=passes)
    assert_balanced(labels, n, k)
    assert cost_of(x, centers, labels) == pytest.approx(optimum(x, centers), rel=1e-9)


def test_all_rows_at_one_center():
    x, centers = (
        np.random.default_rng(0).normal(size=(120, 2)),
        np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 90.0]]),
    )
    labels = balanced_labels(x, centers)
    assert_balanced(labels, 120, 3)
    assert cost_of(x, centers, labels) == pytest.approx(optimum(x, centers), rel=1e-9)


@pytest.mark.thorough
def test_digits_and_k_means(digits):
    x = digits[:600].reshape(600, -1)
    centers = np.asarray(kmeans.fit(jax.random.key(0), x, 32, restarts=1).centers)
    labels = balanced_labels(x, centers)
    assert_balanced(labels, 600, 32)
    assert cost_of(x, centers, labels) == pytest.approx(optimum(x, centers), rel=1e-9)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 1e6), (1e20, 0.0), (1e-20, 0.0)])
def test_data_far_from_zero_and_of_any_magnitude(scale, offset):
    x, _ = make_blobs(200, 3, random_state=0)
    x, centers = x * scale + offset, x[:9] * scale + offset
    labels = balanced_labels(x, centers)
    assert_balanced(labels, 200, 9)
    relative = lambda labels: cost_of((x - offset) / scale, (centers - offset) / scale, labels)
    assert relative(labels) == pytest.approx(
        optimum((x - offset) / scale, (centers - offset) / scale), rel=1e-9
    )


def test_equal_rows_equal_centers_and_integers():
    assert_balanced(balanced_labels(np.ones((11, 2)), np.ones((4, 2))), 11, 4)
    assert_balanced(balanced_labels(np.repeat([[1], [2]], 9, axis=0), np.array([[1], [1], [9]])), 18, 3)
    np.testing.assert_array_equal(balanced_labels([[0], [9], [1], [8]], [[0], [9]]), [0, 1, 0, 1])


def test_rows_that_take_several_tiles():
    x = np.random.default_rng(0).normal(size=(9000, 2)).astype(np.float32)
    labels = balanced_labels(x, x[:40])
    assert_balanced(labels, 9000, 40)
    # The prices of the optimum bound its cost from below: none of a few swaps of two rows gains.
    distance = np.square(x[:, None].astype(np.float64) - x[None, :40]).sum(axis=-1)
    a, b = np.random.default_rng(1).integers(0, 9000, (2, 20_000))
    swapped = distance[a, labels[b]] + distance[b, labels[a]]
    assert np.all(swapped >= distance[a, labels[a]] + distance[b, labels[b]] - 1e-9)


def test_bad_input():
    x = np.ones((6, 2))
    holed = x.copy()
    holed[4] = np.nan
    with pytest.raises(UserError, match="row 4"):
        balanced_labels(holed, x[:2])
    with pytest.raises(UserError, match="centers: row 4"):
        balanced_labels(x, holed)
    with pytest.raises(UserError, match="2 features and centers 1"):
        balanced_labels(x, x[:2, :1])
    with pytest.raises(UserError, match="at least one row"):
        balanced_labels(x[:0], x)
    with pytest.raises(UserError, match="passes=0"):
        balanced_labels(x, x[:2], passes=0)
