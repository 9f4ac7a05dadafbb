"""Residual and product quantisation against loops of numpy and scikit-learn's k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from unsupjax.cluster import kmeans, quantize
from unsupjax.cluster.codebook import revived
from unsupjax.errors import UserError

KEY = jax.random.key(0)


def rows(n=600, d=8, seed=0):
    x, _ = make_blobs(n, d, centers=12, cluster_std=1.5, random_state=seed)
    return x.astype(np.float32)


def mean_squared(x, y):
    return np.square(np.asarray(x, np.float64) - np.asarray(y, np.float64)).sum(axis=1).mean()


def nearest_loop(x, centers):
    return np.array([np.argmin([np.sum((row - c) ** 2) for c in centers]) for row in x.astype(np.float64)])


def test_residual_codes_are_those_of_a_loop():
    x = rows()
    books = quantize.residual(KEY, x, codes=16, levels=3)
    codes = np.asarray(quantize.encode(books, x))
    assert codes.dtype == np.int32 and codes.shape == (600, 3) and books.centers.shape == (3, 16, 8)
    left = x.copy()
    for level in range(3):
        found = nearest_loop(left, np.asarray(books.centers[level]))
        np.testing.assert_array_equal(codes[:, level], found)
        left = left - np.asarray(books.centers[level])[found]
        np.testing.assert_allclose(books.errors[level], np.square(left).sum(axis=1).mean(), rtol=1e-5)
        np.testing.assert_allclose(quantize.decode(books, codes[:, : level + 1]), x - left, atol=1e-5)
    assert np.all(np.diff(books.errors) < 0)


@pytest.mark.thorough
def test_each_level_is_a_minimum_of_k_means_as_good_as_scikit_learns():
    x = rows(1000)
    books = quantize.residual(KEY, x, codes=16, levels=3, restarts=5, tolerance=0.0)
    left = x.astype(np.float64)
    for centers, error in zip(np.asarray(books.centers), books.errors, strict=True):
        again = KMeans(16, init=centers, n_init=1, tol=0).fit(left)
        np.testing.assert_allclose(again.inertia_ / 1000, error, rtol=1e-4)  # nothing is left to gain
        best = KMeans(16, n_init=5, random_state=0).fit(left)
        assert error < 1.03 * best.inertia_ / 1000
        left = left - centers[nearest_loop(left, centers)]


def test_product_codes_are_those_of_a_loop():
    x = rows()
    books = quantize.product(KEY, x, codes=16, subspaces=4, restarts=3)
    codes = np.asarray(quantize.encode(books, x))
    assert codes.shape == (600, 4) and books.centers.shape == (4, 16, 2)
    parts = [x[:, 2 * m : 2 * m + 2] for m in range(4)]
    for m, part in enumerate(parts):
        np.testing.assert_array_equal(codes[:, m], nearest_loop(part, np.asarray(books.centers[m])))
    together = np.concatenate([np.asarray(books.centers[m])[codes[:, m]] for m in range(4)], axis=1)
    np.testing.assert_array_equal(quantize.decode(books, codes), together)
    np.testing.assert_allclose(books.errors.sum(), mean_squared(x, together), rtol=1e-5)
    for m, part in enumerate(parts):
        assert books.errors[m] < 1.1 * KMeans(16, n_init=3, random_state=0).fit(part).inertia_ / 600


@pytest.mark.thorough
def test_one_subspace_and_one_level_are_k_means():
    x = rows(600, 8)
    one = quantize.product(KEY, x, codes=8, subspaces=1, restarts=3)
    other = quantize.residual(KEY, x, codes=8, levels=1, restarts=3)
    np.testing.assert_array_equal(one.centers, other.centers)
    np.testing.assert_array_equal(quantize.encode(one, x), quantize.encode(other, x))


@pytest.mark.thorough
def test_a_start_along_principal_directions_uses_codes_more_evenly():
    """In 200 dimensions k-means++ ends with many rows in few clusters."""
    x = np.random.default_rng(0).normal(size=(2000, 200)).astype(np.float32)
    books = quantize.residual(KEY, x, codes=64, levels=1, iterations=50)
    plain = kmeans.fit(KEY, jnp.asarray(x), 64, restarts=1, iterations=50)
    perplexity = lambda labels: quantize.report(np.asarray(labels).reshape(-1, 1), 64)["perplexity"][0]
    assert perplexity(quantize.encode(books, x)) > 58 > 52 > perplexity(plain.labels)
    assert books.errors[0] < plain.inertia / 2000


@pytest.mark.parametrize("weighted", [False, True])
def test_codes_without_rows_are_revived(weighted):
    x = rows(200, 3)
    weights = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2, 200), jnp.float32) if weighted else None
    far = jnp.concatenate([jnp.asarray(x[:4]), jnp.full((28, 3), 1e4)])
    before = np.bincount(nearest_loop(x, np.asarray(far)), minlength=32)
    centers, labels, error = revived(jnp.asarray(x), far, weights, None)
    assert np.sum(before == 0) == 28 and np.bincount(labels, minlength=32).all()
    np.testing.assert_array_equal(centers[:4], x[:4])  # those with rows stay
    np.testing.assert_array_equal(labels, nearest_loop(x, np.asarray(centers)))
    squared = np.square(x - np.asarray(centers)[np.asarray(labels)]).sum(axis=1)
    np.testing.assert_allclose(error, np.average(squared, weights=weights), rtol=1e-4)


@pytest.mark.thorough
def test_codes_without_rows_among_rows_that_coincide():
    distinct = np.arange(9, dtype=np.float32)[:, None] ** 2
    x = jnp.asarray(np.repeat(distinct, 20, axis=0))
    centers, labels, error = revived(x, jnp.full((9, 1), -5.0), None, None)
    assert np.bincount(labels, minlength=9).all() and error < 1e-9
    centers, labels, error = revived(x, jnp.full((12, 1), -5.0), None, None)  # fewer distinct rows than codes
    assert len(np.unique(labels)) == 9 and error < 1e-9 and np.isfinite(centers).all()


@pytest.mark.thorough
def test_utilisation_after_a_single_iteration():
    x = rows(400, 40)
    for books in (
        quantize.residual(KEY, x, codes=100, levels=3, iterations=1, init="random"),
        quantize.product(KEY, x, codes=100, subspaces=4, iterations=1, init="random"),
    ):
        used = quantize.report(quantize.encode(books, x), 100)
        np.testing.assert_array_equal(used["utilisation"], 1)


@pytest.mark.thorough
def test_weights_are_repeated_rows():
    x = rows(60, 2)
    weights = np.random.default_rng(0).integers(1, 4, 60)
    repeated = np.repeat(x, weights, axis=0)
    fit = lambda x, w: quantize.residual(KEY, x, codes=6, levels=2, restarts=30, tolerance=0.0, weights=w)
    weighted, other = fit(x, jnp.asarray(weights, jnp.float32)), fit(repeated, None)
    np.testing.assert_allclose(weighted.errors[0], other.errors[0], rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["residual", "product"])
def test_devices_agree_with_one(method):
    x = jnp.asarray(rows(160, 40))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    shared, here = PartitionSpec("data"), PartitionSpec()
    fit = lambda x, axis: getattr(quantize, method)(KEY, x, codes=8, axis_name=axis)
    one = fit(x, None)
    many = jax.jit(jax.shard_map(lambda x: fit(x, "data"), mesh=mesh, in_specs=shared, out_specs=here))(x)
    np.testing.assert_allclose(one.centers, many.centers, atol=1e-4)
    np.testing.assert_allclose(one.errors, many.errors, rtol=1e-4)
    encode = jax.shard_map(lambda x: quantize.encode(one, x), mesh=mesh, in_specs=shared, out_specs=shared)
    np.testing.assert_array_equal(jax.jit(encode)(x), quantize.encode(one, x))


@pytest.mark.thorough
def test_the_whole_is_jittable():
    x = jnp.asarray(rows(100, 4))
    books = jax.jit(lambda x: quantize.residual(KEY, x, codes=5, levels=2))(x)
    np.testing.assert_allclose(books.centers, quantize.residual(KEY, x, codes=5, levels=2).centers, atol=1e-5)
    both = jax.jit(lambda b, x: quantize.decode(b, quantize.encode(b, x)))(books, x)
    np.testing.assert_allclose(mean_squared(x, both), books.errors[-1], rtol=1e-4)


def test_report_of_a_small_table():
    codes = np.array([[0, 1], [0, 1], [0, 2], [3, 2], [3, 2], [3, 2], [0, 0], [3, 0]])
    found = quantize.report(codes, 4)
    np.testing.assert_allclose(found["utilisation"], [0.5, 0.75])
    np.testing.assert_allclose(found["perplexity"], [2, np.exp(-2 * 0.25 * np.log(0.25) - 0.5 * np.log(0.5))])
    assert found["collision_rate"] == 5 / 8 and found["distinct"] == 5
    flat = quantize.report(np.arange(4)[:, None], 4)
    assert flat["perplexity"] == pytest.approx([4]) and flat["collision_rate"] == 0 and flat["distinct"] == 4


def test_unique_codes_number_equal_rows_in_order():
    codes = np.random.default_rng(0).integers(0, 3, (200, 3))
    unique = quantize.unique_codes(codes)
    seen, expected = {}, []
    for row in map(tuple, codes):
        expected.append(seen.get(row, 0))
        seen[row] = expected[-1] + 1
    assert unique.dtype == np.int32
    np.testing.assert_array_equal(unique, np.concatenate([codes, np.array(expected)[:, None]], axis=1))
    assert len(np.unique(unique, axis=0)) == 200


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8, jnp.bfloat16])
def test_dtypes(dtype):
    x = np.round(rows(100, 4) - rows(100, 4).min()).astype(dtype)
    books = quantize.residual(KEY, x, codes=8, levels=2)
    assert books.centers.dtype == jnp.float32
    assert mean_squared(x, quantize.decode(books, quantize.encode(books, x))) == pytest.approx(
        float(books.errors[-1]), rel=1e-3
    )


@pytest.mark.thorough
def test_few_distinct_rows_constant_columns_one_row():
    x = np.repeat(np.array([[0, 7], [1, 7], [5, 7]], np.float32), 10, axis=0)
    books = quantize.residual(KEY, x, codes=8, levels=3)
    codes = quantize.encode(books, x)
    assert np.isfinite(books.centers).all() and books.errors[-1] < 1e-9
    assert quantize.report(codes, 8)["distinct"] == 3
    np.testing.assert_allclose(quantize.decode(books, codes), x, atol=1e-5)
    one = quantize.residual(KEY, x[:1], codes=1, levels=2)
    np.testing.assert_array_equal(quantize.decode(one, quantize.encode(one, x[:1])), x[:1])
    one = quantize.product(KEY, x[:1], codes=1, subspaces=2)
    np.testing.assert_array_equal(quantize.decode(one, quantize.encode(one, x[:1])), x[:1])


@pytest.mark.thorough
def test_wide_rows():
    x = np.random.default_rng(0).normal(size=(50, 20_000)).astype(np.float32)
    books = quantize.residual(KEY, x, codes=10, levels=2)
    assert (
        np.isfinite(books.errors).all()
        and quantize.report(quantize.encode(books, x), 10)["utilisation"].all()
    )


@pytest.mark.slow
def test_many_rows():
    x = np.random.default_rng(0).normal(size=(2_000_000, 3)).astype(np.float32)
    books = quantize.residual(KEY, x, codes=64, levels=2, iterations=10)
    codes = quantize.encode(books, x)
    assert mean_squared(x, quantize.decode(books, codes)) == pytest.approx(float(books.errors[-1]), rel=1e-3)
    assert quantize.report(codes, 64)["utilisation"].all()
    assert len(np.unique(quantize.unique_codes(codes), axis=0)) == len(x)


def test_bad_input():
    x = rows(20, 6)
    holed = x.copy()
    holed[7, 2] = np.nan
    books = quantize.residual(KEY, x, codes=4, levels=2)
    for fit in (quantize.residual, quantize.product, lambda key, x: quantize.encode(books, x)):
        for wrong in (holed, jnp.asarray(holed)):
            with pytest.raises(UserError, match="row 7"):
                fit(KEY, wrong)
        with pytest.raises(UserError, match="at least one row"):
            fit(KEY, x[:0])
        with pytest.raises(UserError, match="shape"):
            fit(KEY, x[0])
        with pytest.raises(UserError, match="real numbers"):
            fit(KEY, x + 1j)
    with pytest.raises(ValueError, match="k=21 clusters of 20 rows"):
        quantize.residual(KEY, x, codes=21)
    with pytest.raises(ValueError, match="levels=0"):
        quantize.residual(KEY, x, codes=2, levels=0)
    with pytest.raises(ValueError, match="nearest that do: 3 or 6"):
        quantize.product(KEY, x, codes=2, subspaces=5)
    with pytest.raises(ValueError, match="nearest that do: 1 or 2"):
        quantize.product(KEY, x, codes=2, subspaces=0)
    with pytest.raises(ValueError, match="shape"):
        jax.jit(lambda x: quantize.encode(books, x))(x[0])


def test_bad_codes():
    x = rows(20, 6)
    books, parts = (
        quantize.residual(KEY, x, codes=4, levels=2),
        quantize.product(KEY, x, codes=4, subspaces=2),
    )
    with pytest.raises(ValueError, match="5 features, and the codebooks 6"):
        quantize.encode(books, x[:, :5])
    with pytest.raises(ValueError, match="3 codes a row for 2"):
        quantize.decode(books, quantize.unique_codes(quantize.encode(books, x)))
    with pytest.raises(ValueError, match="1 codes a row for 2"):
        quantize.decode(parts, np.zeros((3, 1), np.int32))
    for wrong in (
        np.array([[4]]),
        np.array([[-1]]),
        np.array([[0.5]]),
        np.array([1, 2]),
        np.zeros((0, 2), int),
    ):
        with pytest.raises(UserError, match="codes"):
            quantize.report(wrong, 4)
