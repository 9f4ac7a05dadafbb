"""Inputs that are read when they are asked for: as what is held at once, in every entry and every result."""

import importlib

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from test_fit import tiny

from unsupjax.data import open_source
from unsupjax.evaluate.subject import chunks
from unsupjax.run import experiment as experiments
from unsupjax.run import inputs
from unsupjax.run.fit import fit
from unsupjax.run.inputs import Inputs, labels_of, seen_split
from unsupjax.run.plan import resolve


@pytest.fixture
def small(monkeypatch):
    """No split is small enough to be held, and chunks have few examples."""
    monkeypatch.setattr(inputs, "HELD_BYTES", 0)
    monkeypatch.setattr(importlib.import_module("unsupjax.evaluate.subject"), "_CHUNK_BYTES", 10_000)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 40 pictures, numbers 3, 9, 10 and 39 of which lost their ends."""
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), np.uint8)
    for i, image in enumerate(images):
        path = tmp_path / "pictures" / f"class{i // 10}" / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        if i in (3, 9, 10, 39):
            path.write_bytes(path.read_bytes()[:-100])
    return f"folder:{tmp_path / 'pictures'}"


@pytest.mark.parametrize("transform", [None, jax.random.bernoulli])
def test_read_or_held_they_are_the_same(small, monkeypatch, transform):
    source, key = open_source("digits"), jax.random.key(3)
    draw = transform and (lambda key, x: transform(key, x).astype(np.float32))
    lazy, y = seen_split(source.test, source.kind, draw, key)
    monkeypatch.setattr(inputs, "HELD_BYTES", 2**30)
    held, z = seen_split(source.test, source.kind, draw, key)
    assert isinstance(lazy, Inputs) and isinstance(held, np.ndarray)
    assert (lazy.shape, lazy.dtype, lazy.ndim, len(lazy)) == (held.shape, held.dtype, held.ndim, len(held))
    np.testing.assert_array_equal(y, z)
    np.testing.assert_array_equal(np.asarray(lazy), held)
    for index in (0, -1, slice(3, 40, 2), np.array([5, 5, 1]), np.arange(len(held)) % 7 == 0):
        np.testing.assert_array_equal(lazy[index], held[index])
    assert (lazy.min(), lazy.max()) == (held.min(), held.max())
    parts = list(chunks(lazy))
    assert max(part.nbytes for part in parts) <= 10_000 and len(parts) > 9
    np.testing.assert_array_equal(np.concatenate(parts), held)


def test_an_unreadable_image_has_the_label_of_what_stands_in_its_place(small, pictures, monkeypatch):
    opened = lambda: open_source(pictures, holdout=0.03, unreadable=0.5)
    source = opened()
    x, y = seen_split(source.train, source.kind, None, jax.random.key(0))
    lazy, found = np.asarray(x), labels_of(x, y)
    monkeypatch.setattr(inputs, "HELD_BYTES", 2**30)
    held, expected = seen_split(opened().train, source.kind, None, jax.random.key(0))
    np.testing.assert_array_equal(lazy, held)
    np.testing.assert_array_equal(found, expected)
    assert (found != y).any(), "9 lies at the end of its class, and 39 at the end of all"


@pytest.mark.thorough
def test_judges_and_figures_find_the_same(small, tmp_path, monkeypatch):
    names = ("reconstruction", "knn", "knn_baselines", "linear_probe", "fine_tune", "likelihood", "rank_me")
    names += ("generation", "memorisation", "class_balance", "kmeans", "clusterings", "anomaly", "jacobian")
    arguments = {"fine_tune": {"epochs": 1}, "generation": {"n": 60}, "memorisation": {"n": 60}}
    arguments |= {"class_balance": {"n": 60, "examples": 100}, "likelihood": {"samples": 2}}
    figures = ("samples", "reconstructions", "interpolations", "pca")
    evaluate = {"run": names, "figures": figures, "train_examples": 300, "test_examples": 90} | arguments
    config = tiny(10, evaluate=evaluate)
    config.data.update(normal_label=(3,), contaminated=True)
    read = fit(config, tmp_path / "read")
    monkeypatch.setattr(inputs, "HELD_BYTES", 2**30)
    held = fit(ConfigDict(config.to_dict()), tmp_path / "held")
    assert read.keys() == held.keys() and len(read) > 20
    for name, value in held.items():
        assert read[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    for name in figures:
        read, held = (
            np.asarray(Image.open(tmp_path / run / "figures" / f"{name}.png")) for run in ("read", "held")
        )
        np.testing.assert_array_equal(read, held)
    judged = experiments.make_subject(prepared := experiments.prepare(resolve(config)), prepared.init())
    assert isinstance(judged.x_train, np.ndarray)
