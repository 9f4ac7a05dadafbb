"""Planes, images on them, trees and panels: against direct computation."""

import numpy as np
import pytest
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage

from unsupjax.errors import UserError
from unsupjax.evaluate import FIGURES
from unsupjax.evaluate.figures import embedding, style
from unsupjax.evaluate.figures.embedding import principal_plane
from unsupjax.evaluate.figures.panels import matched
from unsupjax.evaluate.figures.thumbnails import resized, thinned
from unsupjax.evaluate.figures.trees import leaf_of_each


@pytest.fixture
def saved(monkeypatch):
    """The figures that are saved."""
    figures = []
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure))
    return figures


def test_the_principal_plane_is_that_of_the_svd():
    z = np.random.default_rng(0).normal(size=(40, 5)) * [3, 1, 2, 0.1, 0.1]
    points, explained = principal_plane(z)
    left, values, _ = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(left[:, :2] * values[:2]), rtol=1e-6)
    np.testing.assert_allclose(explained, values[:2] ** 2 / np.sum(values**2), rtol=1e-6)


def test_the_plane_of_one_dimension_is_a_line():
    points, explained = principal_plane(np.arange(4.0)[:, None])
    np.testing.assert_allclose(np.abs(points), [[1.5, 0], [0.5, 0], [0.5, 0], [1.5, 0]], atol=1e-9)
    assert explained.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["pca", "tsne"])
@pytest.mark.parametrize("colour", ["clusters", "images"])
def test_planes_show_clusters_and_images(subject, tmp_path, name, colour):
    FIGURES[name].run(subject, tmp_path / "plane.png", examples=30, colour=colour)
    assert np.asarray(Image.open(tmp_path / "plane.png").convert("L"), np.float64).std() > 5


def test_points_have_the_colour_of_their_cluster(subject, saved):
    FIGURES["pca"].run(subject, "pca.png", examples=45, colour="clusters")
    found = np.asarray(subject.method.assign(subject.state, subject.x_test))
    points = principal_plane(subject.z_test)[0]
    groups = {group.get_label(): group.get_offsets() for group in saved[0].axes[0].collections}
    assert set(groups) == {str(cluster) for cluster in found}
    for cluster, offsets in groups.items():
        np.testing.assert_allclose(offsets, points[found == int(cluster)], atol=1e-6)
    assert "coloured by cluster" in saved[0].axes[0].get_title()
    assert "of the variance" in saved[0].axes[0].get_xlabel()


@pytest.mark.parametrize("name", ["pca", "tsne"])
def test_colours_that_cannot_be_shown_are_refused(subject, name):
    with pytest.raises(UserError, match=rf"config\.evaluate\.{name}\.colour='label'.*'labels'"):
        FIGURES[name].run(subject, "plane.png", colour="label", examples=20)
    without = subject._replace(method=subject.method._replace(assign=None))
    with pytest.raises(UserError, match=f"'{name}' needs a method with `assign`"):
        FIGURES[name].run(without, "plane.png", colour="clusters", examples=20)
    vectors = subject._replace(x_train=np.zeros((90, 16)), x_test=np.zeros((45, 16)))
    with pytest.raises(UserError, match=f"'{name}' needs images"):
        FIGURES[name].run(vectors, "plane.png", colour="images", examples=20)


def test_too_many_points_are_thinned_with_a_word(subject, saved, monkeypatch, capsys):
    monkeypatch.setattr(embedding, "_MOST", 50)
    FIGURES["pca"].run(subject, "pca.png", examples=100)
    assert capsys.readouterr().out == "pca: 50 of 135 codes are drawn, chosen at random\n"
    assert sum(len(group.get_offsets()) for group in saved[0].axes[0].collections) == 50
    FIGURES["pca"].run(subject, "pca.png", examples=50)
    assert capsys.readouterr().out == ""


def test_thinned_keeps_every_image_that_overlaps_no_earlier_one():
    corners, size = np.random.default_rng(0).integers(0, 60, (80, 2)), (7, 9)
    expected = []
    for i, corner in enumerate(corners):
        apart = (np.abs(corners[expected] - corner) >= size).any(axis=1) if expected else np.array([True])
        if apart.all():
            expected.append(i)
    assert thinned(corners, size).tolist() == expected and 5 < len(expected) < 80


