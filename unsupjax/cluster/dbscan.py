"""Density-based clusters of any shape, with noise.

Source: Ester, Kriegel, Sander and Xu, "A density-based algorithm for discovering clusters in large spatial
databases with noise", KDD 1996.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.cluster.tiles import Tiles, float64, near_pairs, spatial_order, tiled
from unsupjax.errors import UserError
from unsupjax.numerics import checks
from unsupjax.numerics.differences import squared_distances

_NONE = np.iinfo(np.int32).max  # above every index: what a minimum over nothing gives


class Result(NamedTuple):
    """What DBSCAN finds.

    Attributes:
        labels: the cluster of each row, int32 `[N]`; -1 is noise.
        core: which rows are core points, bool `[N]`.
    """

    labels: np.ndarray
    core: np.ndarray


def fit(
    x: np.ndarray,
    *,
    eps: float,
    min_samples: int = 5,
    weights: np.ndarray | None = None,
    block: int = 256,
) -> Result:
    r"""DBSCAN with Euclidean distances.

    A row is a core point if :math:`|\{j : \|x_i - x_j\| \le \varepsilon\}|`, itself counted, or the sum of the weights
    of these rows, is at least `min_samples`. Core points within eps of one another share a cluster; clusters are
    numbered by their first core point. Any other row joins the lowest-numbered cluster that has a core point within eps
    of it, or is noise. These are the core points and the labels of scikit-learn's `DBSCAN`; distances that differ from
    eps by round-off alone may fall on either side of it there.

    Time is O(N^2 D) in the worst case, less the pairs of tiles whose bounding boxes lie more than eps apart;
    memory O(N D + (N / block)^2 + block^2).

    Args:
        x: `[N, D]`, real numbers; compared in float64.
        eps: the radius, in the units of x; `suggest_eps` gives a first guess.
        min_samples: rows within eps that make a core point, itself counted.
        weights: of the rows, `[N]`, how many rows each counts for; None: 1 each. A negative one keeps its
            neighbours from being core points.
        block: rows a tile; no result depends on it. A few thousand keep a GPU busier.

    Raises:
        UserError: x is not a finite table; eps is not positive; min_samples or block is below 1; weights are not one
            finite number for each row.
    """
    x = checks.rows(x, "dbscan").astype(np.float64, copy=False)
    if not 0 < eps < np.inf:
        raise UserError(f"dbscan: eps={eps} must be positive and finite; `suggest_eps` gives a first guess")
    for name, value in (("min_samples", min_samples), ("block", block)):
        if value < 1:
            raise UserError(f"dbscan: {name}={value} must be at least 1")
    eps, n, block = float(eps), len(x), min(block, len(x))
    mass = None if weights is None else _mass(weights, n)
    order = spatial_order(x, block)

    def tiles_of(index: np.ndarray) -> Tiles:
        return tiled(x[index], block, -(-n // block))  # one number of tiles for all uses: one compilation

    with float64():
        everything = tiles_of(order)
        dense = _counted(everything, None if mass is None else mass[order], eps)[:n] >= min_samples
        inner, outer = order[dense], order[~dense]
        labels, core = np.full(n, -1, np.int32), np.zeros(n, bool)
        core[inner] = True
        if len(inner) == 0:
            return Result(labels, core)
        cores = tiles_of(inner) if len(outer) else everything
        labels[inner] = _numbered(_connected(cores, eps)[: len(inner)], inner)
        if len(outer):
            labels[outer] = _adopted(tiles_of(outer), cores, labels[inner], eps)[: len(outer)]
    return Result(labels, core)


def _mass(weights: np.ndarray, n: int) -> np.ndarray:
    """Weights of n rows, checked: float64 `[N]`."""
    if np.shape(weights) != (n,):
        raise UserError(f"dbscan: {n} rows but weights of shape {np.shape(weights)}; give one to each row")
    mass = np.asarray(weights, np.float64)
    if not np.isfinite(mass).all():
        raise UserError("dbscan: weights hold NaN or infinity; give one finite number to each row")
    return mass


def _counted(tiles: Tiles, mass: np.ndarray | None, eps: float) -> np.ndarray:
    """How many points lie within eps of each, itself counted: int32 `[T * block]`; or their mass `[N]`, float64."""
    shape, padded = (tiles.x.shape[0], tiles.x.shape[2]), None
    if mass is not None:
        padded = np.zeros(shape)
        padded.reshape(-1)[: len(mass)] = mass
    counts = jnp.zeros(shape, jnp.int32 if mass is None else jnp.float64)
    for pairs, n_pairs in near_pairs(tiles, tiles, eps):
        counts = _count(counts, tiles.x, padded, pairs, n_pairs, eps**2)
    return np.asarray(counts).reshape(-1)


@jax.jit
def _count(
    counts: jax.Array, x: jax.Array, mass: jax.Array | None, pairs: jax.Array, n_pairs: int, limit: float
) -> jax.Array:
    def add(p, counts):
        i, j = pairs[p]
        near = squared_distances(x[i], x[j], limit) <= limit
        near_j = near if mass is None else jnp.where(near, mass[j][None, :], 0)
        near_i = near if mass is None else jnp.where(near, mass[i][:, None], 0)
        counts = counts.at[i].add(near_j.sum(axis=1, dtype=counts.dtype))
        return counts.at[j].add(jnp.where(i == j, 0, near_i.sum(axis=0, dtype=counts.dtype)))

    return jax.lax.fori_loop(0, n_pairs, add, counts)


def _connected(tiles: Tiles, eps: float) -> np.ndarray:
    """Connected components of the graph of points within eps: the root of each, int32 `[T * block]`.

    Trees of parents, every parent of a lower index than its child. The pairs of tiles are visited once: each
    joins all trees that an edge between its tiles connects, by hooking the higher root under the lowest root
    next to it until none is left to hook.
    """
    parent = jnp.arange(tiles.x.shape[0] * tiles.x.shape[2], dtype=jnp.int32)
    for pairs, n_pairs in near_pairs(tiles, tiles, eps):
        parent = _join(parent, tiles.x, pairs, n_pairs, eps**2)
    return np.asarray(parent)


@jax.jit
def _join(parent: jax.Array, x: jax.Array, pairs: jax.Array, n_pairs: int, limit: float) -> jax.Array:
    block = x.shape[2]

    def join(p, parent):
        i, j = pairs[p]
        nodes = jnp.stack([i, j])[:, None] * block + jnp.arange(block, dtype=jnp.int32)[None]
        roots = jax.lax.while_loop(lambda r: jnp.any(parent[r] != r), lambda r: parent[r], nodes)

        def hooked(parent):
            near = squared_distances(x[i], x[j], limit) <= limit
            return _hooked(parent, nodes, roots, near)[0]

        # One tree already: nothing to compute.
        return jax.lax.cond(jnp.all(roots == roots[0, 0]), lambda parent: parent, hooked, parent)

    return _jumped(jax.lax.fori_loop(0, n_pairs, join, parent), slice(None))


def _hooked(
    parent: jax.Array, nodes: jax.Array, roots: jax.Array, near: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The forest after all edges between two tiles, and after how many rounds.

    Args:
        parent: int32 `[T * block]`.
        nodes: of the two tiles, int32 `[2, block]`.
        roots: of these nodes, int32 `[2, block]`.
        near: the edges, bool `[block, block]`.
    """

    def hook(state):
        parent, roots, _, rounds = state
        below = jnp.where(near, roots[1][None, :], _NONE).min(axis=1)
        above = jnp.where(near, roots[0][:, None], _NONE).min(axis=0)
        lowest = jnp.stack([below, above])
        parent = parent.at[nodes].min(roots).at[roots].min(lowest)
        # Every link of a path among these nodes begins at one of them or at a root that was hooked.
        parent = _jumped(parent, jnp.concatenate([nodes, roots]))
        return parent, parent[nodes], jnp.any(lowest < roots), rounds + 1

    start = (parent, roots, jnp.bool_(True), jnp.int32(0))
    parent, _, _, rounds = jax.lax.while_loop(lambda state: state[2], hook, start)
    return parent, rounds


