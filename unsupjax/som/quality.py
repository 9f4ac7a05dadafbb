"""What a map makes of data, and how good it is: arrays in, arrays out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from unsupjax.numerics import checks, nearest
from unsupjax.som.grid import adjacency, distances, positions
from unsupjax.som.map import Map
from unsupjax.som.neighbourhood import NEIGHBOURHOODS, squared_distances


def find(map: Map, x: jax.Array, missing: bool = False) -> tuple[jax.Array, jax.Array]:
    """The best matching unit of each row, int32 `[N]`, and its distance, float32 `[N]`.

    Args:
        map: the map.
        x: rows, `[N, D]`.
        missing: NaN entries were not observed; distances leave them out and are scaled up to all features.

    Raises:
        UserError: x is no table of finite numbers (under `jit` its values are not seen) or has another number of
            features than the map; so do all functions of a map and rows.
    """
    return _find(map, _rows(map, x, missing), missing)


def _rows(map: Map, x: jax.Array, missing: bool) -> jax.Array:
    return checks.comparable(x, map.codebook, "som", missing)[0]


@functools.partial(jax.jit, static_argnames="missing")
def _find(map, x, missing):
    return nearest.find(x, map.codebook, metric=map.metric, missing=missing)


def bmu(map: Map, x: ArrayLike, missing: bool = False) -> jax.Array:
    """The best matching unit of each row, int32 `[N]`, the lowest on a tie."""
    return find(map, x, missing)[0]


def quantization_error(map: Map, x: ArrayLike, missing: bool = False) -> float:
    """The mean distance of rows to their best units."""
    return float(find(map, x, missing)[1].mean())


def transform(map: Map, x: ArrayLike, missing: bool = False) -> jax.Array:
    """The distances of rows to all units, float32 `[N, K]`."""
    return _transform(map, _rows(map, x, missing), missing)


@functools.partial(jax.jit, static_argnames="missing")
def _transform(map, x, missing):
    return nearest.table(x, map.codebook, metric=map.metric, missing=missing)


def best_two(map: Map, x: ArrayLike, missing: bool = False) -> jax.Array:
    """The best and the second best unit of each row, int32 `[N, 2]`."""
    return _best_two(map, _rows(map, x, missing), missing)


@functools.partial(jax.jit, static_argnames="missing")
def _best_two(map, x, missing):
    units, k = nearest.prepare(map.codebook, map.metric), map.grid.units

    def search(rows, x):
        def body(out, start, fresh):
            p = nearest.points(nearest.tile(x, start, rows), units.shift, map.metric, missing)
            values, _ = nearest.sure_scores(p, units, map.metric)
            first, _ = nearest.lowest(values)
            second, _ = nearest.lowest(jnp.where(jnp.arange(k)[:, None] == first[None], jnp.inf, values))
            return nearest.put(out, jnp.stack([first, second], axis=1), start)

        n = x.shape[0]
        return None, nearest.fold(body, jnp.zeros_like(x, jnp.int32, (n, 2)), n, rows)

    return nearest.over_rows(search, k, x)[1]


def topographic_error(map: Map, x: ArrayLike, neighbours: int = 0, missing: bool = False) -> float:
    """The fraction of rows whose two best units are no neighbours on the grid.

    A blurred map has a low one: read it beside the quantization error.

    Args:
        map: the map.
        x: rows, `[N, D]`.
        neighbours: of a unit inside: 4 or 8 on a rectangular grid, 6 on a hexagonal one; 0: 8 and 6.
        missing: as in `find`.

    Raises:
        ValueError: the grid has no such neighbourhood, or a single unit.

    Source: Kiviluoto, ICNN 1996.
    """
    if map.grid.units < 2:
        raise ValueError("the topographic error needs two units")
    pairs = np.asarray(best_two(map, x, missing))
    return float(1 - adjacency(map.grid, neighbours)[pairs[:, 0], pairs[:, 1]].mean())


def topographic_product(map: Map) -> float:
    r"""How well the size of the grid's neighbourhoods fits the data; 0 is best.

    .. math:: P = \frac 1 {K (K - 1)} \sum_j \sum_k \frac 1 {2k} \log \prod_{l \le k}
        \frac{d(w_j, w_{n_l^A(j)})}{d(w_j, w_{n_l^V(j)})} \frac{\delta(j, n_l^A(j))}{\delta(j, n_l^V(j))}

    with the l-th nearest units of j on the grid (A) and by codebook (V), d the distance of codebook entries and
    delta that on the grid. Below 0 the grid has too few dimensions for the data, above 0 too many. Equal distances
    are ordered by unit; units with equal entries make it NaN.

    Source: Bauer and Pawelzik, IEEE Trans. Neural Networks 1992.
    """
    w = np.asarray(map.codebook, np.float64)
    k = len(w)
    w = w - w.mean(axis=0)
    squares = np.square(w).sum(axis=1)
    between = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * w @ w.T, 0))
    on_grid = distances(map.grid)
    nearest_by = lambda d: np.argsort(d + np.where(np.eye(k, dtype=bool), -1, 0), axis=1, kind="stable")[
        :, 1:
    ]
    grid_order, data_order = nearest_by(on_grid), nearest_by(between)
    log = lambda d, order: np.log(np.take_along_axis(d, order, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = log(between, grid_order) - log(between, data_order)
    ratios += log(on_grid, grid_order) - log(on_grid, data_order)
    return float((np.cumsum(ratios, axis=1) / (2 * np.arange(1, k))).sum() / (k * (k - 1)))


def distortion(
    map: Map, x: jax.Array, radius: float, neighbourhood: str = "gaussian", missing: bool = False
) -> jax.Array:
    r"""Mean over rows of :math:`\sum_i h_{i, b(x)} \|x - w_i\|^2`, what the batch map lowers at a fixed radius."""
    return _distortion(map, _rows(map, x, missing), radius, neighbourhood, missing)


@functools.partial(jax.jit, static_argnames=("neighbourhood", "missing"))
def _distortion(map, x, radius, neighbourhood, missing):
    units = nearest.prepare(map.codebook, map.metric)
    weights = NEIGHBOURHOODS[neighbourhood](squared_distances(map.grid), radius)

    def total(rows, x):
        def body(total, start, fresh):
            p = nearest.points(nearest.tile(x, start, rows), units.shift, map.metric, missing)
            squared, _ = nearest.to_all(p, units, map.metric)
            first, _ = nearest.lowest(squared)
            return total + jnp.sum(jnp.where(fresh[None], weights[:, first] * squared, 0.0))

        return nearest.fold(body, jnp.zeros_like(x, jnp.float32, ()), x.shape[0], rows), None

    return nearest.over_rows(total, map.grid.units, x)[0] / x.shape[0]


def trustworthiness(map: Map, x: ArrayLike, neighbours: int = 10) -> float:
    """How far neighbours on the map are neighbours in the data, in [0, 1]; 1 is best.

    scikit-learn's `trustworthiness` (Venna and Kaski, 2001) of each row's best unit's position; takes N^2 memory.
    On a torus it sees the plane that was cut open.
    """
    from sklearn.manifold import trustworthiness as score

    rows = np.asarray(_rows(map, x, False), np.float32)
    return float(score(rows, positions(map.grid)[np.asarray(bmu(map, rows))], n_neighbors=neighbours))


def hits(map: Map, x: ArrayLike, missing: bool = False) -> np.ndarray:
    """How many rows each unit is the best for: int64 `[K]`."""
    return np.bincount(np.asarray(bmu(map, x, missing)), minlength=map.grid.units)


def u_matrix(map: Map, neighbours: int = 0) -> np.ndarray:
    """The mean distance of each unit's codebook entry to those of its neighbours: float64 `[K]`.

    High values are borders between clusters (Ultsch and Siemon, 1990).
    """
    near = adjacency(map.grid, neighbours)
    between = np.asarray(transform(map, map.codebook), np.float64)
    return (between * near).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
