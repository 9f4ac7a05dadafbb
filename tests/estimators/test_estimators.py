"""The scikit-learn face: scikit-learn's own checks, its own answers, and files."""

import warnings
import zipfile

import jax
import numpy as np
import pytest
from sklearn import cluster as peers
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from unsupjax import arrays, som
from unsupjax.errors import UserError
from unsupjax.estimators import DBSCAN, SOM, KMeans

WEIGHTED = "sample_weight is not equivalent to removing/repeating samples."  # scikit-learn's reason for its own KMeans


@pytest.mark.thorough
@parametrize_with_checks(
    # A narrow end: every unit of the map is then some row's best, as the checks ask of labels.
    [DBSCAN(), KMeans(n_clusters=2, max_iter=5), SOM(height=1, width=3, epochs=5, end_radius=0.2)],
    expected_failed_checks=lambda estimator: (
        {"check_sample_weight_equivalence_on_dense_data": WEIGHTED} if isinstance(estimator, KMeans) else {}
    ),
)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        check(estimator)


def blobs(n=300, d=4, centers=5, seed=0, spread=1.0):
    return make_blobs(n, d, centers=centers, cluster_std=spread, random_state=seed)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d"), [(20, 1), (63, 3), (65, 3), (1100, 8)])
def test_kmeans_from_the_same_start_is_scikit_learns(n, d, weighted):
    x, _ = blobs(n, d, spread=4.0)
    rng = np.random.default_rng(n)
    weights = rng.integers(0, 4, n) + 0.5 if weighted else None
    start = x[rng.permutation(n)[:5]]
    peer = peers.KMeans(5, init=start, n_init=1).fit(x, sample_weight=weights)
    ours = KMeans(5, init=start).fit(x, sample_weight=weights)
    np.testing.assert_array_equal(ours.labels_, peer.labels_)
    np.testing.assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.inertia_, peer.inertia_, rtol=1e-5)
    np.testing.assert_allclose(
        ours.score(x, sample_weight=weights), peer.score(x, sample_weight=weights), rtol=1e-5
    )
    assert abs(ours.n_iter_ - peer.n_iter_) <= 1  # round-off can settle the last iteration
    assert ours.labels_.dtype == np.int32 and ours.cluster_centers_.dtype == x.dtype
    np.testing.assert_array_equal(ours.predict(x), ours.labels_)
    np.testing.assert_allclose(
        ours.transform(x), euclidean_distances(x, ours.cluster_centers_), rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize(
    "estimator", [KMeans(5, random_state=0, n_init=3), SOM(1, 5, end_radius=0.2, random_state=0)]
)
@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 1e6), (1e-3, 1e5), (1e25, 0.0), (1e-25, 0.0), (1e30, 1e33)]
)
def test_data_far_from_zero_and_of_any_magnitude(estimator, scale, offset):
    x, y = blobs()
    near = clone(estimator).fit(x)
    moved = clone(estimator).fit(x * scale + offset)
    assert adjusted_rand_score(near.labels_, y) > 0.7
    np.testing.assert_array_equal(moved.labels_, near.labels_)
    np.testing.assert_array_equal(moved.predict(x * scale + offset), moved.labels_)
    np.testing.assert_allclose(
        moved.transform(x * scale + offset) / scale, near.transform(x), rtol=1e-3, atol=1e-3
    )
    units = lambda e: e.cluster_centers_ if isinstance(e, KMeans) else e.codebook_
    np.testing.assert_allclose((units(moved) - offset) / scale, units(near), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("far", [3e5, -2e9])
@pytest.mark.parametrize("missing", [False, True])
def test_one_far_row_blurs_nothing(far, missing):
    """Labels are the nearest centres or units, as exactly as float32 holds distances."""
    x, _ = blobs(200, 3)
    x[150, 1:] = far
    if missing:
        x[::7, 0] = np.nan
        found = SOM(
            1, 3, neighbourhood="bubble", end_radius=0.3, init="samples", missing=True, random_state=0
        ).fit(x)
    else:
        found = KMeans(6, random_state=0).fit(x)
        assert np.bincount(found.labels_).max() < 120
    seen = ~np.isnan(x)
    apart = np.where(seen[:, None], x[:, None] - found._units()[None], 0)
    distances = np.sqrt(np.square(apart).sum(axis=-1) * 3 / seen.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(found.predict(x), found.labels_)
    chosen = np.take_along_axis(distances, found.labels_[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_the_tolerance_does_not_see_the_padding(seed):
    x, _ = make_blobs(65, 3, centers=1, random_state=seed)
    options = dict(init=x[:5], n_init=1, tol=0.05)
    assert KMeans(5, **options).fit(x).n_iter_ == peers.KMeans(5, **options).fit(x).n_iter_


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_dtypes(dtype):
    x, y = blobs()
    x = np.round(5 * (x - x.min())).astype(dtype)
    floating = dtype if np.issubdtype(dtype, np.floating) else np.float64
    for estimator, name in (
        (KMeans(5, n_init=5, random_state=0), "cluster_centers_"),
        (SOM(1, 5), "codebook_"),
    ):
        fitted = estimator.fit(x)
        assert getattr(fitted, name).dtype == floating and fitted.transform(x).dtype == floating
    assert adjusted_rand_score(KMeans(5, n_init=5, random_state=0).fit_predict(x), y) > 0.7


@pytest.mark.thorough
def test_one_center_and_equal_rows():
    x = np.full((7, 3), 4.0)
    for offset in (0.0, 1e6, 1e30):
        one = KMeans(1).fit(x + offset)
        np.testing.assert_array_equal(one.cluster_centers_, x[:1] + offset)
        assert one.inertia_ == 0 and not one.labels_.any()
    with pytest.warns(
        ConvergenceWarning, match=r"distinct clusters \(2\) found smaller than n_clusters \(3\)"
    ):
        few = KMeans(3, random_state=0).fit(np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0))
    assert few.inertia_ == 0 and np.isfinite(few.cluster_centers_).all()


@pytest.mark.thorough
def test_constant_columns_and_one_row():
    x, _ = blobs(60, 2)
    wide = np.concatenate([x, np.full((60, 2), 1e4)], axis=1)
    np.testing.assert_array_equal(
        KMeans(3, random_state=0).fit_predict(wide), KMeans(3, random_state=0).fit_predict(x)
    )
    assert KMeans(1).fit(x[:1]).labels_.tolist() == [0]
    assert SOM(2, 2).fit(x[:1]).labels_.shape == (1,)


def test_spherical_ignores_lengths():
    x, y = blobs(200, 3, centers=[[9, 0, 0], [0, 9, 0], [0, 0, 9]])
    lengths = np.exp(np.random.default_rng(0).normal(size=(200, 1)))
    fitted = KMeans(3, spherical=True, n_init=3, random_state=0).fit(x * lengths)
    assert adjusted_rand_score(fitted.labels_, y) == 1
    np.testing.assert_allclose(np.linalg.norm(fitted.cluster_centers_, axis=1), 1, rtol=1e-6)
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ fitted.cluster_centers_.T
    np.testing.assert_allclose(fitted.transform(x), 1 - cosine, atol=1e-6)
    np.testing.assert_allclose(fitted.inertia_, 2 * (1 - cosine).min(axis=1).sum(), rtol=1e-4)


@pytest.mark.thorough
def test_pipeline_and_grid_search():
    x, y = blobs(200)
    pipeline = make_pipeline(StandardScaler(), KMeans(5, n_init=3, random_state=0))
    assert adjusted_rand_score(pipeline.fit_predict(x), y) > 0.7
    assert list(pipeline.get_feature_names_out()) == [f"kmeans{i}" for i in range(5)]
    search = GridSearchCV(pipeline, {"kmeans__n_clusters": [1, 5]}, cv=2).fit(x)
    assert search.best_params_ == {"kmeans__n_clusters": 5}
    maps = GridSearchCV(SOM(2, 2, epochs=3, random_state=0), {"width": [1, 4]}, cv=2).fit(x)
    assert maps.best_params_ == {"width": 4}


def test_random_states():
    x, _ = blobs(100, 2, centers=1)
    fit = lambda state: KMeans(4, random_state=state).fit(x).cluster_centers_
    np.testing.assert_array_equal(fit(0), fit(0))
    assert not np.array_equal(fit(0), fit(1))
    state = np.random.RandomState(0)
    assert not np.array_equal(fit(state), fit(state))


def test_the_map_is_that_of_the_function(digits):
    x = digits[:500].reshape(500, -1)
    options = dict(epochs=5, neighbourhood="triangle", start_radius=3.0, decay="exponential")
    fitted = SOM(4, 6, topology="hexagonal", toroidal=True, random_state=0, **options).fit(x)
    grid = som.Grid(4, 6, "hexagonal", True)
    direct = som.fit(jax.random.key(0), x, grid, **options)
    assert fitted.map_.grid == grid and fitted.errors_.shape == (5,)
    agree = np.mean(np.asarray(som.bmu(direct.map, x)) == fitted.labels_)
    assert agree > 0.98  # the start's directions are found from another draw
    np.testing.assert_allclose(-fitted.score(x), som.quantization_error(fitted.map_, x), rtol=1e-5)
    assert fitted.get_feature_names_out()[-1] == "som23"


def test_missing_entries():
    x, y = blobs(200)
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    x[:, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SOM(1, 5).fit(x)
    fitted = SOM(1, 5, missing=True, end_radius=0.2, epochs=20).fit(x + 1e6)
    assert fitted.__sklearn_tags__().input_tags.allow_nan
    assert adjusted_rand_score(fitted.labels_, y) > 0.5
    assert np.isfinite(fitted.transform(x + 1e6)).all() and np.isfinite(fitted.errors_).all()
    with pytest.raises(ValueError, match="inf"):
        fitted.predict(np.full((1, 4), np.inf))


def test_dbscan_is_scikit_learns():
    x, _ = blobs(300, 2)
    ours, peer = DBSCAN(eps=0.6, min_samples=4).fit(x), peers.DBSCAN(eps=0.6, min_samples=4).fit(x)
    np.testing.assert_array_equal(ours.labels_, peer.labels_)
    np.testing.assert_array_equal(ours.core_sample_indices_, peer.core_sample_indices_)
    np.testing.assert_array_equal(ours.components_, peer.components_)
    weights = np.random.default_rng(0).integers(0, 3, len(x))
    found = DBSCAN(eps=0.6, min_samples=4).fit_predict(x, sample_weight=weights)
    expected = peers.DBSCAN(eps=0.6, min_samples=4).fit_predict(x, sample_weight=weights)
    np.testing.assert_array_equal(found, expected)
    assert (found != ours.labels_).any()


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (KMeans(11), "n_samples=10 should be >= n_clusters=11"),
        (KMeans(2, init=np.zeros((2, 5))), r"shape \(2, 5\)"),
        (KMeans(2, init="best"), "init='best'"),
        (KMeans(0), "k=0"),
        (KMeans(2, max_iter=0), "iterations=0"),
        (SOM(0, 3), "no units"),
        (SOM(metric="hamming"), "hamming"),
        (SOM(epochs=0), "epochs=0"),
        (DBSCAN(eps=0), "eps=0"),
        (DBSCAN(min_samples=0), "min_samples=0"),
    ],
)
def test_bad_arguments(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(blobs(10, 3)[0])


def test_bad_rows_and_weights():
    x, _ = blobs(10, 3)
    for weights, message in (
        (np.zeros(10), "zero"),
        (-np.ones(10), "egative"),
        (np.ones(9), "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            KMeans(2).fit(x, sample_weight=weights)
    for estimator in (KMeans(2), SOM(1, 2), DBSCAN()):
        for rows, message in (
            (x[:0], "0 sample"),
            (x[0], "1D array"),
            (x * np.nan, "NaN"),
            (x + 1j, "Complex"),
        ):
            with pytest.raises(ValueError, match=message):
                estimator.fit(rows)
    with pytest.raises(ValueError, match="expecting 3 features"):
        KMeans(2).fit(x).predict(x[:, :2])
    with pytest.raises(NotFittedError):
        SOM().predict(x)


@pytest.mark.parametrize(
    "estimator",
    [
        KMeans(3, init=np.arange(12.0).reshape(3, 4), random_state=np.int64(7)),
        KMeans(n_clusters=np.int32(3), random_state=None),
        SOM(2, 3, topology="hexagonal", missing=True),
        DBSCAN(eps=1.0),
    ],
)
def test_files_hold_all(estimator, tmp_path):
    x, _ = blobs(80)
    estimator.fit(x).feature_names_in_ = np.array(["a", "b", "c", "d"], object)
    estimator.save(tmp_path / "fitted")
    other = type(estimator).load(tmp_path / "fitted")
    assert [p.name for p in tmp_path.iterdir()] == ["fitted"]
    before, after = estimator.get_params(), other.get_params()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    for name in (*estimator._fitted, "n_features_in_", "feature_names_in_"):
        a, b = getattr(estimator, name), getattr(other, name)
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype and np.shape(a) == np.shape(b)
    del estimator.feature_names_in_, other.feature_names_in_
    if hasattr(estimator, "predict"):
        np.testing.assert_array_equal(estimator.transform(x), other.transform(x))
    clone(other).fit(x)


def test_files_of_others_are_refused(tmp_path):
    x, _ = blobs(40)
    path, fitted = tmp_path / "fitted.npz", KMeans(2, random_state=0).fit(x)
    fitted.save(path)
    with pytest.raises(UserError, match="holds 'KMeans' and no SOM"):
        SOM.load(path)
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[:100] + b"\0" * 60 + whole[160:],
        b"",
        b"text",
        whole[:-30],
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            KMeans.load(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(UserError, match="was not written by this package"):
        KMeans.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "world")
    with pytest.raises(UserError, match="was not written by this package"):
        KMeans.load(path)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(UserError, match="damaged or no"):
        KMeans.load(tmp_path / "one.npy")
    with pytest.raises(UserError, match="is no file"):
        KMeans.load(tmp_path / "none.npz")
    arrays.save(path, {"centers": np.ones(3)}, {"estimator": "KMeans", "parameters": {"fit": 1}})
    with pytest.raises(UserError, match="no complete KMeans"):
        KMeans.load(path)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a file was unpickled",)


def test_nothing_in_a_file_is_run(tmp_path):
    path = tmp_path / "trap.npz"
    for name in ("__header__", "cluster_centers_"):
        header = {} if name == "__header__" else {"__header__": np.array("{}")}
        np.savez(path, **header, **{name: np.array([Trap()], object)})
        with pytest.raises(UserError, match="allow_pickle=False"):
            KMeans.load(path)


def test_what_has_no_form_in_a_file(tmp_path):
    x, _ = blobs(40)
    path = tmp_path / "fitted.npz"
    with pytest.raises(NotFittedError):
        KMeans(2).save(path)
    with pytest.raises(UserError, match="JSON"):
        KMeans(2, random_state=np.random.RandomState(0)).fit(x).save(path)
    with pytest.raises(UserError, match="pickle"):
        arrays.save(path, {"a": np.array([None])})
    with pytest.raises(UserError, match="JSON"):
        arrays.save(path, {}, {"a": float("nan")})
    with pytest.raises(UserError, match="cannot be written"):
        arrays.save(tmp_path / "no" / "folder.npz", {})
    assert not list(tmp_path.iterdir())


def test_files_of_functions_and_of_later_versions(tmp_path, monkeypatch):
    path = tmp_path / "codes.npz"
    arrays.save(
        path, {"centers": np.ones((2, 3), np.float32), "name": np.array("x")}, {"levels": 3, "note": "é"}
    )
    kept, description = arrays.load(path)
    assert description == {"levels": 3, "note": "é"} and kept["centers"].dtype == np.float32
    monkeypatch.setattr(arrays, "VERSION", 2)
    arrays.save(path, kept)
    monkeypatch.undo()
    with pytest.raises(UserError, match="format version 2"):
        arrays.load(path)
