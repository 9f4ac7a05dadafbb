"""Figures: that each draws something, and that what it draws is right where that can be computed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from unsupjax.errors import UserError
from unsupjax.evaluate import FIGURES, OF_DATA, learning_curves
from unsupjax.evaluate.figures.curves import read_curves
from unsupjax.evaluate.figures.embedding import embed
from unsupjax.evaluate.figures.pictures import mosaic
from unsupjax.evaluate.figures.style import spans_decades
from unsupjax.evaluate.subject import random_subset

SETTINGS = {
    "clustering_panels": {"plane": "pca", "algorithms": ("kmeans", "dbscan")},
    "tsne": {"examples": 60},
}


def drawn(path):
    """The PNG in [0, 255], which must show something."""
    pixels = np.asarray(Image.open(path).convert("L"), np.float64)
    assert pixels.std() > 5 and min(pixels.shape) > 100
    return pixels


OTHERS = {
    "texts",
    "restore",
    "codec",
}  # that this subject has not; such figures are drawn beside what they show
OF_PICTURES = [name for name, f in FIGURES.items() if "windows" not in f.kinds and not OTHERS & set(f.needs)]


@pytest.mark.parametrize("name", OF_PICTURES)
def test_every_figure_is_drawn(subject, tmp_path, name):
    path = tmp_path / "figures" / f"{name}.png"
    assert FIGURES[name].run(subject, path, **SETTINGS.get(name, {})) is None
    drawn(path)


@pytest.mark.parametrize("dims", [2, 16])
def test_vectors_are_drawn_too(subject, tmp_path, dims):
    def decode(state, z):
        return subject.method.decode(state, z).reshape(-1, 16)[:, :dims]

    def sample(state, key, n):
        return jax.random.normal(key, (n, dims))

    method = subject.method._replace(
        decode=decode, sample=sample, encode=lambda state, x: x[:, :1].repeat(3, 1)
    )
    vectors = subject._replace(method=method, x_test=subject.x_test.reshape(45, 16)[:, :dims])
    for name in ("reconstructions", "samples"):
        FIGURES[name].run(vectors, tmp_path / f"{name}.png", n=4)
        drawn(tmp_path / f"{name}.png")
    for name in ("filters", "views"):
        with pytest.raises(UserError, match=f"'{name}' needs images"):
            FIGURES[name].run(vectors, tmp_path / f"{name}.png")


@pytest.mark.parametrize("name", [name for name in OF_PICTURES if "labels" not in FIGURES[name].needs])
def test_unlabelled_data_is_drawn(subject, tmp_path, name):
    unlabelled = subject._replace(y_train=None, y_test=None, label_names=None)
    FIGURES[name].run(unlabelled, tmp_path / "figure.png", **SETTINGS.get(name, {}))
    drawn(tmp_path / "figure.png")


@pytest.mark.parametrize("name", [name for name in FIGURES if "labels" in FIGURES[name].needs])
def test_labels_are_asked_for_by_name(subject, tmp_path, name):
    unlabelled = subject._replace(y_train=None, y_test=None, label_names=None)
    with pytest.raises(UserError, match=f"'{name}' needs labels"):
        FIGURES[name].run(unlabelled, tmp_path / "figure.png", **SETTINGS.get(name, {}))


@pytest.mark.parametrize(
    ("name", "what"),
    [(name, what) for name in OF_PICTURES for what in FIGURES[name].needs if what not in OF_DATA],
)
def test_what_the_method_lacks_is_named(subject, tmp_path, name, what):
    what = "decode" if what == "score" else what  # which is of a surprise, or of what is decoded
    without = subject._replace(method=subject.method._replace(**{what: None}))
    with pytest.raises(UserError, match=f"'{name}' needs a method with `{what}`"):
        FIGURES[name].run(without, tmp_path / "figure.png", **SETTINGS.get(name, {}))


def test_filters_need_a_layer_over_the_pixels(subject, tmp_path):
    other = subject._replace(state=subject.state._replace(params={"kernel": np.zeros((3, 16))}))
    with pytest.raises(UserError, match="'filters' needs a dense layer over the pixels"):
        FIGURES["filters"].run(other, tmp_path / "filters.png")


def test_tsne_keeps_neighbours_together_and_is_deterministic():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    z = (20 * np.eye(5)[y] + rng.normal(size=(60, 5))).astype(np.float32)
    points = embed(z, perplexity=10, seed=0)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(60)
    np.testing.assert_array_equal(y[distances.argmin(axis=1)], y)
    np.testing.assert_array_equal(points, embed(z, perplexity=10, seed=0))


def test_mosaic_puts_each_image_in_its_row_and_column():
    images = np.arange(6.0).reshape(2, 3, 1, 1, 1) / 10 * np.ones((2, 3, 2, 4, 1))
    picture = mosaic(images)
    assert picture.shape == (2 * 2 + 1, 3 * 4 + 2, 1)
    np.testing.assert_array_equal(picture[0, :, 0], [0] * 4 + [1] + [0.1] * 4 + [1] + [0.2] * 4)
    np.testing.assert_array_equal(picture[:, -1, 0], [0.2, 0.2, 1, 0.5, 0.5])


@pytest.mark.parametrize("channels", [1, 3])
def test_views_stand_beside_their_image(subject, tmp_path, monkeypatch, channels):
    def views(key, x):
        return x / 2, jax.random.uniform(key, (len(x), 1, 1, 1)) * jnp.ones_like(x)

    def framed(picture, *arguments):
        pictures.append((picture, arguments))
        return figure(picture, *arguments)

    figure, pictures = FIGURES["views"].run.__globals__["framed"], []
    monkeypatch.setitem(FIGURES["views"].run.__globals__, "framed", framed)
    x = subject.x_test.repeat(channels, axis=3)
    shown = subject._replace(method=subject.method._replace(views=views), x_test=x)
    FIGURES["views"].run(shown, tmp_path / "views.png", n=3, draws=5)
    drawn(tmp_path / "views.png")
    ((picture, arguments),) = pictures
    assert arguments == (3, 6, "3 test images (left) and 5 random views of each")
    assert picture.shape == (3 * 4 + 2, 4 + 1 + 5 * 4 + 4, channels)
    chosen = x[random_subset(subject.key, 45, 3)]
    for row, image in enumerate(chosen):
        line = picture[5 * row : 5 * row + 4]
        np.testing.assert_array_equal(line[:, :4], image)
        np.testing.assert_array_equal(line[:, 4], 1)
        first, second = ([line[:, 5 * i : 5 * i + 4] for i in places] for places in ((1, 3, 5), (2, 4)))
        np.testing.assert_allclose(first, [image / 2] * 3, rtol=1e-6)
        assert all(np.ptp(view) == 0 for view in second) and second[0][0, 0, 0] != second[1][0, 0, 0]


def test_curves_are_read_with_the_loss_first_and_the_later_line_of_a_step(tmp_path):
    lines = [
        {"step": 0, "kl": 2.0, "loss": 100.0},
        {"step": 1, "kl": 1.0, "loss": float("nan"), "note": "text"},
        {"step": 1, "knn_accuracy_k10": 0.5},
        {"step": 1, "loss": 1},
    ]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves = {name: (steps.tolist(), values.tolist()) for name, (steps, values) in read_curves(log).items()}
    assert curves == {"loss": ([0, 1], [100, 1]), "kl": ([0, 1], [2, 1]), "knn_accuracy_k10": ([1], [0.5])}
    assert next(iter(curves)) == "loss"
    learning_curves(log, tmp_path / "curves.png")
    drawn(tmp_path / "curves.png")


def test_curves_of_an_empty_file_are_refused(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no metrics"):
        learning_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")


def test_a_log_scale_is_for_positive_values_over_more_than_a_decade_and_a_half():
    assert spans_decades(np.array([1.0, 32.0, np.nan]))
    assert not spans_decades(np.array([1.0, 31.0]))
    assert not spans_decades(np.array([0.0, 100.0]))
    assert not spans_decades(np.array([np.nan]))


def test_names_of_classes_are_no_formulas(subject, tmp_path):
    names = ("cost $5", r"$\broken{", "$$", "日本", "_", "a\nb", "", "ß", "x" * 80, "#")
    for name in ("pca", "clustering_panels"):
        FIGURES[name].run(
            subject._replace(label_names=names), tmp_path / f"{name}.png", **SETTINGS.get(name, {})
        )
        drawn(tmp_path / f"{name}.png")


def test_maps_of_codes_that_hardly_are_any():
    rng = np.random.default_rng(0)
    assert embed(rng.normal(size=(20, 1)), 3.0, 0).shape == (20, 2)
    assert np.isfinite(embed(np.repeat(rng.normal(size=(3, 4)), 10, 0), 3.0, 0)).all()
    with pytest.raises(UserError, match="3 points make no t-SNE map; take at least 5"):
        embed(rng.normal(size=(3, 4)), 1.0, 0)
    with pytest.raises(UserError, match="all 9 codes are the same: the method has collapsed"):
        embed(np.ones((9, 4)), 3.0, 0)
