"""The effective rank of codes and their spread: against loops, and where both are known."""

import numpy as np
import pytest

from unsupjax.evaluate import rank_me
from unsupjax.evaluate.subject import random_subset


def of(subject, z, **settings):
    return rank_me(subject._replace(z_test=np.asarray(z, np.float32)), **settings)


def test_it_is_that_of_a_loop(subject):
    z = np.random.default_rng(0).normal(1, [3, 1, 0.1], (40, 3)).astype(np.float32)
    singular = np.sqrt(np.linalg.eigvalsh(z.astype(float).T @ z.astype(float)))
    entropy = -sum(s / singular.sum() * np.log(s / singular.sum()) for s in singular)
    directions = np.array([row / np.sqrt(np.sum(row**2)) for row in z.astype(float)])
    deviations = [np.sqrt(np.mean((column - np.mean(column)) ** 2)) for column in directions.T]
    expected = {"rank_me": np.exp(entropy), "code_std": np.mean(deviations) * np.sqrt(3)}
    assert of(subject, z) == pytest.approx(expected, rel=1e-4)
    scaled = of(subject, 1e6 * z)
    assert scaled == pytest.approx(expected, rel=1e-4)


def test_codes_that_fill_the_sphere_have_full_rank(subject):
    axes = np.concatenate([np.eye(8), -np.eye(8)])
    assert of(subject, axes) == pytest.approx({"rank_me": 8, "code_std": 1}, rel=1e-4)
    many = of(subject, np.random.default_rng(0).normal(size=(4000, 8)))
    assert many == pytest.approx({"rank_me": 8, "code_std": 1}, rel=0.02)


def test_collapsed_codes_have_rank_one(subject):
    line = np.linspace(1, 2, 50)[:, None] * np.arange(1.0, 65.0)
    assert of(subject, line) == pytest.approx({"rank_me": 1, "code_std": 0}, abs=1e-3)
    assert of(subject, np.zeros((50, 64))) == pytest.approx({"rank_me": 1, "code_std": 0}, abs=1e-3)
    # Not along one ray but along a line, the rank is one still, and the spread is not.
    signs = np.resize([1.0, -1.0], (50, 1)) * np.ones(4)
    assert of(subject, signs) == pytest.approx({"rank_me": 1, "code_std": 1}, abs=1e-3)


def test_only_so_many_examples_are_looked_at(subject):
    z = np.random.default_rng(0).normal(size=(45, 6))
    some = random_subset(subject.key, 45, 4)
    assert of(subject, z, examples=4) == of(subject, z[some])
    assert of(subject, z, examples=4)["rank_me"] <= 4.01
