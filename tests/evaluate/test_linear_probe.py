"""Linear classifiers of codes: against scikit-learn's, and what crops and flips add."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unsupjax.errors import UserError
from unsupjax.evaluate import linear_probe, linear_probe_augmented
from unsupjax.evaluate.representation.linear_probe import standardized
from unsupjax.evaluate.representation.linear_probe_augmented import cropped_codes
from unsupjax.evaluate.subject import codes


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


def test_linear_probe_of_some_labels(subject):
    scores = linear_probe(subject, fractions=(0.2, 1.0))
    order = np.asarray(jax.random.permutation(subject.key, 90))
    rows = np.concatenate([order[subject.y_train[order] == c][:6] for c in np.unique(subject.y_train)])
    train, test = standardized(subject.z_train, subject.z_test)
    twin = LogisticRegression(max_iter=1000).fit(train[rows], subject.y_train[rows])
    assert scores["linear_probe_accuracy_0.2"] == pytest.approx(twin.score(test, subject.y_test))
    assert scores["linear_probe_accuracy"] == linear_probe(subject)["linear_probe_accuracy"]
    for fractions in ((), (0.0,), (1.5,)):
        with pytest.raises(UserError, match=r"must be in|is empty"):
            linear_probe(subject, fractions=fractions)


def test_linear_probe_chooses_c_without_the_test_set(subject):
    # So strong a penalty that the majority class is predicted, against one that lets the codes speak.
    y = np.where(np.arange(90) % 3 < 2, 5, 9)
    skewed = subject._replace(y_train=y)
    assert linear_probe(skewed, cs=(1.0, 1e-6), validation=0.3)["linear_probe_c"] == 1.0
    shuffled = skewed._replace(y_test=skewed.y_test[::-1])
    assert linear_probe(shuffled, cs=(1e-6, 1.0), validation=0.3)["linear_probe_c"] == 1.0


@pytest.mark.parametrize(("views", "flip"), [(3, 1.0), (2, 0.0)])
def test_crops_and_flips_share_the_weight_of_their_image(subject, views, flip):
    """Whole images as crops: the fit is a weighted one on the images and their mirror images."""
    train = subject.x_train[:, :, ::-1] if flip else subject.x_train
    mirrored = codes(subject.method, subject.state, train)
    z, y = np.concatenate([subject.z_train, mirrored]), np.tile(subject.y_train, 2)
    weight = np.repeat([1, views], 90) / (1 + views)
    scaler = StandardScaler().fit(z, sample_weight=weight)
    twin = LogisticRegression(C=0.02).fit(scaler.transform(z), y, sample_weight=weight)
    accuracy = twin.score(scaler.transform(subject.z_test), subject.y_test)
    settings = {"views": views, "flip": flip, "area": (1.0, 1.0), "aspect": (1.0, 1.0), "c": 0.02}
    assert linear_probe_augmented(subject, **settings) == {
        "linear_probe_augmented_accuracy": pytest.approx(accuracy),
        "linear_probe_augmented_error": pytest.approx(1 - accuracy),
    }


def test_every_crop_is_another(subject):
    """Of the same image too; image after image, crop after crop."""
    pixels = subject.method._replace(encode=lambda state, x: x.reshape(len(x), -1))
    rng = np.random.default_rng(0)
    x = np.linspace(0.0, 0.8, 3)[:, None, None, None] + rng.uniform(0, 0.2, (1, 16, 16, 1))
    judged = subject._replace(method=pixels, x_train=x.astype(np.float32))
    got = cropped_codes(judged, 2, (0.3, 0.5), (0.75, 1.3), 0.5)
    assert got.shape == (6, 256) and got.min() >= 0 and got.max() <= 1
    np.testing.assert_allclose(got.mean(axis=1), np.tile([0.1, 0.5, 0.9], 2), atol=0.05)
    textures = got - np.tile([0.0, 0.4, 0.8], 2)[:, None]
    assert all(np.abs(textures[i] - textures[j]).max() > 0.02 for i in range(6) for j in range(i))


def test_crops_need_images(subject):
    with pytest.raises(UserError, match="'linear_probe_augmented' needs images"):
        linear_probe_augmented(subject._replace(x_train=subject.x_train.reshape(90, 16)))


def test_standardized_keeps_float32_and_constant_features():
    rng = np.random.default_rng(0)
    train = rng.normal(1000, 2, (50, 3)).astype(np.float32)
    train[:, 1] = 1000.1
    got, _ = standardized(train, train)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(got.std(0), [1, 0, 1], atol=1e-4)
