"""The core of k-means and of maps, against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from unsupjax import som
from unsupjax.cluster import kmeans, seeding
from unsupjax.numerics import nearest
from unsupjax.numerics.principal import principal
from unsupjax.parallel.mesh import AXIS, make_mesh
from unsupjax.som import quality

RNG = np.random.default_rng(0)


def oracle(x, w, metric, observed=None):
    """Distances [N, K] in float64, differenced directly."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    if metric == "cosine":
        unit = lambda a: a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-300)
        return 1 - unit(np.nan_to_num(x)) @ unit(w).T
    observed = np.ones(x.shape, bool) if observed is None else observed
    apart = np.where(observed[:, None], np.nan_to_num(x)[:, None] - w[None], 0)
    scale = x.shape[1] / np.maximum(observed.sum(axis=1), 1)[:, None]
    if metric == "manhattan":
        return np.abs(apart).sum(axis=-1) * scale
    return np.sqrt(np.square(apart).sum(axis=-1) * scale)


@pytest.fixture(params=[10, pytest.param(300, marks=pytest.mark.slow), 1000])
def tiles(request, monkeypatch):
    """Tiles of few rows, of which the last overlaps, and one tile alone."""
    monkeypatch.setattr(nearest, "tile_rows", lambda n, k: min(n, request.param))
    monkeypatch.setattr(nearest, "_GROUP", 3)


