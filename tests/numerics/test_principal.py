"""Principal directions against numpy's singular vectors."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from unsupjax.numerics.principal import principal
from unsupjax.parallel.mesh import AXIS, make_mesh

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(504, 40)) * 0.5 ** np.arange(40) + 3).astype(np.float32)


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_directions_and_variances(rows, weighted):
    weights = np.random.default_rng(1).integers(0, 3, len(rows)).astype(np.float32) if weighted else None
    mean, directions, variances = principal(KEY, rows, 8, weights=weights)
    repeated = np.repeat(rows, weights.astype(int), axis=0) if weighted else rows
    _, s, v = np.linalg.svd(repeated - repeated.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(mean, repeated.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.abs(v[:3] @ directions[:, :3]), np.eye(3), atol=2e-3)
    np.testing.assert_allclose(variances[:3], s[:3] ** 2 / len(repeated), rtol=1e-3)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    assert (largest > 0).all()


def test_devices_change_nothing(rows):
    find = lambda x: principal(KEY, x, 3, axis_name=AXIS)
    sharded = jax.jit(
        jax.shard_map(find, mesh=make_mesh(), in_specs=PartitionSpec(AXIS), out_specs=PartitionSpec())
    )(rows)
    for a, b in zip(sharded, principal(KEY, rows, 3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_missing_entries_count_as_the_mean(rows):
    x = rows.copy()
    x[::7, 1] = np.nan
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x).astype(np.float32)
    for a, b in zip(principal(KEY, x, 3, missing=True), principal(KEY, filled, 3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_fewer_features_than_directions(rows):
    mean, directions, variances = principal(KEY, rows[:, :1], 8)
    assert mean.shape == (1,) and directions.shape == (1, 1) and variances.shape == (1,)
    np.testing.assert_allclose(variances[0], rows[:, 0].var(), rtol=1e-4)
