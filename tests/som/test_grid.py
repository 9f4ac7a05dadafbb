"""Positions, distances and neighbours of units, against what can be counted by hand."""

import numpy as np
import pytest

from unsupjax.som import Grid, adjacency, distances, positions


def test_units_are_numbered_row_by_row():
    np.testing.assert_array_equal(positions(Grid(2, 3)), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]])
    hexagonal = positions(Grid(3, 2, "hexagonal"))
    np.testing.assert_allclose(hexagonal[:, 0], np.repeat([0, np.sqrt(3) / 2, np.sqrt(3)], 2))
    np.testing.assert_allclose(hexagonal[:, 1], [0, 1, 0.5, 1.5, 0, 1])


@pytest.mark.parametrize(
    ("grid", "neighbours", "counts"),
    [
        (Grid(4, 5), 4, {2: 4, 3: 10, 4: 6}),
        (Grid(4, 5), 8, {3: 4, 5: 10, 8: 6}),
        (Grid(4, 5, toroidal=True), 4, {4: 20}),
        (Grid(4, 5, toroidal=True), 8, {8: 20}),
        (Grid(4, 5, "hexagonal"), 6, {2: 2, 3: 4, 4: 6, 5: 2, 6: 6}),
        (Grid(5, 4, "hexagonal"), 6, {2: 2, 3: 4, 4: 4, 5: 4, 6: 6}),
        (Grid(4, 5, "hexagonal", True), 6, {6: 20}),
        (Grid(1, 5), 4, {1: 2, 2: 3}),
    ],
)
def test_every_unit_has_its_neighbours(grid, neighbours, counts):
    near = adjacency(grid, neighbours)
    assert (near == near.T).all() and not near.diagonal().any()
    found = dict(zip(*np.unique(near.sum(axis=1), return_counts=True), strict=True))
    if grid.topology == "rectangular" or grid.toroidal:
        assert found == counts
    inside = near.sum(axis=1).max()
    assert inside == max(counts)


@pytest.mark.parametrize("height", [4, 5])
def test_hexagonal_neighbours_by_the_rule_of_rows(height):
    """Offset coordinates: the neighbours in the rows above and below depend on the parity of the row."""
    grid, width = Grid(height, 6, "hexagonal"), 6
    expected = np.zeros((height * width,) * 2, bool)
    for r in range(height):
        for c in range(width):
            shift = 0 if r % 2 else -1
            for dr, dc in ((0, -1), (0, 1), (-1, shift), (-1, shift + 1), (1, shift), (1, shift + 1)):
                if 0 <= r + dr < height and 0 <= c + dc < width:
                    expected[r * width + c, (r + dr) * width + c + dc] = True
    np.testing.assert_array_equal(adjacency(grid), expected)


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_a_torus_looks_the_same_from_every_unit(topology):
    apart = distances(Grid(6, 5, topology, True))
    rows = np.sort(apart, axis=1)
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-12)
    assert apart.max() < distances(Grid(6, 5, topology)).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "0 x 3 has no units"),
        ((3, 3, "triangular"), "topology 'triangular' is unknown"),
        ((3, 3, "hexagonal", True), "even height, not 3"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Grid(*arguments)


def test_neighbourhoods_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="no neighbourhood of 6"):
        adjacency(Grid(3, 3), 6)
    with pytest.raises(ValueError, match=r"choose from \[6\]"):
        adjacency(Grid(4, 3, "hexagonal"), 8)


def test_manhattan_distances_add_rows_and_columns():
    np.testing.assert_array_equal(distances(Grid(3, 4), True)[0], [0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5])
    torus = distances(Grid(3, 4, toroidal=True), True)
    np.testing.assert_array_equal(torus[0], [0, 1, 2, 1, 1, 2, 3, 2, 1, 2, 3, 2])