@pytest.mark.parametrize("metric", nearest.METRICS)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("n", [317, 328])  # the second is searched in eight parts, one for each device
@pytest.mark.usefixtures("tiles")
def test_units_distances_and_totals(metric, missing, n):
    x, w = RNG.normal(size=(n, 7)).astype(np.float32), RNG.normal(size=(12, 7)).astype(np.float32)
    observed = RNG.random(x.shape) < 0.7 if missing else np.ones(x.shape, bool)
    x = np.where(observed, x, np.nan)
    weights = RNG.random(n).astype(np.float32)
    expected = oracle(x, w, metric, observed)
    best = expected.argmin(axis=1)
    index, distance = nearest.find(x, w, metric=metric, missing=missing)
    np.testing.assert_array_equal(index, best)
    np.testing.assert_allclose(distance, expected.min(axis=1), atol=2e-6)
    np.testing.assert_allclose(nearest.table(x, w, metric=metric, missing=missing), expected, atol=3e-3)
    totals, labels = jax.jit(nearest.accumulate, static_argnames=("metric", "missing"))(
        x, w, weights=weights, metric=metric, missing=missing
    )
    np.testing.assert_array_equal(labels, best)
    shift = np.asarray(nearest.prepare(jnp.asarray(w), metric).shift)
    rows = np.nan_to_num(x - shift)
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    sums, counts = np.zeros((12, 7)), np.zeros((12, 7))
    np.add.at(sums, best, weights[:, None] * rows)
    np.add.at(counts, best, weights[:, None] * observed)
    np.testing.assert_allclose(totals.sums, sums, atol=1e-4)
    np.testing.assert_allclose(totals.counts, counts if missing else counts.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(totals.distance, (weights * expected.min(axis=1)).sum(), rtol=1e-5)
    np.testing.assert_allclose(totals.weight, weights.sum(), rtol=1e-5)


@pytest.mark.parametrize("offset", [0, 100, 1000])
@pytest.mark.usefixtures("tiles")
def test_data_far_from_zero_finds_the_right_units(offset):
    x, w = RNG.normal(size=(500, 16)), RNG.normal(size=(40, 16))
    x, w = (x + offset).astype(np.float32), (w + offset).astype(np.float32)
    best = oracle(x, w, "euclidean").argmin(axis=1)
    np.testing.assert_array_equal(nearest.find(x, w)[0], best)
    np.testing.assert_array_equal(nearest.accumulate(x, w)[1], best)


def test_the_expansion_without_the_shift_would_not():
    x, w = RNG.normal(size=(500, 16)) + 1000, RNG.normal(size=(40, 16)) + 1000
    x, w = x.astype(np.float32), w.astype(np.float32)
    naive = (0.5 * np.square(w).sum(axis=1) - x @ w.T).argmin(axis=1)
    assert (naive != oracle(x, w, "euclidean").argmin(axis=1)).mean() > 0.05


def test_ties_go_to_the_lowest_index():
    w = np.array([[5, 5], [0, 2], [2, 0], [0, 2], [0, 0]], np.float32)
    x = np.array([[2, 2], [1, 1], [0, 1], [0, 2]], np.int32)
    np.testing.assert_array_equal(nearest.find(x, w)[0], [1, 1, 1, 1])


def test_nan_is_nearest_to_nothing():
    x = np.array([[0.0, np.nan], [0.0, 0.0]], np.float32)
    w = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    np.testing.assert_array_equal(nearest.find(x, w)[0], [2, 0])
    totals, _ = nearest.accumulate(x, w)
    np.testing.assert_array_equal(totals.counts, [1, 0])


def test_sums_of_accelerators_equal_those_of_the_cpu(monkeypatch):
    x, w = RNG.normal(size=(317, 7)).astype(np.float32), RNG.normal(size=(12, 7)).astype(np.float32)
    expected, _ = nearest.accumulate(x, w)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
    totals, _ = nearest.accumulate(x, w)
    np.testing.assert_allclose(totals.sums, expected.sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(totals.counts, expected.counts)


def test_no_array_of_rows_by_units_is_made():
    text = jax.jit(nearest.accumulate).lower(jnp.zeros((9999, 8)), jnp.zeros((64, 8))).as_text()
    assert "9999x8" in text and "9999x64" not in text and "64x9999" not in text


def test_parts_for_each_device():
    """As many as hold equal parts; one where rows are a single tile, or parts smaller than a quarter of the units."""
    assert (
        nearest.shares(80_000, 12) == 8
        and nearest.shares(80_004, 12) == 4
        and nearest.shares(80_001, 12) == 1
    )
    assert nearest.shares(800, 12) == 1
    assert nearest.shares(8_000, 4_000) == 8 and nearest.shares(8_000, 4_001) == 1


@pytest.mark.thorough
def test_other_searches_in_parts(monkeypatch):
    """Those that use the tiles by themselves, against one tile."""
    x, w = RNG.normal(size=(328, 7)).astype(np.float32), RNG.normal(size=(12, 7)).astype(np.float32)
    weights, labels = RNG.random(328).astype(np.float32), nearest.find(x, w)[0]
    grid, units = (
        som.Map(jnp.asarray(w), som.Grid(3, 4), "euclidean"),
        nearest.prepare(jnp.asarray(w), "euclidean"),
    )

    def results():
        jax.clear_caches()
        return (
            seeding.squared_to(x, w, "euclidean"),
            kmeans._farthest(x, units, weights, labels, 12, "euclidean", None),
            principal(jax.random.key(0), x, 3, weights=weights),
            quality.best_two(grid, x),
            quality.distortion(grid, x, 1.0),
        )

    whole = results()
    monkeypatch.setattr(nearest, "tile_rows", lambda n, k: min(n, 30))
    assert nearest.shares(328, 128) == 8
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=5e-5), results(), whole)


def test_unknown_metric():
    with pytest.raises(ValueError, match="metric 'chebyshev' is unknown"):
        nearest.find(np.zeros((2, 2)), np.zeros((1, 2)), metric="chebyshev")


def test_sums_of_many_rows_stay_exact():
    """Half a million rows of one unit: added one by one, their float32 sum would lose digits."""
    x = np.where(np.arange(500_000) % 2, 0.1, 0.3).astype(np.float32)[:, None]
    units = jnp.array([[0.0], [1.0]])
    totals, _ = jax.jit(nearest.accumulate)(x, units)
    mean = totals.sums[0, 0] / totals.counts[0] + nearest.prepare(units, "euclidean").shift[0]
    np.testing.assert_allclose(mean, 0.2, rtol=1e-4)


