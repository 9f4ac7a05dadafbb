"""Evaluators that read labels from codes: against scikit-learn, their rules on ties, and what they refuse."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unsupjax.errors import UserError
from unsupjax.evaluate import EVALUATORS, NEEDS, kmeans, knn, knn_predict, linear_probe
from unsupjax.evaluate.linear_probe import standardized


@pytest.mark.parametrize("k", [1, 5, 90])
def test_knn_is_that_of_scikit_learn(subject, k):
    twin = KNeighborsClassifier(k, metric="cosine").fit(subject.z_train, subject.y_train)
    np.testing.assert_array_equal(
        knn_predict(subject.z_train, subject.y_train, subject.z_test, k), twin.predict(subject.z_test)
    )
    assert knn(subject, k=k) == {
        f"knn_accuracy_k{k}": pytest.approx(twin.score(subject.z_test, subject.y_test))
    }


def test_knn_in_blocks_is_knn(subject, monkeypatch):
    whole = knn_predict(subject.z_train, subject.y_train, subject.z_test, 5)
    monkeypatch.setitem(knn_predict.__globals__, "_BLOCK", 7 * 90)
    np.testing.assert_array_equal(knn_predict(subject.z_train, subject.y_train, subject.z_test, 5), whole)


def test_knn_ignores_length_and_gives_ties_to_the_lowest_label():
    z = np.array([[1, 0], [100, 1], [0, 1], [0, 9]], np.float32)
    y = np.array([7, 3, 4, 4])
    assert knn_predict(z, y, np.array([[0.001, 0]], np.float32), 1).tolist() == [7]
    assert knn_predict(z, y, np.array([[5, 0]], np.float32), 2).tolist() == [3]
    assert knn_predict(z, y, np.zeros((1, 2), np.float32), 1).tolist() == [7]


def test_linear_probe_is_that_of_scikit_learn(subject):
    scaled = subject._replace(
        z_train=subject.z_train * [1, 1e3, 1e-3], z_test=subject.z_test * [1, 1e3, 1e-3]
    )
    twin = make_pipeline(StandardScaler(), LogisticRegression(C=0.3)).fit(scaled.z_train, scaled.y_train)
    accuracy = twin.score(scaled.z_test, scaled.y_test)
    scores = linear_probe(scaled, cs=(0.3,))
    assert scores == {
        "linear_probe_accuracy": pytest.approx(accuracy),
        "linear_probe_error": pytest.approx(1 - accuracy),
        "linear_probe_c": 0.3,
    }
    raw = LogisticRegression(C=1e-3).fit(subject.z_train, subject.y_train)
    got = linear_probe(subject, cs=(1e-3,), standardize=False)["linear_probe_accuracy"]
    assert got == pytest.approx(raw.score(subject.z_test, subject.y_test))


def test_linear_probe_chooses_c_without_the_test_set(subject):
    # So strong a penalty that the majority class is predicted, against one that lets the codes speak.
    y = np.where(np.arange(90) % 3 < 2, 5, 9)
    skewed = subject._replace(y_train=y)
    assert linear_probe(skewed, cs=(1.0, 1e-6), validation=0.3)["linear_probe_c"] == 1.0
    shuffled = skewed._replace(y_test=skewed.y_test[::-1])
    assert linear_probe(shuffled, cs=(1e-6, 1.0), validation=0.3)["linear_probe_c"] == 1.0


def test_standardized_keeps_float32_and_constant_features():
    rng = np.random.default_rng(0)
    train = rng.normal(1000, 2, (50, 3)).astype(np.float32)
    train[:, 1] = 1000.1
    got, _ = standardized(train, train)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(got.std(0), [1, 0, 1], atol=1e-4)


def test_kmeans_finds_separate_classes_and_nothing_in_shuffled_labels(subject):
    rng = np.random.default_rng(0)
    y = np.arange(45) % 3
    separate = subject._replace(
        z_test=(10 * np.eye(3)[y] + rng.normal(size=(45, 3))).astype(np.float32), y_test=y
    )
    names = ("kmeans_purity", "kmeans_nmi", "kmeans_ari", "kmeans_accuracy")
    assert kmeans(separate) == pytest.approx(dict.fromkeys(names, 1.0))
    shuffled = kmeans(separate._replace(y_test=rng.permutation(y)))
    assert shuffled["kmeans_ari"] < 0.2 and shuffled["kmeans_nmi"] < 0.2
    finer = kmeans(separate, clusters=6)
    assert finer["kmeans_purity"] == 1.0 and finer["kmeans_accuracy"] < 0.9
    assert kmeans(separate) == kmeans(separate)


LABELLED = [name for name in EVALUATORS if "labels" in NEEDS[name]]


@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_asked_for_by_name(subject, name):
    with pytest.raises(UserError, match=rf"config\.evaluate\.run: '{name}' needs labels.*take '{name}' out"):
        EVALUATORS[name](subject._replace(y_train=None, y_test=None))


@pytest.mark.parametrize("name", LABELLED)
def test_one_class_is_refused(subject, name):
    one = subject._replace(y_train=np.zeros(90, int), y_test=np.zeros(45, int))
    with pytest.raises(UserError, match=rf"'{name}' needs two classes"):
        EVALUATORS[name](one)


@pytest.mark.parametrize(
    ("evaluator", "settings", "message"),
    [
        (knn, {"k": 91}, "k=91 must be between 1 and the 90 training"),
        (knn, {"k": 0}, "k=0 must be"),
        (kmeans, {"clusters": 46}, "clusters=46 must be between 1 and the 45 test"),
        (linear_probe, {"cs": ()}, "cs="),
        (linear_probe, {"cs": (1.0, -1.0)}, "positive"),
        (linear_probe, {"cs": (1.0, 2.0), "validation": 1.0}, "validation=1.0"),
    ],
)
def test_settings_out_of_range_are_refused(subject, evaluator, settings, message):
    with pytest.raises(UserError, match=message):
        evaluator(subject, **settings)