def _jumped(parent: jax.Array, at: jax.Array | slice) -> jax.Array:
    """The forest with some nodes put directly under their roots, by pointer jumping: paths halve each time."""

    def jump(parent):
        return parent.at[at].min(parent[parent[at]])

    return jax.lax.while_loop(lambda parent: jnp.any(parent[parent[at]] != parent[at]), jump, parent)


def _numbered(roots: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Components numbered from 0 in the order of their lowest row, int32."""
    _, component = np.unique(roots, return_inverse=True)
    lowest = np.full(component.max() + 1, _NONE)
    np.minimum.at(lowest, component, rows)
    return np.argsort(np.argsort(lowest))[component].astype(np.int32)


def _adopted(border: Tiles, cores: Tiles, labels: np.ndarray, eps: float) -> np.ndarray:
    """The lowest label of a core point within eps of each point, -1 where there is none: int32 `[T * block]`."""
    shape = cores.x.shape[0], cores.x.shape[2]
    padded = np.full(shape, _NONE, np.int32)
    padded.reshape(-1)[: len(labels)] = labels
    lowest, padded = jnp.full(shape, _NONE, jnp.int32), jnp.asarray(padded)
    for pairs, n_pairs in near_pairs(border, cores, eps):
        lowest = _lower(lowest, border.x, cores.x, padded, pairs, n_pairs, eps**2)
    lowest = np.asarray(lowest).reshape(-1)
    return np.where(lowest == _NONE, -1, lowest)


@jax.jit
def _lower(
    lowest: jax.Array,
    border: jax.Array,
    cores: jax.Array,
    labels: jax.Array,
    pairs: jax.Array,
    n_pairs: int,
    limit: float,
) -> jax.Array:
    def lower(p, lowest):
        i, j = pairs[p]
        near = squared_distances(border[i], cores[j], limit) <= limit
        return lowest.at[i].min(jnp.where(near, labels[j][None, :], _NONE).min(axis=1))

    return jax.lax.fori_loop(0, n_pairs, lower, lowest)


def suggest_eps(x: np.ndarray, min_samples: int = 5, core: float = 0.5) -> float:
    """The eps for which about a fraction `core` of the rows are core points: a first guess.

    It is that quantile of the distances to the `min_samples`-th nearest row, itself counted; rows that coincide with
    `min_samples` - 1 others have distance 0 and are left out. (The knee of the sorted distances, which is sought
    by eye in the plane, joins all clusters in many dimensions, where distances crowd together.)

    Args:
        x: `[N, D]`, real numbers.
        min_samples: as in `fit`; at least 2.
        core: in (0, 1].

    Raises:
        UserError: x is not a finite table; min_samples is not in [2, N]; `core` not in (0, 1]; no distance is
            positive.

    Source: the sorted k-distance graph of Ester et al., 1996, section 4.2.
    """
    from sklearn.neighbors import NearestNeighbors

    x = checks.rows(x, "suggest_eps").astype(np.float64, copy=False)
    if not 2 <= min_samples <= len(x):
        raise UserError(f"suggest_eps: min_samples={min_samples} must be between 2 and the {len(x)} rows")
    if not 0 < core <= 1:
        raise UserError(f"suggest_eps: core={core} must be above 0 and at most 1")
    search = NearestNeighbors(n_neighbors=min_samples).fit(x)
    chunks = np.array_split(x, -(-len(x) // 8192))
    distances = np.concatenate([search.kneighbors(chunk)[0][:, -1] for chunk in chunks])
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise UserError(
            f"suggest_eps: every row coincides with {min_samples - 1} others; any eps > 0 will do"
        )
    # The square of a rounded root can fall short of what it was the root of: go a little above.
    return float(np.quantile(distances, core) * (1 + 1e-9))