def test_resized_repeats_or_averages_pixels():
    image = np.arange(8.0).reshape(2, 4, 1)
    assert resized(image, (4, 2))[..., 0].tolist() == [[0.5, 2.5]] * 2 + [[4.5, 6.5]] * 2
    assert resized(image, (2, 3))[..., 0].tolist() == [[0, 1, 2.5], [4, 5, 6.5]]


def test_leaves_hold_the_examples_below_them():
    x = np.random.default_rng(0).normal(size=(30, 3))
    merges = linkage(x, "average")
    clusters = fcluster(merges, 6, "maxclust")
    nodes = {frozenset([i]): i for i in range(30)}
    members = [frozenset([i]) for i in range(30)]
    for i, (a, b) in enumerate(merges[:, :2].astype(int)):
        members.append(members[a] | members[b])
        nodes[members[-1]] = 30 + i
    leaves = [nodes[frozenset(np.flatnonzero(clusters == c).tolist())] for c in np.unique(clusters)]
    np.testing.assert_array_equal(leaf_of_each(merges, leaves), clusters - 1)


def test_a_dendrogram_counts_its_leaves(subject, saved):
    y = np.arange(45) % 3
    z = (100 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(45, 3))).astype(np.float32)
    groups = subject._replace(z_test=z, y_test=np.array([2, 5, 9])[y], label_names=None)
    FIGURES["dendrogram"].run(groups, "tree.png", leaves=3)
    texts = [tick.get_text() for tick in saved[0].axes[0].get_xticklabels()]
    assert sorted(texts) == ["2\n15", "5\n15", "9\n15"]
    (cut,) = saved[0].axes[0].lines
    heights = linkage(z, "ward")[:, 2]
    assert heights[-3] < cut.get_ydata()[0] < heights[-2]
    FIGURES["dendrogram"].run(groups._replace(y_test=None), "tree.png", leaves=3, linkage="single")
    assert [tick.get_text() for tick in saved[1].axes[0].get_xticklabels()] == ["15"] * 3


def test_a_dendrogram_refuses_what_makes_no_tree(subject):
    with pytest.raises(UserError, match=r"config\.evaluate\.dendrogram\.linkage='wards'"):
        FIGURES["dendrogram"].run(subject, "tree.png", linkage="wards")
    with pytest.raises(UserError, match="in 1 leaves make no tree"):
        FIGURES["dendrogram"].run(subject, "tree.png", leaves=1)


def test_clusters_take_the_numbers_of_their_classes():
    labels = np.array([2, 2, 2, 5, 5, 5, 9, 9, 9])
    clusters = np.array([7, 7, 1, 4, 4, 4, -1, -1, 1])
    assert matched(labels, clusters).tolist() == [0, 0, 2, 1, 1, 1, -1, -1, 2]
    finer = np.array([0, 0, 3, 1, 1, 4, 2, 2, 2])
    assert matched(labels, finer).tolist() == [0, 0, 3, 1, 1, 4, 2, 2, 2]
    assert matched(labels, np.full(9, -1)).tolist() == [-1] * 9


def test_panels_show_labels_and_each_algorithm(subject, saved):
    y = np.arange(45) % 3
    z = (100 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(45, 3))).astype(np.float32)
    groups = subject._replace(z_test=z, y_test=y)
    FIGURES["clustering_panels"].run(
        groups, "panels.png", plane="pca", algorithms=("ward", "dbscan"), eps=8.0
    )
    labels, *found = saved[0].axes
    assert [ax.get_title() for ax in found] == [
        "ward: NMI 1.00\n3 clusters",
        "dbscan: NMI 1.00\n3 clusters, 0% noise",
    ]
    for ax in found:
        for mine, true in zip(ax.collections[1:], labels.collections[1:], strict=True):
            np.testing.assert_array_equal(mine.get_offsets(), true.get_offsets())
            np.testing.assert_array_equal(mine.get_facecolor(), true.get_facecolor())
    with pytest.raises(UserError, match=r"config\.evaluate\.clustering_panels\.plane='umap'"):
        FIGURES["clustering_panels"].run(groups, "panels.png", plane="umap")
