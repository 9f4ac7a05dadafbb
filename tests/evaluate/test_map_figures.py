"""Figures of maps and prototypes: that what they draw is what a loop computes, where it belongs."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from unsupjax.evaluate import FIGURES
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.figures.pictures import honeycomb, mosaic
from unsupjax.evaluate.figures.units import outlines
from unsupjax.som import Grid, Map, adjacency

GRIDS = [
    Grid(4, 5),
    Grid(4, 5, toroidal=True),
    Grid(4, 5, "hexagonal"),
    Grid(5, 4, "hexagonal"),
    Grid(4, 5, "hexagonal", toroidal=True),
]


@pytest.fixture
def saved(monkeypatch):
    """The figures that are saved."""
    figures = []
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure))
    return figures


def on_map(subject, grid, codebook, **fields):
    """The subject with these units on that grid; examples are vectors in their space."""
    method = subject.method._replace(
        map=lambda state, x: (Map(jnp.asarray(codebook, jnp.float32), grid), x.reshape(len(x), -1)),
        prototypes=lambda state: jnp.asarray(codebook, jnp.float32),
    )
    return subject._replace(method=method, **fields)


def cells(figure):
    """The collections of units in a figure, in the order of its panels."""
    return [c for ax in figure.axes for c in ax.collections if isinstance(c, PolyCollection)]


def loop_neighbours(grid, row, column):
    """The neighbours of a unit, from the offsets of its row."""
    if grid.topology == "rectangular":
        offsets = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    else:
        side = 1 if row % 2 else -1
        offsets = [(0, -1), (0, 1), (-1, 0), (1, 0), (-1, side), (1, side)]
    for i, j in offsets:
        r, c = row + i, column + j
        if grid.toroidal:
            yield r % grid.height, c % grid.width
        elif 0 <= r < grid.height and 0 <= c < grid.width:
            yield r, c


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_u_matrix_is_that_of_a_loop(subject, saved, grid):
    codebook = np.random.default_rng(0).normal(size=(20, 16)).astype(np.float32)
    units = codebook.reshape(grid.height, grid.width, 16).astype(np.float64)
    expected = [
        np.mean([np.linalg.norm(units[r, c] - units[other]) for other in loop_neighbours(grid, r, c)])
        for r in range(grid.height)
        for c in range(grid.width)
    ]
    FIGURES["u_matrix"].run(on_map(subject, grid, codebook), "u_matrix.png")
    np.testing.assert_allclose(cells(saved[0])[0].get_array(), expected, rtol=1e-4)


@pytest.mark.parametrize("grid", [g for g in GRIDS if not g.toroidal], ids=str)
def test_cells_share_an_edge_with_their_neighbours_alone(grid):
    corners = np.round(outlines(grid), 6)
    sets = [{tuple(corner) for corner in cell} for cell in corners]
    shared = np.array([[len(a & b) for b in sets] for a in sets])
    sides = corners.shape[1]
    np.testing.assert_array_equal(shared == 2, adjacency(grid, sides))
    np.testing.assert_array_equal(shared == sides, np.eye(grid.units, dtype=bool))
    following = np.roll(corners, -1, axis=1)
    areas = np.abs(np.sum(corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0], 1)) / 2
    np.testing.assert_allclose(areas, 1 if sides == 4 else 0.75**0.5, atol=1e-4)
    # Row 0 is on top and column 0 on the left.
    centres = corners.mean(axis=1).reshape(grid.height, grid.width, 2)
    assert (np.diff(centres[:, 0, 1]) > 0).all() and (np.diff(centres[0, :, 0]) > 0).all()


def placed(counts, labels):
    """Examples that lie on units of an identity codebook: so many of each label on each unit."""
    pairs = [
        (u, y) for u, row in enumerate(counts) for y, n in zip(labels, row, strict=True) for _ in range(n)
    ]
    units, y = (np.array(column) for column in zip(*pairs, strict=True))
    order = np.random.default_rng(0).permutation(len(y))
    return np.eye(len(counts), dtype=np.float32)[units[order]], y[order]


@pytest.mark.parametrize("grid", [Grid(2, 3), Grid(2, 3, "hexagonal", toroidal=True)], ids=str)
def test_hits_and_labels_stand_on_their_units(subject, saved, grid):
    counts = [[5, 0, 0], [1, 3, 0], [2, 2, 2], [0, 0, 0], [0, 0, 1], [0, 4, 4]]
    x, y = placed(counts, (2, 5, 9))
    mapped = on_map(subject, grid, np.eye(6), x_train=x, y_train=y)
    FIGURES["hits"].run(mapped, "hits.png")
    hits = cells(saved[0])[0].get_array()
    assert hits.filled(0).tolist() == [5, 4, 6, 0, 1, 8] and hits.sum() == len(x)
    assert hits.mask.tolist() == [False, False, False, True, False, False]
    assert [text.get_text() for text in saved[0].axes[0].texts] == ["5", "4", "6", "", "1", "8"]
    assert "24 training examples, 1 of 6 units empty" in saved[0].axes[0].get_title()

    FIGURES["label_map"].run(mapped._replace(label_names=None), "label_map.png")
    assert [text.get_text() for text in saved[1].axes[0].texts] == ["2", "5", "2", "", "9", "5"]
    colours = np.array([to_rgb(style.PALETTE[i]) for i in (0, 1, 0, 0, 2, 1)])
    share = np.array([1, 3 / 4, 1 / 3, 0, 1, 1 / 2])[:, None]
    faces = cells(saved[1])[0].get_facecolor()[:, :3]
    np.testing.assert_allclose(faces, share * colours + (1 - share), atol=1e-6)
    assert f"purity {(5 + 3 + 2 + 1 + 4) / 24:.3f}" in saved[1].axes[0].get_title()


def test_texts_are_left_out_where_units_are_small(subject, saved):
    codebook = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    FIGURES["hits"].run(on_map(subject, Grid(50, 60), codebook, x_train=codebook), "hits.png")
    assert not saved[0].axes[0].texts


def test_component_planes_are_the_columns_that_vary_most(subject, saved):
    codebook = np.random.default_rng(0).normal(size=(12, 16)) * np.where(
        np.isin(np.arange(16), (14, 3, 6)), 3, 1
    )
    mapped = on_map(subject, Grid(3, 4, "hexagonal"), codebook)
    FIGURES["component_planes"].run(mapped, "planes.png", n=3)
    for plane, feature in zip(cells(saved[0]), (3, 6, 14), strict=True):
        np.testing.assert_allclose(plane.get_array(), codebook[:, feature], rtol=1e-6)
    titles = [ax.get_title() for ax in saved[0].axes if ax.get_title()]
    assert titles == ["pixel (0, 3)", "pixel (1, 2)", "pixel (3, 2)"]
    vectors = mapped._replace(x_test=subject.x_test.reshape(45, 16))
    FIGURES["component_planes"].run(vectors, "planes.png")
    assert len(cells(saved[1])) == 12 and saved[1].axes[0].get_title().startswith("feature ")


def test_honeycomb_shifts_odd_rows_by_half_an_image():
    images = (1 + np.arange(6.0)).reshape(3, 2, 1, 1, 1) / 10 * np.ones((3, 2, 3, 5, 1))
    picture = honeycomb(images)[..., 0]
    assert picture.shape == (3 * 3 + 2, 2 * 5 + 1 + 3)
    assert picture[0].tolist() == [0.1] * 5 + [1] + [0.2] * 5 + [1] * 3
    assert picture[4].tolist() == [1] * 3 + [0.3] * 5 + [1] + [0.4] * 5
    assert (picture[3] == 1).all() and picture[8].tolist() == [0.5] * 5 + [1] + [0.6] * 5 + [1] * 3


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_image_prototypes_lie_on_their_grid(subject, saved, topology):
    codebook = np.random.default_rng(0).uniform(size=(6, 4, 4, 1)).astype(np.float32)
    FIGURES["prototypes"].run(on_map(subject, Grid(2, 3, topology), codebook), "prototypes.png")
    rows = codebook.reshape(2, 3, 4, 4, 1)
    expected = honeycomb(rows) if topology == "hexagonal" else mosaic(rows)
    np.testing.assert_allclose(saved[0].axes[0].images[0].get_array(), expected[..., 0], atol=1e-6)


def test_prototypes_without_a_map_are_in_a_near_square(subject, saved):
    codebook = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    clustering = on_map(subject, Grid(1, 5), codebook)
    clustering = clustering._replace(method=clustering.method._replace(map=None))
    FIGURES["prototypes"].run(clustering, "prototypes.png")
    assert saved[0].axes[0].images[0].get_array().shape == (2 * 4 + 1, 3 * 4 + 2)


def test_vector_prototypes_are_lines_in_their_cells(subject, saved):
    codebook = np.random.default_rng(0).normal(size=(6, 7))
    vectors = {"x_test": np.zeros((9, 7), np.float32)}
    FIGURES["prototypes"].run(on_map(subject, Grid(2, 3, "hexagonal"), codebook, **vectors), "prototypes.png")
    lines = [line.get_xydata() for line in saved[0].axes[0].lines]
    for (x, y), line, values in zip(
        outlines(Grid(2, 3, "hexagonal")).mean(axis=1), lines, codebook, strict=True
    ):
        assert np.argmin(line[:, 1]) == np.argmax(values)  # rows run downwards
        assert np.abs(line - [x, y]).max() < 0.5


def test_pairs_are_a_net_over_the_data(subject, saved):
    codebook = np.random.default_rng(0).normal(size=(6, 2))
    pairs = on_map(subject, Grid(2, 3), codebook, x_test=np.zeros((9, 2), np.float32))
    FIGURES["prototypes"].run(pairs, "prototypes.png")
    lines = {tuple(np.round(line.get_xydata(), 5).ravel()) for line in saved[0].axes[0].lines}
    edges = [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]
    assert lines == {
        tuple(np.round(codebook[list(edge)], 5).astype(np.float32).astype(float).round(5).ravel())
        for edge in edges
    }
