"""Evaluators that read labels from codes: against scikit-learn, their rules on ties, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from unsupjax.errors import UserError
from unsupjax.evaluate import (
    JUDGES,
    kmeans,
    knn,
    knn_baselines,
    knn_predict,
    knn_weighted,
    linear_probe,
    linear_probe_augmented,
)
from unsupjax.evaluate.subject import codes


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


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.1), (90, 0.5)])
def test_weighted_votes_are_those_of_a_loop(subject, k, temperature):
    rng = np.random.default_rng(0)
    noise = {
        name: rng.normal(0.5, 1, (n, 3)).astype(np.float32) for name, n in (("z_train", 90), ("z_test", 45))
    }
    subject = subject._replace(**noise)
    train, test = (z / np.linalg.norm(z.astype(float), axis=1, keepdims=True) for z in noise.values())
    expected = []
    for z in test:
        similarity = np.array([float(z @ other) for other in train])
        votes = dict.fromkeys([2, 5, 9], 0.0)
        for i in sorted(range(90), key=lambda i: -similarity[i])[:k]:
            votes[subject.y_train[i]] += np.exp(similarity[i] / temperature)
        expected.append(max(votes, key=votes.get))
    got = knn_predict(subject.z_train, subject.y_train, subject.z_test, k, temperature)
    np.testing.assert_array_equal(got, expected)
    equal = knn_predict(subject.z_train, subject.y_train, subject.z_test, k)
    assert np.any(got != equal)
    assert knn_weighted(subject, k=k, temperature=temperature) == {
        f"knn_weighted_accuracy_k{k}": pytest.approx(np.mean(got == subject.y_test))
    }


def test_the_temperature_goes_from_the_nearest_neighbour_to_equal_votes():
    """Whatever the lengths; and no weight overflows or vanishes where all neighbours are far."""
    angle = np.array([0.0, 0.3, 0.4, 3.0])
    z, y = 7 * np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32), np.array([7, 3, 3, 4])
    test = np.array([[0.02, 0.0], [-300.0, 1.0], [0.0, 0.0]], np.float32)
    assert knn_predict(z, y, test, 3, 1e-4)[:2].tolist() == [7, 4]
    assert knn_predict(z, y, test, 4, 1e4).tolist() == [3, 3, 3]
    assert knn_predict(z[:3], y[:3], -test[:1], 3, 1e-4).tolist() == [3]
    # Two votes of cosine 0.955 and 0.921 outweigh one of 1 where exp(-0.045 / T) + exp(-0.079 / T) > 1.
    assert knn_predict(z, y, test[:1], 3, 0.095).tolist() == [3]
    assert knn_predict(z, y, test[:1], 3, 0.085).tolist() == [7]


def test_knn_baselines_are_those_of_scikit_learn(subject):
    kernel, shapes = np.random.default_rng(3).normal(size=(16, 2)).astype(np.float32), []

    def init(key, batch):
        shapes.append(batch.shape)
        params = {"code": {"kernel": jnp.asarray(kernel)}, "mean": jnp.zeros(16)}
        return subject.state._replace(params=params)

    inputs = [x.reshape(len(x), 16) for x in (subject.x_train, subject.x_test)]
    spaces = {
        "codes": (subject.z_train, subject.z_test),
        "inputs": inputs,
        "random_encoder": [x @ kernel for x in inputs],
    }
    expected = {}
    for name, (train, test) in spaces.items():
        twin = KNeighborsClassifier(4, metric="cosine").fit(train, subject.y_train)
        expected[f"knn_accuracy_k4_{name}"] = pytest.approx(twin.score(test, subject.y_test))
    judged = subject._replace(method=subject.method._replace(init=init))
    scores = knn_baselines(judged, k=4)
    assert scores == expected and len(set(scores.values())) == 3
    assert knn_baselines(judged._replace(init_batch=judged.x_train[:8]), k=4) == scores
    assert shapes == [(90, 4, 4, 1), (8, 4, 4, 1)]


def test_the_untrained_encoder_is_drawn_anew_from_the_key_of_the_evaluation(subject):
    """It is not the trained one although `init` is the one that made it, and the same at every evaluation."""
    state = jax.jit(subject.method.init)(subject.key, subject.x_train)
    z_train, z_test = (codes(subject.method, state, x) for x in (subject.x_train, subject.x_test))
    scores = knn_baselines(subject._replace(state=state, z_train=z_train, z_test=z_test))
    assert scores["knn_accuracy_k10_random_encoder"] != scores["knn_accuracy_k10_codes"]
    assert knn_baselines(subject) == knn_baselines(subject)


def test_knn_ignores_length_and_gives_ties_to_the_lowest_label():
    z = np.array([[1, 0], [100, 1], [0, 1], [0, 9]], np.float32)
    y = np.array([7, 3, 4, 4])
    assert knn_predict(z, y, np.array([[0.001, 0]], np.float32), 1).tolist() == [7]
    assert knn_predict(z, y, np.array([[5, 0]], np.float32), 2).tolist() == [3]
    assert knn_predict(z, y, np.zeros((1, 2), np.float32), 1).tolist() == [7]


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


LABELLED = [name for name in JUDGES if "labels" in JUDGES[name].needs and "windows" not in JUDGES[name].kinds]


@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_asked_for_by_name(subject, name):
    with pytest.raises(UserError, match=rf"config\.evaluate\.run: '{name}' needs labels.*take '{name}' out"):
        JUDGES[name].run(subject._replace(y_train=None, y_test=None))


@pytest.mark.parametrize("name", LABELLED)
def test_one_class_is_refused(subject, name):
    one = subject._replace(y_train=np.zeros(90, int), y_test=np.zeros(45, int))
    with pytest.raises(UserError, match=rf"'{name}' needs two classes"):
        JUDGES[name].run(one)


@pytest.mark.parametrize(
    ("evaluator", "settings", "message"),
    [
        (knn, {"k": 91}, "k=91 must be between 1 and the 90 training"),
        (knn, {"k": 0}, "k=0 must be"),
        (knn_baselines, {"k": 91}, "knn_baselines: k=91"),
        (knn_weighted, {}, "knn_weighted: k=200 must be between 1 and the 90 training"),
        (knn_weighted, {"k": 5, "temperature": 0.0}, "temperature=0.0 must be above 0"),
        (kmeans, {"clusters": 46}, "clusters=46 must be between 1 and the 45 test"),
        (linear_probe, {"cs": ()}, "cs="),
        (linear_probe, {"cs": (1.0, -1.0)}, "positive"),
        (linear_probe, {"cs": (1.0, 2.0), "validation": 1.0}, "validation=1.0"),
        (linear_probe_augmented, {"views": 0}, "views=0 must be above 0"),
        (linear_probe_augmented, {"flip": 1.5}, r"flip=1.5 in \[0, 1\]"),
        (linear_probe_augmented, {"c": 0.0}, "c=0.0 above 0"),
        (linear_probe_augmented, {"area": (0.5, 0.2)}, r"area=\(0.5, 0.2\) must ascend in \(0, 1\]"),
        (linear_probe_augmented, {"aspect": (0.0, 1.0)}, r"aspect=\(0.0, 1.0\) above 0"),
    ],
)
def test_settings_out_of_range_are_refused(subject, evaluator, settings, message):
    with pytest.raises(UserError, match=message):
        evaluator(subject, **settings)
