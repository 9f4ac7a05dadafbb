"""Errors and pictures of maps, against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from unsupjax import som

RNG = np.random.default_rng(0)
GRIDS = [som.Grid(4, 6), som.Grid(4, 6, "hexagonal", True)]


@pytest.fixture(params=GRIDS, ids=lambda g: g.topology)
def map_and_rows(request):
    codebook = jnp.asarray(RNG.normal(size=(24, 5)), jnp.float32)
    return som.Map(codebook, request.param), RNG.normal(size=(200, 5)).astype(np.float32)


def test_distances_errors_and_hits(map_and_rows):
    map, x = map_and_rows
    distances = np.linalg.norm(x[:, None] - np.asarray(map.codebook)[None], axis=-1)
    np.testing.assert_allclose(som.transform(map, x), distances, atol=1e-5)
    np.testing.assert_array_equal(som.bmu(map, x), distances.argmin(axis=1))
    np.testing.assert_allclose(som.quantization_error(map, x), distances.min(axis=1).mean(), rtol=1e-5)
    np.testing.assert_array_equal(som.hits(map, x), np.bincount(distances.argmin(axis=1), minlength=24))
    near, order = som.adjacency(map.grid), np.argsort(distances, axis=1)
    expected = np.mean([not near[a, b] for a, b in order[:, :2]])
    np.testing.assert_allclose(som.topographic_error(map, x), expected)


def test_the_neighbourhood_of_the_topographic_error_matters():
    grid = som.Grid(2, 2)
    map = som.Map(jnp.asarray([[0.0], [10.0], [20.0], [1.0]]), grid)
    x = np.zeros((3, 1), np.float32)  # best unit 0, second best 3: diagonal neighbours
    assert som.topographic_error(map, x, 8) == 0 and som.topographic_error(map, x, 4) == 1


def test_neighbours_across_the_border_of_a_torus_are_no_error():
    x = np.zeros((3, 1), np.float32)
    for toroidal, expected in ((False, 1), (True, 0)):
        map = som.Map(jnp.asarray([[0.0], [10.0], [20.0], [30.0], [1.0]]), som.Grid(1, 5, toroidal=toroidal))
        assert som.topographic_error(map, x) == expected


def test_distortion(map_and_rows):
    map, x = map_and_rows
    squared = np.square(x[:, None] - np.asarray(map.codebook)[None]).sum(axis=-1)
    h = np.exp(-(som.distances(map.grid) ** 2) / (2 * 1.5**2))
    expected = (h[squared.argmin(axis=1)] * squared).sum(axis=1).mean()
    np.testing.assert_allclose(som.distortion(map, x, 1.5), expected, rtol=1e-5)


def test_u_matrix(map_and_rows):
    map, _ = map_and_rows
    w = np.asarray(map.codebook)
    near = som.adjacency(map.grid)
    expected = [np.mean([np.linalg.norm(w[i] - w[j]) for j in np.flatnonzero(near[i])]) for i in range(24)]
    np.testing.assert_allclose(som.u_matrix(map), expected, rtol=1e-5)


def test_the_topographic_product_by_its_definition(map_and_rows):
    map, _ = map_and_rows
    w, k = np.asarray(map.codebook, np.float64), 24
    data = np.linalg.norm(w[:, None] - w[None], axis=-1)
    grid = som.distances(map.grid)
    total = 0.0
    for j in range(k):
        others = [i for i in range(k) if i != j]
        on_grid = sorted(others, key=lambda i: (grid[j, i], i))
        in_data = sorted(others, key=lambda i: data[j, i])
        for m in range(1, k):
            q1 = [data[j, a] / data[j, b] for a, b in zip(on_grid[:m], in_data[:m], strict=True)]
            q2 = [grid[j, a] / grid[j, b] for a, b in zip(on_grid[:m], in_data[:m], strict=True)]
            total += np.log(np.prod(q1) * np.prod(q2)) / (2 * m)
    np.testing.assert_allclose(som.topographic_product(map), total / (k * (k - 1)), rtol=1e-6)


def test_a_plane_laid_on_a_plane_has_no_topographic_product():
    grid = som.Grid(5, 5)
    flat = som.Map(jnp.asarray(som.positions(grid), jnp.float32), grid)
    folded = som.Map(flat.codebook[RNG.permutation(25)], grid)
    assert abs(som.topographic_product(flat)) < 1e-6 < abs(som.topographic_product(folded))


def test_trustworthiness_is_scikit_learns(map_and_rows):
    map, x = map_and_rows
    expected = trustworthiness(x, som.positions(map.grid)[np.asarray(som.bmu(map, x))], n_neighbors=7)
    np.testing.assert_allclose(som.trustworthiness(map, x, 7), expected)


def test_maps_are_pytrees(map_and_rows):
    map, _ = map_and_rows
    assert len(jax.tree.leaves(map)) == 1
    doubled = jax.jit(lambda m: jax.tree.map(lambda a: 2 * a, m))(map)
    assert doubled.grid == map.grid and doubled.metric == "euclidean"


def test_one_unit_has_no_topographic_error():
    with pytest.raises(ValueError, match="needs two units"):
        som.topographic_error(som.Map(jnp.zeros((1, 2)), som.Grid(1, 1)), np.zeros((3, 2)))
