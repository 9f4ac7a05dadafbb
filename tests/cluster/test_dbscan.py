"""DBSCAN against scikit-learn's: the same core points and the same labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_blobs, make_moons

from unsupjax import cluster
from unsupjax.cluster.dbscan import _hooked
from unsupjax.cluster.tiles import float64, near_pairs, spatial_order, tiled
from unsupjax.errors import UserError
from unsupjax.numerics.differences import squared_distances


def assert_same(x, eps, min_samples=5, block=64, weights=None):
    """Compares the two; returns the labels."""
    expected = DBSCAN(eps=eps, min_samples=min_samples).fit(x, sample_weight=weights)
    core = np.zeros(len(x), bool)
    core[expected.core_sample_indices_] = True
    result = cluster.dbscan.fit(x, eps=eps, min_samples=min_samples, weights=weights, block=block)
    assert result.labels.dtype == np.int32 and result.core.dtype == bool
    np.testing.assert_array_equal(result.core, core)
    np.testing.assert_array_equal(result.labels, expected.labels_)
    return result.labels


def blobs(n, d, centers=5, seed=0):
    return make_blobs(n, d, centers=centers, random_state=seed)[0]


@pytest.mark.parametrize(("d", "eps"), [(2, 0.4), (8, 2.5), (16, 4.2), (17, 4.4), (64, 10.0)])
def test_blobs(d, eps):
    labels = assert_same(blobs(500, d), eps)
    assert labels.max() >= 2 and labels.min() == -1  # several clusters and some noise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moons(dtype):
    x = make_moons(600, noise=0.05, random_state=0)[0].astype(dtype)
    assert assert_same(x, 0.2).max() == 1


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_no_result_depends_on_the_block(block):
    x = blobs(200, 2)
    assert assert_same(x, 0.6, block=block).max() >= 2


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_chain_just_within_eps(d, offset, shuffled):
    order = np.random.default_rng(0).permutation(3000) if shuffled else np.arange(3000)
    x = np.zeros((3000, d))
    x[:, 0] = order
    labels = assert_same(x + offset, 1 + 1e-7, min_samples=2, block=256)
    assert not labels.any()
    assert assert_same(x + offset, 1 - 1e-7, min_samples=2, block=256).max() == -1  # and none just beyond


@pytest.mark.parametrize("d", [2, 20])
def test_distances_are_those_of_float64(d):
    # scikit-learn's own expanded distances, which it takes for many features, fail here: the answer is known.
    x = np.full((3000, d), 1e4)
    x[:, 0] += 0.1 * np.arange(3000)
    assert not cluster.dbscan.fit(x, eps=0.1 * (1 + 1e-7), min_samples=2).labels.any()
    assert not cluster.dbscan.fit(x, eps=0.1 * (1 - 1e-7), min_samples=2).core.any()


def test_a_chain_is_joined_in_few_rounds():
    n = 512
    for indices in (np.arange(n), np.arange(n)[::-1], np.random.default_rng(0).permutation(n)):
        near = np.abs(indices[:, None] - indices[None, :]) <= 1
        nodes = jnp.stack([jnp.arange(n, dtype=jnp.int32)] * 2)
        parent, rounds = jax.jit(_hooked)(nodes[0], nodes, nodes, near)
        assert not parent.any() and rounds <= 1 + np.log2(n)


@pytest.mark.parametrize("d", [2, 18])
def test_points_at_exactly_eps_are_neighbours(d):
    grid = np.stack(np.meshgrid(*[np.arange(9)] * 2), axis=-1).reshape(-1, 2)
    x = np.zeros((81, d), np.int64)
    x[:, -2:] = grid
    for eps in (1, 2**0.5, 2, 5**0.5, 5):
        assert_same(x, eps, min_samples=5, block=16)
    assert (
        cluster.dbscan.fit(x, eps=1, min_samples=5, block=16).core.sum() == 49
    )  # the interior: itself and four others
    assert not cluster.dbscan.fit(x, eps=np.nextafter(1, 0), min_samples=2, block=16).core.any()


@pytest.mark.parametrize("left_first", [True, False])
@pytest.mark.parametrize("border_first", [True, False])
def test_a_border_point_joins_the_lowest_cluster(left_first, border_first):
    left, right = [[0.0], [0.1], [0.2], [0.3]], [[2.0], [2.1], [2.2], [2.3]]
    border, sides = [[1.15]], left + right if left_first else right + left
    x = np.array(border + sides if border_first else sides + border)
    labels = assert_same(x, 0.9, min_samples=4, block=3)
    assert labels[0 if border_first else -1] == 0 and labels.max() == 1


def test_random_small_inputs():
    rng = np.random.default_rng(0)
    for _ in range(60):
        x = rng.integers(0, 9, (40, 2)).astype(np.float64)  # with duplicates, borders and ties at eps
        assert_same(x, rng.choice([1, 2, 2**0.5]), int(rng.integers(1, 7)), block=8)


def test_extremes():
    x = blobs(50, 2)
    assert assert_same(x, 1e-9).max() == -1  # all noise
    assert not assert_same(x, 1e3).any()  # all one
    assert assert_same(x, 0.5, min_samples=51).max() == -1
    assert assert_same(x[:1], 0.5, min_samples=1).tolist() == [0]
    assert assert_same(x[:1], 0.5, min_samples=2).tolist() == [-1]
    assert assert_same(x, 1e-9, min_samples=1).tolist() == list(range(50))
    assert assert_same(np.repeat(x[:5], 10, axis=0), 1e-6).tolist() == np.repeat(range(5), 10).tolist()


def test_the_users_precision_is_left_alone():
    x = jnp.asarray(blobs(50, 2), jnp.float32)
    cluster.dbscan.fit(x, eps=0.5)
    assert not jax.config.jax_enable_x64 and jnp.ones(1).dtype == jnp.float32


def test_tiles_far_apart_are_passed_over():
    def pair_count(tiles):
        return sum(n for _, n in near_pairs(tiles, tiles, 0.05))

    x = np.random.default_rng(0).uniform(size=(1024, 2))
    with float64():
        shuffled, ordered = tiled(x, 64, 16), tiled(x[spatial_order(x, 64)], 64, 16)
    assert pair_count(shuffled) == 16 * 17 // 2
    assert pair_count(ordered) < 80


def test_distances_are_complete_up_to_the_limit():
    x, y = np.random.default_rng(0).normal(size=(2, 50, 30))
    expected = np.square(x[:, :, None] - y[:, None, :]).sum(axis=0)
    with float64():
        np.testing.assert_allclose(squared_distances(x, y), expected, rtol=1e-13)
        found = np.asarray(squared_distances(x, y, 60.0))
    near = expected <= 60
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-13)
    assert near.any() and (found[~near] > 60).all()


def test_suggested_eps_makes_that_fraction_core_points():
    rng = np.random.default_rng(0)
    dense = make_blobs(400, 2, centers=[[0, 0], [8, 8]], cluster_std=0.5, random_state=0)[0]
    x = np.concatenate([dense, rng.uniform(-20, 30, (40, 2))])
    for core in (0.25, 0.5, 0.9):
        result = cluster.dbscan.fit(x, eps=cluster.dbscan.suggest_eps(x, 5, core), min_samples=5)
        assert abs(result.core.mean() - core) < 0.01
    assert set(result.labels[:400]) - {-1} == {0, 1} and np.mean(result.labels[400:] == -1) > 0.8


def test_suggested_eps_of_a_lattice_is_its_spacing():
    x = np.arange(20)[:, None] * 0.1
    eps = cluster.dbscan.suggest_eps(x, 2)
    assert eps == pytest.approx(0.1, rel=1e-6)
    assert not cluster.dbscan.fit(x, eps=eps, min_samples=2).labels.any()
    assert cluster.dbscan.suggest_eps(np.repeat(np.eye(3), 2, axis=0), 3) == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: cluster.dbscan.fit(x, eps=0.0), "eps=0.0 must be positive"),
        (lambda x: cluster.dbscan.fit(x, eps=np.nan), "eps=nan"),
        (lambda x: cluster.dbscan.fit(x, eps=1, min_samples=0), "min_samples=0"),
        (lambda x: cluster.dbscan.fit(x, eps=1, block=0), "block=0"),
        (lambda x: cluster.dbscan.suggest_eps(x, 1), "min_samples=1 must be between 2 and the 50 rows"),
        (lambda x: cluster.dbscan.suggest_eps(x, 51), "min_samples=51"),
        (lambda x: cluster.dbscan.suggest_eps(x, 5, 0.0), "core=0.0"),
        (lambda x: cluster.dbscan.suggest_eps(0 * x, 5), "coincides with 4 others"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(UserError, match=message):
        call(blobs(50, 2))


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_weights_are_those_of_scikit_learn(dtype):
    """Some are zero, some negative; quarters, so that no sum rounds."""
    x, weights = blobs(300, 2), np.random.default_rng(0).integers(-8, 20, 300).astype(dtype)
    weights = weights / 4 if dtype == np.float64 else weights
    labels = assert_same(x, 0.5, weights=weights)
    assert labels.max() >= 2 and (labels != cluster.dbscan.fit(x, eps=0.5, block=64).labels).any()


def test_a_weight_counts_for_so_many_rows():
    x, times = blobs(120, 2), np.random.default_rng(1).integers(1, 4, 120)
    whole = cluster.dbscan.fit(np.repeat(x, times, axis=0), eps=0.5, block=64)
    weighted = cluster.dbscan.fit(x, eps=0.5, weights=times, block=64)
    np.testing.assert_array_equal(np.repeat(weighted.labels, times), whole.labels)
    np.testing.assert_array_equal(np.repeat(weighted.core, times), whole.core)


@pytest.mark.parametrize(
    ("weights", "message"),
    [(np.ones(4), r"5 rows but weights of shape \(4,\)"), ([1, 1, 1, 1, np.inf], "NaN")],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises(UserError, match=message):
        cluster.dbscan.fit(np.eye(5), eps=1, weights=weights)


def test_far_outliers_move_no_row():
    x = np.round(blobs(200, 3), 2)
    x[::40] = 1e9 + np.arange(5)[:, None]
    x[7, 1] = -9999
    assert assert_same(x, 1.0).max() >= 2
