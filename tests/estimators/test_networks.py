"""Networks as scikit-learn estimators: scikit-learn's own checks, what they reach, and what they hold."""

import pickle
import pickletools
import warnings

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from unsupjax import methods, models, optimizers
from unsupjax.data.feeds import example_order
from unsupjax.errors import UserError
from unsupjax.estimators import VAE, AnomalyDetector, AutoEncoder, SimCLR

SMALL = {"hidden": (4,), "max_iter": 3, "batch_size": 16, "random_state": 0}
TINY = [
    AutoEncoder(2, **SMALL),
    VAE(2, **SMALL),
    SimCLR(projection=(2,), **SMALL),
    AnomalyDetector(2, **SMALL),
]
CODERS = TINY[:3]


def checked(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        check(estimator)


@parametrize_with_checks(TINY[:1])
def test_scikit_learns_checks(estimator, check):
    checked(estimator, check)


@pytest.mark.thorough
@parametrize_with_checks(TINY[1:])
def test_scikit_learns_checks_of_the_others(estimator, check):
    checked(estimator, check)


def named(estimator):
    return type(estimator).__name__


@pytest.fixture(scope="module")
def rows():
    """300 rows in 6 columns, of 2 directions and little noise, far from zero and of many scales."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(300, 6))
    return x * 10.0 ** np.arange(6) + 1e6


@pytest.fixture(scope="module")
def images(digits):
    return digits.reshape(len(digits), -1)


@pytest.fixture(scope="module")
def cancer():
    """Rows, and whether they are benign."""
    return load_breast_cancer(return_X_y=True)


@pytest.mark.optimised
def test_reconstructions_are_far_nearer_than_the_mean(images):
    train, test = images[:1400], images[1400:]
    fitted = AutoEncoder(max_iter=400, random_state=0).fit(train)
    codes = fitted.transform(test)
    error = np.mean((fitted.inverse_transform(codes) - test) ** 2)
    assert codes.shape == (397, 16) and codes.dtype == np.float32
    assert error < 0.35 * np.mean((train.mean(axis=0) - test) ** 2)
    assert (
        fitted.loss_curve_.shape == (400,) and fitted.loss_curve_[-10:].mean() < 0.4 * fitted.loss_curve_[0]
    )


def test_the_network_is_that_of_the_method(rows):
    """Steps of the library's method on standardised rows in the order of a run's feed: of a fit, and of two passes."""
    x = ((rows - rows.mean(axis=0)) / rows.std(axis=0)).astype(np.float32)
    networks = models.MLPEncoder((4,)), models.MLPDecoder((6,), (4,))

    def steps(schedule, state, n, first, count):
        tx = optimizers.OPTIMIZERS["adam"](schedule)
        method = methods.autoencoder(*networks, tx, latent_dim=2, likelihood="squared_error")
        state = method.init(jax.random.key(fitted.seed_), x[:2]) if state is None else state
        positions = first + np.arange(16 * count).reshape(count, 16)
        for index in example_order(positions, n, fitted.seed_):
            state, metrics = jax.jit(method.step)(state, x[index])
        np.testing.assert_allclose(fitted.transform(rows), method.encode(state, x), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(fitted.loss_curve_[-1], metrics["loss"], rtol=1e-4)
        return state

    fitted = AutoEncoder(2, **SMALL).fit(rows)
    state = steps(optimizers.cosine(3e-3, 3), None, 300, 0, 3)
    for taken in (3, 5):
        fitted.partial_fit(rows[:32])
        state = steps(lambda count: 3e-3, state, 32, taken * 32, 2)


@pytest.mark.parametrize("estimator", TINY, ids=named)
def test_data_far_from_zero_and_of_any_magnitude(estimator, rows):
    near = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    name = "transform" if hasattr(estimator, "transform") else "score_samples"
    found = [getattr(clone(estimator).fit(x), name)(x) for x in (near, rows, near * 1e-200, near * 1e100)]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-3, atol=1e-3)


@pytest.mark.optimised
def test_a_vae_samples_rows_like_those_it_saw_and_tells_them_from_others(rows):
    fitted = VAE(2, max_iter=600, hidden=(64,), learning_rate=3e-3, random_state=0).fit(rows)
    samples = fitted.sample(1000, random_state=0)
    assert samples.shape == (1000, 6) and samples.dtype == rows.dtype
    np.testing.assert_array_equal(samples[:300], fitted.sample(300, random_state=0))
    assert not np.array_equal(fitted.sample(2), fitted.sample(2))
    spread = rows.std(axis=0)
    np.testing.assert_allclose((samples.mean(axis=0) - rows.mean(axis=0)) / spread, 0, atol=0.15)
    np.testing.assert_allclose(samples.std(axis=0) / spread, 1, atol=0.2)
    np.testing.assert_allclose(np.corrcoef(samples.T), np.corrcoef(rows.T), atol=0.15)
    strange = np.random.default_rng(1).permuted(rows, axis=0)  # each column as it was, and no directions left
    assert np.median(fitted.score_samples(rows)) > np.median(fitted.score_samples(strange)) + 2
    assert fitted.score(rows) == pytest.approx(fitted.score_samples(rows).mean())
    np.testing.assert_allclose(fitted.score_samples(rows[:7]), fitted.score_samples(rows)[:7], rtol=1e-5)


def test_the_likelihood_is_a_density_in_the_units_of_the_rows(rows):
    x = rows - rows.mean(axis=0)
    fitted, scaled = (VAE(2, **SMALL).fit(x * factor) for factor in (1, 100))
    moved = scaled.score_samples(100 * x) + 6 * np.log(100)
    np.testing.assert_allclose(moved, fitted.score_samples(x), rtol=1e-4)


@pytest.mark.optimised
def test_anomalies_of_the_cancer_data(cancer):
    x, benign = cancer
    normal = np.random.default_rng(0).permutation(np.flatnonzero(benign))
    train, rest = normal[:178], np.setdiff1d(np.arange(len(x)), normal[:178])
    fitted = AnomalyDetector(contamination=0.05, random_state=0).fit(x[train])
    assert roc_auc_score(1 - benign[rest], -fitted.score_samples(x[rest])) > 0.9
    assert np.mean(fitted.predict(x[train]) == -1) == pytest.approx(0.05, abs=0.01)
    assert np.mean(fitted.predict(x[rest])[benign[rest] == 0] == -1) > 0.8
    np.testing.assert_array_equal(fitted.predict(x), np.where(fitted.decision_function(x) < 0, -1, 1))


def test_the_score_is_the_squared_error_of_standardised_rows(rows):
    fitted = AnomalyDetector(2, **SMALL).fit(rows)
    seen = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    found = fitted._programs()
    state = fitted._state(found)
    made = found.method.decode(state, found.method.encode(state, seen.astype(np.float32)))
    np.testing.assert_allclose(fitted.score_samples(rows), -np.sum((made - seen) ** 2, axis=1), rtol=1e-4)
    assert fitted.offset_ == pytest.approx(np.percentile(fitted.score_samples(rows), 10))
    np.testing.assert_array_equal(clone(fitted).fit_predict(rows), fitted.predict(rows))


@pytest.mark.thorough
@pytest.mark.optimised
def test_contrastive_codes_of_the_cancer_data_keep_its_classes(cancer):
    train, test, y_train, y_test = train_test_split(*cancer, random_state=0, stratify=cancer[1])
    neighbours = KNeighborsClassifier(10, metric="cosine")
    raw = make_pipeline(StandardScaler(), neighbours).fit(train, y_train).score(test, y_test)
    codes = make_pipeline(SimCLR(random_state=0), neighbours).fit(train, y_train).score(test, y_test)
    assert codes >= raw - 0.03


def test_rows_as_pictures(images):
    fitted = SimCLR(
        hidden=(3, 5), projection=(4,), image_shape=(8, 8, 1), max_iter=2, batch_size=8, random_state=0
    )
    codes = fitted.fit(images[:50]).transform(images[:10])
    assert codes.shape == (10, 5) and np.isfinite(codes).all()
    np.testing.assert_array_equal(fitted.mean_, np.zeros(64))
    for change, message in (
        ({"image_shape": (8, 7, 1)}, r"image_shape=\(8, 7, 1\) has not the 64 numbers"),
        ({"augment": "glyph"}, "augment='glyph' is unknown; did you mean 'glyphs'"),
    ):
        with pytest.raises(UserError, match=message):
            clone(fitted).set_params(**change).fit(images[:50])
    with pytest.raises(UserError, match="from 0 to 16; divide them by the value of white"):
        clone(fitted).fit(16 * images[:50])


@pytest.mark.parametrize("estimator", CODERS, ids=named)
def test_a_stream_of_rows(estimator, rows):
    fitted = clone(estimator).partial_fit(rows[:100])
    assert fitted.n_iter_ == 7  # of 16 rows
    mean, words = fitted.mean_, fitted.state_
    np.testing.assert_allclose(mean, rows[:100].mean(axis=0), rtol=1e-6)
    fitted.partial_fit(rows[100:130])
    np.testing.assert_array_equal(fitted.mean_, mean)
    assert fitted.n_iter_ == 9 and len(fitted.loss_curve_) == 9 and not np.array_equal(fitted.state_, words)
    again = clone(estimator).partial_fit(rows[:100]).partial_fit(rows[100:130])
    np.testing.assert_array_equal(again.state_, fitted.state_)
    np.testing.assert_array_equal(fitted.fit(rows).state_, clone(estimator).fit(rows).state_)
    assert fitted.partial_fit(rows[:10]).n_iter_ == 5  # 3 of a fit, and 2 of 8 rows


@pytest.mark.optimised
def test_passes_over_a_stream_learn(rows):
    fitted = AutoEncoder(2, hidden=(32,), random_state=0)
    for _ in range(30):
        fitted.partial_fit(rows[:150]).partial_fit(rows[150:])
    made = fitted.inverse_transform(fitted.transform(rows))
    assert np.mean(((made - rows) / rows.std(axis=0)) ** 2) < 0.15


def test_values_in_the_unit_interval(images):
    options = dict(likelihood="bernoulli", standardise=False, **SMALL)
    for estimator in (AutoEncoder(2, **options), VAE(2, **options)):
        made = estimator.fit(images).inverse_transform(estimator.transform(images[:5]))
        assert made.shape == (5, 64) and made.min() > 0 and made.max() < 1
        with pytest.raises(
            UserError, match=r"likelihood='bernoulli' needs rows in \[0, 1\].*standardise=False"
        ):
            estimator.set_params(standardise=True).fit(images)


@pytest.mark.parametrize("estimator", TINY, ids=named)
def test_files_and_pickles_hold_numpy_arrays_and_all_of_it(estimator, rows, tmp_path):
    fitted = clone(estimator).fit(rows)
    fitted.save(tmp_path / "fitted")
    text = pickle.dumps(fitted)
    modules = {
        arg.split()[0] for op, arg, _ in pickletools.genops(pickle.dumps(fitted, 2)) if op.name == "GLOBAL"
    }
    assert {m for m in modules if "unsupjax" in m} == {type(estimator).__module__}
    assert not any("jax" in m for m in modules - {type(estimator).__module__})
    for other in (type(estimator).load(tmp_path / "fitted"), pickle.loads(text)):
        for name in (*fitted._fitted, "n_features_in_"):
            np.testing.assert_array_equal(getattr(fitted, name), getattr(other, name))
        name = "transform" if hasattr(fitted, "transform") else "decision_function"
        np.testing.assert_array_equal(getattr(fitted, name)(rows), getattr(other, name)(rows))
        if hasattr(fitted, "partial_fit"):
            more = [clone(estimator).fit(rows).partial_fit(rows), other.partial_fit(rows)]
            np.testing.assert_array_equal(more[0].state_, more[1].state_)
        clone(other).fit(rows)


def test_names_and_frames_of_pandas(rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=list("abcdef"))
    fitted = AutoEncoder(2, **SMALL).set_output(transform="pandas").fit(frame)
    codes = fitted.transform(frame)
    assert list(codes.columns) == ["autoencoder0", "autoencoder1"] and list(fitted.feature_names_in_) == list(
        "abcdef"
    )
    assert fitted.inverse_transform(codes).shape == rows.shape
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(frame[list("fedcba")])


def test_names_of_codes(rows):
    assert list(VAE(2, **SMALL).fit(rows).get_feature_names_out()) == ["vae0", "vae1"]
    assert len(SimCLR(projection=(2,), **SMALL).fit(rows).get_feature_names_out()) == 4


@pytest.mark.thorough
def test_pipelines_and_grid_searches(cancer):
    search = GridSearchCV(
        make_pipeline(AutoEncoder(max_iter=50, random_state=0), KNeighborsClassifier()),
        {"autoencoder__latent_dim": [1, 8], "autoencoder__hidden": [(16,), [16, 8]]},
        cv=2,
    ).fit(*cancer)
    assert search.best_params_["autoencoder__latent_dim"] == 8 and search.best_score_ > 0.85


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (AutoEncoder(0), "latent_dim=0 must be at least 1"),
        (AutoEncoder(max_iter=0), "max_iter=0 must be at least 1, or None"),
        (AutoEncoder(batch_size=0), "batch_size=0 must be at least 1"),
        (AutoEncoder(activation="best"), "unknown activation 'best'"),
        (AutoEncoder(likelihood="best"), "unknown likelihood 'best'"),
        (
            AutoEncoder(2, learning_rate=1e30, hidden=(4,), max_iter=5),
            r"not finite at step \d; lower learning_rate",
        ),
        (VAE(likelihood="squared_error"), "has no density"),
        (SimCLR(corruption_rate=2.0), "rate"),
        (AnomalyDetector(contamination=0.0), r"contamination must be in \(0, 0.5\], got: 0.0"),
        (AnomalyDetector(contamination=0.6), r"contamination must be in \(0, 0.5\], got: 0.6"),
    ],
)
def test_bad_arguments(estimator, message, rows):
    with pytest.raises(ValueError, match=message):
        estimator.fit(rows[:20])


def test_what_else_is_refused(rows):
    fitted = AutoEncoder(2, **SMALL).fit(rows)
    with pytest.raises(UserError, match="codes of 3 numbers, and those of this one have 2"):
        fitted.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(UserError, match="fit again, as parameters of a network cannot be changed"):
        fitted.set_params(latent_dim=3).transform(rows)
    with pytest.raises(UserError, match="n_samples=0 must be at least 1"):
        VAE(2, **SMALL).fit(rows).sample(0)
    with pytest.raises(UserError, match="at least 2, and not n_samples=1"):
        SimCLR().fit(rows[:1])
    for call in (AutoEncoder().transform, AutoEncoder().inverse_transform, AnomalyDetector().predict):
        with pytest.raises(NotFittedError):
            call(rows)
    with pytest.raises(NotFittedError):
        VAE().sample()