def spread_out(kind, d):
    """Rows `[900, D]` and units `[50, D]` that the expansion around any one centre would not rank."""
    x, w = RNG.normal(size=(900, d)), RNG.normal(size=(50, d))
    if kind == "one far unit":
        x[:5], w[7] = 2e5 + RNG.normal(size=(5, d)), 2e5
    if kind == "a sentinel":  # in a third of a column
        x[::3, 0], w[::3, 0] = -99999, -99999
    if kind == "two groups":
        x[::2], w[::2] = x[::2] + 3e4, w[::2] + 3e4
    return x.astype(np.float32), w.astype(np.float32)


@pytest.mark.parametrize("kind", ["one far unit", "a sentinel", "two groups"])
@pytest.mark.parametrize(("d", "missing"), [(2, False), (40, False), (7, True)])
def test_far_units_blur_nothing(kind, d, missing, monkeypatch):
    monkeypatch.setattr(nearest, "tile_rows", lambda n, k: min(n, 300))
    x, w = spread_out(kind, d)
    observed = RNG.random(x.shape) < (0.8 if missing else 2)
    x = np.where(observed, x, np.nan)
    expected = oracle(x, w, "euclidean", observed)
    compare = jax.jit(
        lambda x, w: (nearest.find(x, w, missing=missing), nearest.table(x, w, missing=missing))
    )
    (index, distance), table = compare(x, w)
    np.testing.assert_array_equal(index, expected.argmin(axis=1))
    np.testing.assert_allclose(distance, expected.min(axis=1), rtol=3e-6)
    np.testing.assert_allclose(table, expected, rtol=3e-6)
    totals, labels = nearest.accumulate(x, w, missing=missing)
    np.testing.assert_array_equal(labels, index)
    np.testing.assert_allclose(totals.distance, expected.min(axis=1).sum(), rtol=3e-6)
    pairs = quality.best_two(som.Map(jnp.asarray(w), som.Grid(5, 10)), x, missing)
    np.testing.assert_array_equal(pairs, np.argsort(expected, axis=1, kind="stable")[:, :2])


def test_far_units_under_vmap_and_shard_map():
    x, w = spread_out("two groups", 20)
    x, best = x[:896], oracle(x[:896], w, "euclidean").argmin(axis=1)
    many = jax.vmap(nearest.find, in_axes=(0, None))(x.reshape(2, 448, 20), w)[0]
    np.testing.assert_array_equal(many.reshape(-1), best)
    shared = PartitionSpec(AXIS)
    find = jax.shard_map(lambda x: nearest.find(x, w), mesh=make_mesh(), in_specs=shared, out_specs=shared)
    np.testing.assert_array_equal(jax.jit(find)(x)[0], best)


def test_the_centre_stays_among_most_of_the_units():
    w = RNG.normal(5000, 1, size=(40, 3)).astype(np.float32)
    w[::6] = [1e6, -1e7, 1e8]
    assert np.abs(nearest.center(w) - 5000).max() < 3
    np.testing.assert_array_equal(nearest.center(np.array([[5.0], [7.0], [1e6]])) % 1, 0)


def test_rows_and_units_without_direction_are_at_cosine_distance_one():
    """scikit-learn's `cosine_distances`; the lowest of the units, which all tie."""
    x, w = np.array([[0, 0], [0, 3], [1e30, 1e30]]), np.array([[0, 0], [0, -1], [1e-30, 1e-30]])
    expected = [[1, 1, 1], [1, 2, 1 - 0.5**0.5], [1, 1 + 0.5**0.5, 0]]
    np.testing.assert_allclose(nearest.table(x, w, metric="cosine"), expected, atol=1e-6)
    index, distance = nearest.find(x, w, metric="cosine")
    np.testing.assert_array_equal(index, [0, 2, 2])
    np.testing.assert_allclose(distance, np.min(expected, axis=1), atol=1e-6)
