"""What functions of rows ask of them: refused in one sentence, or the same numbers whatever the dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import som
from unsupjax.cluster import dbscan, hierarchical, kmeans, quantize, scores
from unsupjax.errors import UserError
from unsupjax.numerics import checks

INTEGERS = [np.dtype(f"{kind}{size}") for kind in ("int", "uint") for size in (8, 16, 32, 64)]
FLOATS = [np.dtype(t) for t in (np.float16, jnp.bfloat16, np.float32, np.float64)]


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS], ids=str)
@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_every_dtype_gives_its_numbers(dtype, of):
    x = np.array([[3, 100], [7, 64], [0, 1]]).astype(dtype)
    for checked in (checks.rows(of(x), "t"), checks.device_rows(of(x), "t")):
        np.testing.assert_array_equal(np.asarray(checked, np.float64), x.astype(np.float64))


def test_bool_rows_are_zeros_and_ones():
    np.testing.assert_array_equal(
        checks.device_rows(np.eye(2, dtype=bool), "t").astype(jnp.float32), np.eye(2)
    )


@pytest.mark.parametrize("least", [0, -(2**35), 2**33])
def test_integers_of_64_bits_do_not_wrap(least):
    x = least + np.array([[0, 5], [2**34, 1], [2**36, 2**40]])
    for name, found in (("rows", checks.rows(x, "t")), ("device_rows", checks.device_rows(x, "t"))):
        np.testing.assert_allclose(
            np.asarray(found, np.float64), x.astype(np.float64), rtol=1e-7, err_msg=name
        )


OFFSETS = {  # what float32 rounds away
    "int64": np.array([[2**60], [2**60 + 1000]]),
    "uint64": np.array([[2**64 - 1], [2**64 - 9]], np.uint64),
    "int32": np.array([[2**30 + 1], [2**30 + 3]], np.int32),
    "float64": np.array([[1e9], [1e9 + 0.25], [1e9 + 7]]),
    "with NaN": np.array([[np.nan], [-3e12], [-3e12 - 4]]),
}


@pytest.mark.parametrize("x", OFFSETS.values(), ids=OFFSETS)
def test_offsets_that_float32_does_not_hold_are_refused(x):
    message = r"feature 1 \(counting from 0\) has values near .*float32 rounds away; subtract its least value"
    for other in (np.zeros_like(x), np.full_like(x, 7)):
        with pytest.raises(UserError, match=message):
            checks.device_rows(np.concatenate([other, x], axis=1), "t", missing=True)


def test_offsets_that_float64_does_not_hold_are_refused():
    with pytest.raises(
        UserError, match=r"values near 1.15e\+18 that differ by 2 at most, which float64 rounds away"
    ):
        dbscan.fit(2**60 + np.arange(3)[:, None], eps=1, min_samples=1)
    found = dbscan.fit(2**52 + np.array([[0], [1], [3]]), eps=1, min_samples=1)
    np.testing.assert_array_equal(found.labels, [0, 0, 1])


def test_large_values_that_are_held_are_taken():
    """Constant features, features that float32 holds exactly, and those whose range is as large as they are."""
    x = np.array([[1e9 + 0.3, 2**30, -4e9], [1e9 + 0.3, 2**30 + 128, 5e9]])
    assert checks.device_rows(x, "t").dtype == jnp.float32


@pytest.mark.parametrize("scale", [1e20, 1e-20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_whose_squares_are_not_held_are_refused(scale, dtype):
    with pytest.raises(UserError, match=r"the largest value is 6e.20, and float32 does not hold the squares"):
        kmeans.fit(jax.random.key(0), scale * np.array([[0, 1], [6, 5]], dtype), 2)
    np.testing.assert_array_equal(dbscan.fit(scale * np.arange(3)[:, None], eps=scale).labels, -1)


X, MAP, KEY = np.eye(6, 3), som.Map(jnp.eye(4, 3), som.Grid(2, 2)), jax.random.key(0)
CODES = quantize.Residual(jnp.zeros((1, 2, 3)), jnp.zeros(1))
COMPARED = {
    "predict": lambda x: kmeans.predict(X, x),
    "score": lambda x: kmeans.score(X, x),
    "transform": lambda x: kmeans.transform(X, x),
    "encode": lambda x: quantize.encode(CODES, x),
    "som.find": lambda x: som.find(MAP, x),
    "som.bmu": lambda x: som.bmu(MAP, x),
    "som.hits": lambda x: som.hits(MAP, x),
    "som.transform": lambda x: som.transform(MAP, x),
    "som.quantization_error": lambda x: som.quantization_error(MAP, x),
    "som.topographic_error": lambda x: som.topographic_error(MAP, x),
    "som.distortion": lambda x: som.distortion(MAP, x, 1.0),
    "som.trustworthiness": lambda x: som.trustworthiness(MAP, x, 1),
}
FITTED = {
    "kmeans": lambda x: kmeans.fit(KEY, x, 2),
    "residual": lambda x: quantize.residual(KEY, x, codes=2),
    "product": lambda x: quantize.product(KEY, x, codes=2, subspaces=1),
    "som": lambda x: som.fit(KEY, x, som.Grid(2, 2)),
    "dbscan": lambda x: dbscan.fit(x, eps=1),
    "hierarchical": lambda x: hierarchical.fit(x, 2),
    "silhouette": lambda x: scores.silhouette(x, np.arange(len(x)) % 2),
}


@pytest.mark.parametrize("f", [*COMPARED.values(), *FITTED.values()], ids=[*COMPARED, *FITTED])
def test_what_is_no_table_of_finite_numbers_is_refused(f):
    for x, message in [
        (X[0], r"needs a table \[N, D\] and got shape \(3,\); .* one row x.reshape\(1, -1\)"),
        (X[:0], "needs at least one row"),
        (np.where(X == 1, np.nan, X), r"row 0 \(counting from 0\) holds NaN or infinity"),
        (X.astype(str), "needs real numbers"),
    ]:
        with pytest.raises(UserError, match=message):
            f(x)


@pytest.mark.parametrize("f", COMPARED.values(), ids=COMPARED)
@pytest.mark.parametrize("d", [1, 2])  # 1 would be broadcast
def test_another_number_of_features_is_refused(f, d):
    with pytest.raises(UserError, match=rf"rows of shape \(6, {d}\)"):
        f(X[:, :d])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"6 rows but weights of shape \(3,\)"),
        (np.ones((6, 1)), r"6 rows but weights of shape \(6, 1\)"),
        (np.zeros(6), "one of them above 0"),
        (-np.ones(6), "not negative"),
        ([1, 1, 1, 1, 1, np.nan], "finite"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    fits = (
        lambda: kmeans.fit(KEY, X, 2, weights=weights),
        lambda: som.fit(KEY, X, som.Grid(2, 2), weights=weights),
        lambda: quantize.residual(KEY, X, codes=2, weights=weights),
        lambda: quantize.product(KEY, X, codes=2, subspaces=1, weights=weights),
    )
    for fit in fits:
        with pytest.raises(UserError, match=message):
            fit()


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_constants_of_a_traced_function_are_seen(of):
    rows = of(np.float32([[1, 2], [np.nan, 0]]))
    with pytest.raises(UserError, match="row 1"):
        jax.jit(lambda: checks.device_rows(rows, "t"))()
    whole = of(np.int32([[2**30], [2**30 + 1]]))
    with pytest.raises(UserError, match="rounds away"):
        jax.jit(lambda: checks.device_rows(whole, "t"))()
    np.testing.assert_array_equal(jax.jit(lambda: checks.device_rows(rows[:1], "t"))(), [[1, 2]])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_one_nan_in_wide_rows_is_seen(dtype):
    x = np.ones((40, 64), dtype)
    x[7, 3] = np.nan
    with pytest.raises(UserError, match="row 7"):
        checks.device_rows(x, "t")
    assert checks.device_rows(x, "t", missing=True).shape == x.shape
    x[7, 3] = -np.inf
    with pytest.raises(UserError, match="row 7"):
        checks.device_rows(x, "t", missing=True)


def test_starts_that_are_not_finite_are_refused():
    start = np.full((2, 3), np.nan)
    with pytest.raises(UserError, match="kmeans: init: row 0"):
        kmeans.fit(KEY, X, 2, init=start)
    with pytest.raises(UserError, match="som: init: row 0"):
        som.fit(KEY, X, som.Grid(1, 2), init=start)


LARGE = {jnp.asarray: 3e38, np.asarray: 1.7e308}  # whose sums overflow


@pytest.mark.parametrize("of", LARGE)
def test_a_sum_that_overflows_is_no_infinity(of):
    check = checks.device_rows if of is jnp.asarray else checks.rows
    for value, message in ((LARGE[of], "does not hold the squares"), (np.inf, "row 1 "), (-np.nan, "row 1 ")):
        with pytest.raises(UserError, match=message):
            check(of([[1.0, 2.0], [value, value]]), "t")


def test_a_look_at_finite_rows_makes_no_copy_of_them(monkeypatch):
    monkeypatch.setattr(checks, "_sizes", None)
    monkeypatch.setattr(checks, "_jitted_sizes", None)
    x = np.random.default_rng(0).normal(size=(4096, 64))
    checks.rows(x, "t")
    checks.device_rows(jnp.asarray(x), "t")
    compiled = checks._jitted_extremes.lower(jnp.asarray(x)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < x.nbytes / 16


def test_the_least_integer_has_a_magnitude():
    for dtype in (np.int8, np.int16, np.int32):
        x = np.full((2, 2), np.iinfo(dtype).min)
        assert checks._magnitudes(x, False).max() == -float(np.iinfo(dtype).min)
