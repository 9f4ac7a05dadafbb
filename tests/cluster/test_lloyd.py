"""k-means against scikit-learn from the same start, over devices, and in the corners."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from unsupjax.cluster import kmeans
from unsupjax.cluster.seeding import SEEDINGS, draw
from unsupjax.parallel.mesh import AXIS, make_mesh

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def rows(digits):
    """Digits with a little noise, so that no distances tie."""
    return (digits.reshape(-1, 64)[:800] + np.random.default_rng(0).normal(0, 0.01, (800, 64))).astype(
        np.float32
    )


def peer(rows, start, **kwargs):
    weights = kwargs.pop("sample_weight", None)
    return KMeans(len(start), init=start, n_init=1, algorithm="lloyd", **kwargs).fit(
        rows, sample_weight=weights
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tolerance", [1e-4, 0.0, 1e-2])
def test_same_start_same_clusters_as_scikit_learn(rows, seed, tolerance):
    start = rows[np.random.default_rng(seed).choice(len(rows), 20, replace=False)]
    expected = peer(rows, start, tol=tolerance)
    fitted = kmeans.fit(KEY, rows, 20, init=start, tolerance=tolerance)
    np.testing.assert_array_equal(fitted.labels, expected.labels_)
    np.testing.assert_allclose(fitted.inertia, expected.inertia_, rtol=1e-5)
    np.testing.assert_allclose(fitted.centers, expected.cluster_centers_, atol=1e-5)
    assert fitted.iterations == expected.n_iter_


def test_weights_are_those_of_scikit_learn(rows):
    weights = np.random.default_rng(1).uniform(0, 3, len(rows)).astype(np.float32)
    expected = peer(rows, rows[:20], sample_weight=weights)
    fitted = kmeans.fit(KEY, rows, 20, init=rows[:20], weights=weights)
    np.testing.assert_array_equal(fitted.labels, expected.labels_)
    np.testing.assert_allclose(fitted.inertia, expected.inertia_, rtol=1e-5)


def test_empty_clusters_take_the_farthest_rows_as_in_scikit_learn(rows):
    start = np.concatenate([rows[:15], np.full((5, 64), 50.0, np.float32) + np.arange(5)[:, None]])
    start = start.astype(np.float32)
    expected = peer(rows, start, max_iter=1)
    fitted = kmeans.fit(KEY, rows, 20, init=start, iterations=1)
    assert len(np.unique(fitted.labels)) == 20
    # The order in which scikit-learn fills several clusters is arbitrary; the partition is not.
    assert adjusted_rand_score(expected.labels_, fitted.labels) == 1
    np.testing.assert_allclose(fitted.inertia, expected.inertia_, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_devices_change_nothing(rows, init):
    settings = {"init": init, "restarts": 2}
    expected = kmeans.fit(KEY, rows, 20, **settings)
    whole, shared = PartitionSpec(), PartitionSpec(AXIS)
    fit = lambda x: kmeans.fit(KEY, x, 20, **settings, axis_name=AXIS)
    specs = kmeans.Fit(whole, shared, whole, whole)
    sharded = jax.jit(jax.shard_map(fit, mesh=make_mesh(), in_specs=shared, out_specs=specs))(rows)
    np.testing.assert_array_equal(sharded.labels, expected.labels)
    np.testing.assert_allclose(sharded.centers, expected.centers, atol=1e-5)
    np.testing.assert_allclose(sharded.inertia, expected.inertia, rtol=1e-6)


def test_devices_fill_empty_clusters_alike(rows):
    start = np.concatenate([rows[:19], np.full((1, 64), 50.0, np.float32)])
    expected = kmeans.fit(KEY, rows, 20, init=start)
    whole, shared = PartitionSpec(), PartitionSpec(AXIS)
    fit = lambda x: kmeans.fit(KEY, x, 20, init=start, axis_name=AXIS)
    specs = kmeans.Fit(whole, shared, whole, whole)
    sharded = jax.jit(jax.shard_map(fit, mesh=make_mesh(), in_specs=shared, out_specs=specs))(rows)
    np.testing.assert_array_equal(sharded.labels, expected.labels)


@pytest.mark.thorough
def test_ten_restarts_reach_what_scikit_learns_reach(digits):
    x = 16 * digits.reshape(-1, 64)
    fitted = kmeans.fit(KEY, x, 10)
    peers = [KMeans(10, n_init=10, random_state=seed).fit(x).inertia_ for seed in range(3)]
    assert min(peers) * (1 - 1e-4) < fitted.inertia < max(peers) * (1 + 1e-3)


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_good_seeds_beat_random_rows_before_any_iteration(rows, init):
    """Potential after seeding, over seeds: a seeding that ignores distances fails."""
    x = jnp.asarray(rows)

    def potentials(name):
        seeding = partial(
            SEEDINGS[name], x=x, k=30, weights=jnp.ones(len(x)), metric="euclidean", axis_name=None
        )
        seeding = jax.jit(seeding)
        return [float(kmeans.score(seeding(jax.random.key(seed)), rows)) for seed in range(4)]

    good, plain = potentials(init), potentials("random")
    assert max(good) < 0.95 * np.mean(plain)


def test_rows_are_drawn_in_proportion_to_their_mass():
    x = np.arange(3000, dtype=np.float32)[:, None]
    mass = np.where(np.arange(3000) % 3 == 0, 0.0, 1.0 + (np.arange(3000) >= 1500)).astype(np.float32)
    drawn = draw(KEY, jnp.asarray(x), jnp.asarray(mass), 30_000, None)
    index = np.asarray(drawn[:, 0]).astype(int)
    assert (mass[index] > 0).all()
    assert abs((index >= 1500).mean() - 2 / 3) < 0.02


def test_spherical_clusters_directions(rows):
    scaled = rows * np.random.default_rng(2).uniform(0.1, 10, (len(rows), 1)).astype(np.float32)
    fitted = kmeans.fit(KEY, rows, 10, init=rows[:10], spherical=True, iterations=20)
    again = kmeans.fit(KEY, scaled, 10, init=rows[:10], spherical=True, iterations=20)
    np.testing.assert_array_equal(fitted.labels, again.labels)
    np.testing.assert_allclose(np.linalg.norm(fitted.centers, axis=1), 1, rtol=1e-5)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ np.asarray(fitted.centers).T
    np.testing.assert_array_equal(fitted.labels, cosines.argmax(axis=1))
    np.testing.assert_allclose(fitted.inertia, 2 * (1 - cosines.max(axis=1)).sum(), rtol=1e-4)
    np.testing.assert_array_equal(kmeans.predict(fitted.centers, scaled, spherical=True), fitted.labels)
    assert fitted.inertia < kmeans.fit(KEY, rows, 10, init=rows[:10], spherical=True, iterations=1).inertia


def test_prediction_and_distances(rows):
    fitted = kmeans.fit(KEY, rows, 10, restarts=1)
    distances = np.linalg.norm(rows[:, None] - np.asarray(fitted.centers)[None], axis=-1)
    np.testing.assert_array_equal(kmeans.predict(fitted.centers, rows), fitted.labels)
    np.testing.assert_allclose(kmeans.transform(fitted.centers, rows), distances, atol=1e-4)
    np.testing.assert_allclose(kmeans.score(fitted.centers, rows), fitted.inertia, rtol=1e-6)


def test_fewer_distinct_rows_than_clusters():
    x = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    fitted = kmeans.fit(KEY, x, 10)
    assert len(np.unique(fitted.labels)) == 4
    assert fitted.inertia < 1e-8 and np.isfinite(fitted.centers).all()


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float64])
def test_dtypes_are_taken_as_they_are(digits, dtype):
    x = (16 * digits.reshape(-1, 64)[:200]).astype(dtype)
    expected = kmeans.fit(KEY, x.astype(np.float32), 5, init=x[:5])
    fitted = kmeans.fit(KEY, x, 5, init=x[:5])
    assert fitted.centers.dtype == jnp.float32
    np.testing.assert_array_equal(fitted.labels, expected.labels)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "d", "k"), [(1, 3, 1), (50, 20_000, 3), (3000, 1, 4)])
def test_odd_shapes(n, d, k):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    fitted = kmeans.fit(KEY, x, k, restarts=1)
    assert len(np.unique(fitted.labels)) == k and np.isfinite(fitted.inertia)


def test_constant_columns_are_harmless(rows):
    wide = np.concatenate([rows, np.full((len(rows), 3), 1e4, np.float32)], axis=1)
    start = wide[:10]
    np.testing.assert_array_equal(
        kmeans.fit(KEY, wide, 10, init=start).labels, kmeans.fit(KEY, rows, 10, init=rows[:10]).labels
    )


@pytest.mark.parametrize(
    ("x", "k", "settings", "message"),
    [
        (np.zeros((3, 2)), 4, {}, "k=4 clusters of 3 rows"),
        (np.zeros((0, 2)), 1, {}, "at least one row"),
        (np.zeros(3), 1, {}, r"a table \[N, D\] and got shape \(3,\)"),
        (np.array([[0, 1], [2, np.nan], [np.inf, 0]]), 2, {}, "row 1 .* NaN or infinity, and so do 2 of 3"),
        (np.array([["a"], ["b"]]), 1, {}, "real numbers"),
        (np.zeros((3, 2)), 2, {"restarts": 0}, "restarts=0"),
        (np.zeros((3, 2)), 2, {"init": "kmeans"}, "init='kmeans' is unknown; choose one of"),
        (np.zeros((3, 2)), 2, {"init": np.zeros((2, 3))}, r"init has the shape \(2, 3\)"),
    ],
)
def test_bad_input_is_named(x, k, settings, message):
    with pytest.raises(ValueError, match=message):
        kmeans.fit(KEY, x, k, **settings)


def test_a_wrong_mean_would_be_noticed(rows, monkeypatch):
    monkeypatch.setattr(kmeans, "means", lambda centers, sums, counts, metric="euclidean": centers + 0 * sums)
    jax.clear_caches()
    fitted = kmeans.fit(KEY, rows, 20, init=rows[:20])
    jax.clear_caches()
    assert fitted.inertia > 1.05 * peer(rows, rows[:20]).inertia_
