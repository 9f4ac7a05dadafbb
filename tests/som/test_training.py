"""The batch map and Kohonen's rule against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from unsupjax import som
from unsupjax.numerics import nearest
from unsupjax.parallel.mesh import AXIS, make_mesh
from unsupjax.som.neighbourhood import DECAYS, NEIGHBOURHOODS, is_separable, smooth, squared_distances

KEY = jax.random.key(0)
GRIDS = [
    som.Grid(4, 6),
    som.Grid(4, 6, toroidal=True),
    som.Grid(4, 6, "hexagonal"),
    som.Grid(4, 6, "hexagonal", True),
]
WEIGHTS = {
    "gaussian": lambda d, r: np.exp(-(d**2) / (2 * r**2)),
    "bubble": lambda d, r: (d <= r).astype(float),
    "mexican_hat": lambda d, r: (1 - d**2 / (2 * r**2)) * np.exp(-(d**2) / (2 * r**2)),
    "triangle": lambda d, r: np.maximum(1 - d / r, 0),
}


@pytest.fixture(scope="module")
def rows(digits):
    """Digits with a little noise, so that no distances tie."""
    return (digits.reshape(-1, 64)[:300] + np.random.default_rng(0).normal(0, 0.01, (300, 64))).astype(
        np.float32
    )


def one_epoch(x, w, h):
    """The textbook batch map, row by row."""
    numerator, denominator, reach = np.zeros_like(w), np.zeros(len(w)), np.zeros(len(w))
    for row in x:
        best = np.argmin(np.square(row - w).sum(axis=1))
        numerator += h[:, best, None] * (row - w)
        denominator += h[:, best]
        reach += np.abs(h[:, best])
    return w + numerator / np.where(reach > 0, reach, 1)[:, None]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.topology}-{g.toroidal}")
@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
def test_one_epoch_is_the_textbook_batch_map(rows, grid, neighbourhood):
    start = rows[:24].astype(np.float64)
    expected = one_epoch(rows.astype(np.float64), start, WEIGHTS[neighbourhood](som.distances(grid), 1.7))
    settings = {"neighbourhood": neighbourhood, "start_radius": 1.7}
    fitted = som.fit(KEY, rows, grid, epochs=1, init=rows[:24], **settings)
    np.testing.assert_allclose(fitted.map.codebook, expected, atol=1e-5)
    away = np.sqrt(np.square(rows[:, None] - start[None]).sum(axis=-1).min(axis=1)).mean()
    np.testing.assert_allclose(fitted.errors[0], away, rtol=1e-3)


def test_mean_is_what_the_weighted_form_says(rows):
    """For weights that are not negative: sum h x / sum h."""
    h = WEIGHTS["gaussian"](som.distances(GRIDS[0]), 1.7)
    best = np.square(rows[:, None] - rows[None, :24]).sum(axis=-1).argmin(axis=1)
    expected = h[:, best] @ rows.astype(np.float64) / h[:, best].sum(axis=1, keepdims=True)
    fitted = som.fit(KEY, rows, GRIDS[0], epochs=1, init=rows[:24], start_radius=1.7)
    np.testing.assert_allclose(fitted.map.codebook, expected, atol=1e-5)


@pytest.mark.parametrize("toroidal", [False, True])
def test_separable_smoothing_is_the_sum_over_all_units(toroidal):
    grid = som.Grid(5, 7, toroidal=toroidal)
    assert is_separable(grid, "gaussian") and not is_separable(grid, "bubble")
    values = np.random.default_rng(0).normal(size=(35, 3)).astype(np.float32)
    smoothed, _ = smooth(jnp.asarray(values), grid, "gaussian", 1.3, None)
    dense = np.exp(-np.asarray(squared_distances(grid)) / (2 * 1.3**2)) @ values
    np.testing.assert_allclose(smoothed, dense, atol=1e-5)


def test_kohonens_rule_row_by_row(rows):
    grid, n = GRIDS[0], 40
    x = rows[:n]
    fitted = som.fit(KEY, x, grid, epochs=2, batch_size=1, init=rows[:24], start_radius=3.0)
    w, apart = rows[:24].astype(np.float64), som.distances(grid)
    steps = 2 * n
    for epoch in range(2):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(KEY, epoch), n))
        for i, row in enumerate(x[order].astype(np.float64)):
            p = (epoch * n + i) / (steps - 1)
            radius, rate = 3 + (1 - 3) * p, 0.5 + (0.01 - 0.5) * p
            best = np.argmin(np.square(row - w).sum(axis=1))
            w += rate * np.exp(-(apart[:, best] ** 2) / (2 * radius**2))[:, None] * (row - w)
    np.testing.assert_allclose(fitted.map.codebook, w, atol=1e-5)


def test_missing_entries_count_for_nothing(rows):
    grid = GRIDS[0]
    seen = np.random.default_rng(1).random(rows.shape) < 0.8
    x, w = np.where(seen, rows, np.nan), rows[:24].astype(np.float64)
    h = WEIGHTS["gaussian"](som.distances(grid), 1.7)
    numerator, denominator = np.zeros_like(w), np.zeros_like(w)
    for row, there in zip(rows, seen, strict=True):
        best = np.argmin(np.where(there, np.square(row - w), 0).sum(axis=1))
        numerator += h[:, best, None] * np.where(there, row, 0)
        denominator += h[:, best, None] * there
    fitted = som.fit(KEY, x, grid, epochs=1, init=rows[:24], start_radius=1.7, missing=True)
    np.testing.assert_allclose(fitted.map.codebook, numerator / denominator, atol=1e-5)
    trained = som.fit(KEY, x, grid, missing=True).map
    assert np.isfinite(trained.codebook).all()
    assert som.quantization_error(trained, x, missing=True) < 1.5 * som.quantization_error(trained, rows)


@pytest.mark.parametrize("settings", [{}, {"batch_size": 4}])
def test_devices_change_nothing(rows, settings):
    x = rows[:296]
    fit = lambda x, axis=None: som.fit(KEY, x, GRIDS[2], epochs=3, axis_name=axis, **settings)
    whole, shared = PartitionSpec(), PartitionSpec(AXIS)
    sharded = jax.jit(
        jax.shard_map(lambda x: fit(x, AXIS), mesh=make_mesh(), in_specs=shared, out_specs=whole)
    )(x)
    if settings:  # other rows meet in a mini-batch: a map as good, not the same
        assert sharded.errors[-1] < 1.1 * fit(x).errors[-1]
    else:
        np.testing.assert_allclose(sharded.map.codebook, fit(x).map.codebook, atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "manhattan"])
@pytest.mark.parametrize("settings", [{}, {"batch_size": 16}])
def test_other_metrics_organise_too(rows, metric, settings):
    fitted = som.fit(KEY, rows, GRIDS[0], metric=metric, end_radius=0.5, **settings)
    untrained = som.Map(jnp.asarray(rows[:24]), GRIDS[0], metric)
    assert som.quantization_error(fitted.map, rows) < 0.95 * fitted.errors[0]
    assert som.topographic_error(fitted.map, rows) < 0.5 * som.topographic_error(untrained, rows)


@pytest.mark.parametrize("decay", DECAYS)
def test_decays_reach_both_ends(decay):
    values = [float(DECAYS[decay](8.0, 0.5, p)) for p in np.linspace(0, 1, 9)]
    np.testing.assert_allclose([values[0], values[-1]], [8, 0.5], rtol=1e-6)
    assert (np.diff(values) < 0).all()


def test_the_asymptotic_decay_is_minisoms_where_it_ends_at_a_third():
    p = np.linspace(0, 1, 5)
    np.testing.assert_allclose(DECAYS["asymptotic"](6.0, 2.0, p), 6 / (1 + 2 * p), rtol=1e-6)


def test_the_principal_plane_is_that_of_the_singular_vectors(rows):
    start = np.asarray(
        som.fit(KEY, rows, som.Grid(3, 5), epochs=1, start_radius=1e6, end_radius=1e6).map.codebook
    )
    np.testing.assert_allclose(start, np.broadcast_to(rows.mean(axis=0), start.shape), atol=1e-4)
    from unsupjax.som.start import pca

    plane = np.asarray(pca(KEY, jnp.asarray(rows), som.Grid(3, 5), False, None))
    centred = rows - rows.mean(axis=0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    along = (plane - rows.mean(axis=0)) @ v[:2].T / (s[:2] / np.sqrt(len(rows)))
    expected = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 3)), axis=-1).reshape(15, 2)
    np.testing.assert_allclose(np.abs(along), np.abs(expected), atol=0.05)
    np.testing.assert_allclose(
        np.linalg.norm(plane - rows.mean(axis=0) - (along * s[:2] / np.sqrt(300)) @ v[:2]), 0, atol=0.3
    )


@pytest.mark.parametrize("init", ["samples", "uniform"])
def test_starts_lie_within_the_data(rows, init):
    from unsupjax.som.start import STARTS

    start = np.asarray(STARTS[init](KEY, jnp.asarray(rows), GRIDS[0], False, None))
    assert (start >= rows.min(axis=0) - 1e-6).all() and (start <= rows.max(axis=0) + 1e-6).all()
    assert len(np.unique(start, axis=0)) == 24
    if init == "samples":
        assert all((row == rows).all(axis=1).any() for row in start)


@pytest.mark.parametrize("init", ["samples", "uniform"])
def test_starts_do_not_depend_on_devices(rows, init):
    """Entries are missing on one device more than on others."""
    from unsupjax.som.start import STARTS

    x = rows[:296].copy()
    x[:30, :40] = np.nan
    start = lambda x, axis=None: STARTS[init](KEY, jnp.asarray(x), GRIDS[0], True, axis)
    whole, shared = PartitionSpec(), PartitionSpec(AXIS)
    sharded = jax.jit(
        jax.shard_map(lambda x: start(x, AXIS), mesh=make_mesh(), in_specs=shared, out_specs=whole)
    )(x)
    np.testing.assert_allclose(sharded, start(x), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "settings"), [((1, 3), {}), ((50, 2000), {}), ((5, 1), {}), ((30, 2), {"init": "samples"})]
)
def test_odd_shapes(shape, settings):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    fitted = som.fit(KEY, x, som.Grid(3, 4), epochs=2, **settings)
    assert np.isfinite(fitted.map.codebook).all() and np.isfinite(fitted.errors).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"init": "random"}, "init='random' is unknown"),
        ({"init": np.zeros((3, 64))}, r"init has the shape \(3, 64\)"),
        ({"neighbourhood": "cone"}, "neighbourhood='cone' is unknown"),
        ({"decay": "cubic"}, "decay='cubic' is unknown"),
        ({"metric": "l3"}, "metric='l3' is unknown"),
        ({"end_radius": 0.0}, "both above 0"),
        ({"start_radius": 0.5}, "start_radius=0.5 must be at least end_radius=1.0"),
    ],
)
def test_bad_arguments_are_named(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        som.fit(KEY, rows, GRIDS[0], **settings)


def test_bad_rows_are_named(rows):
    bad = rows.copy()
    bad[7, 3] = np.nan
    with pytest.raises(ValueError, match=r"som: row 7 .* holds NaN"):
        som.fit(KEY, bad, GRIDS[0])
    bad[9, 3] = np.inf
    with pytest.raises(ValueError, match=r"som: row 9 .* infinity, and so do 1 of 300"):
        som.fit(KEY, bad, GRIDS[0], missing=True)
    with pytest.raises(ValueError, match="at least one row"):
        som.fit(KEY, rows[:0], GRIDS[0])


def test_a_wrong_sum_would_be_noticed(rows, monkeypatch):
    right = nearest.add_at
    monkeypatch.setattr(nearest, "add_at", lambda total, index, rows: right(total, jnp.roll(index, 1), rows))
    jax.clear_caches()
    with pytest.raises(AssertionError):
        test_one_epoch_is_the_textbook_batch_map(rows, GRIDS[0], "gaussian")
    jax.clear_caches()
