"""Trustworthiness and continuity of codes: against scikit-learn's, and of codes that tear and that fold."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from unsupjax.data.kinds import Images
from unsupjax.errors import UserError
from unsupjax.evaluate import JUDGES, Facts, neighbours


def test_they_are_scikit_learns(subject):
    scores = neighbours(subject, k=5)
    x, train = (a.reshape(len(a), -1) for a in (subject.x_test, subject.x_train))
    pca = PCA(3, svd_solver="full").fit(train).transform(x)
    for name, z in (("", subject.z_test), ("_pca", pca)):
        assert scores[f"trustworthiness{name}_k5"] == pytest.approx(trustworthiness(x, z, n_neighbors=5))
        assert scores[f"continuity{name}_k5"] == pytest.approx(trustworthiness(z, x, n_neighbors=5))
    assert len(scores) == 4 and scores["trustworthiness_k5"] > 0.6


def test_codes_that_tear_and_codes_that_fold(subject):
    """Of points on a line: cut into pieces whose order is lost, and with both halves on top of each other."""
    t = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    line = subject._replace(x_train=t, x_test=t)
    cut = (np.floor(10 * t) * 37 % 19) * 10 + t
    torn, folded = (neighbours(line._replace(z_test=z), k=4) for z in (cut, np.abs(t)))
    assert 0.98 > torn["continuity_k4"] < torn["trustworthiness_k4"] - 0.01
    assert folded["continuity_k4"] > 0.98 and folded["trustworthiness_k4"] < 0.6
    assert torn["trustworthiness_pca_k4"] == torn["continuity_pca_k4"] == 1


def test_at_most_so_many_examples_and_no_pca_of_wide_inputs(subject, monkeypatch):
    assert neighbours(subject, k=3, examples=20) != neighbours(subject, k=3)
    assert neighbours(subject, k=3, examples=20) == neighbours(subject, k=3, examples=20)
    monkeypatch.setattr("unsupjax.evaluate.principal.WIDEST", 15)
    assert set(neighbours(subject)) == {"trustworthiness_k10", "continuity_k10"}


def test_what_is_refused(subject):
    for k in (0, 23):
        with pytest.raises(UserError, match=rf"neighbours.k={k} must be .* half of the 45 .*lower it"):
            neighbours(subject, k=k)
    holed = subject.x_test.copy()
    holed[0, 0] = np.nan
    with pytest.raises(UserError, match="inputs without missing entries; fill them in"):
        neighbours(subject._replace(x_test=holed))
    facts = Facts(Images((4, 4, 1)), 90, 45)
    JUDGES["neighbours"].refuse("neighbours", {"k": 22, "examples": 2000}, subject.method, facts)
    with pytest.raises(UserError, match="half of the 40 test examples"):
        JUDGES["neighbours"].refuse("neighbours", {"k": 20, "examples": 40}, subject.method, facts)
