"""The nearest of K units for each of N rows, and sums over the rows that share one: the core of k-means and of maps.

Everything runs over tiles of rows, so that no `[N, K]` array ever stands in memory; and where there are several
devices, over equal parts of the rows side by side (`over_rows`), so that each device searches its own. Distances of a
tile are one matrix product,

    1/2 ||x - w||^2 = 1/2 ||w||^2 - w . x + 1/2 ||x||^2,

of which the last term changes no ranking and is left out. In float32 the expansion cancels where data lies far from
zero, and then picks wrong units; so rows and units are first moved by about the mean of the units.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

METRICS = ("euclidean", "cosine", "manhattan")
_TILE = {"cpu": 2**19, "default": 2**25}  # distances in a tile: on CPU what the second-level cache holds
_GROUP = 8  # rows for each unit that are summed before their sum joins the total: float32 sums of millions stay exact


class Units(NamedTuple):
    """K units, ready to be compared with rows.

    Attributes:
        w: moved by `-shift` (Euclidean, Manhattan) or of unit length (cosine), `[K, D]`.
        half_norms: 1/2 ||w||^2, `[K]`.
        shift: `[D]`.
    """

    w: jax.Array
    half_norms: jax.Array
    shift: jax.Array


def normalize(x: jax.Array) -> jax.Array:
    """Rows of unit length; zeros stay zeros."""
    length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
    return x / jnp.where(length > 0, length, 1)


def prepare(units: jax.Array, metric: str) -> Units:
    """The `Units` of a codebook `[K, D]`."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; choose one of {METRICS}")
    units = units.astype(jnp.float32)
    shift = jnp.zeros_like(units[0]) if metric == "cosine" else _center(units)
    w = normalize(units) if metric == "cosine" else units - shift[None]
    return Units(w, 0.5 * jnp.sum(jnp.square(w), axis=1), shift)


def _center(units: jax.Array) -> jax.Array:
    """The mean of the units, rounded to a multiple of a power of two near their spread.

    Integers thus stay integers, and rows that lie exactly between two units do so still.
    """
    mean = units.mean(axis=0)
    spread = jnp.max(jnp.abs(units - mean[None]), axis=0)
    step = jnp.exp2(jnp.floor(jnp.log2(jnp.where(spread > 0, spread, 1))))
    return step * jnp.round(mean / step)


def points(x: jax.Array, units: Units, metric: str, missing: bool) -> tuple[jax.Array, jax.Array | None]:
    """Rows `[B, D]` of any real dtype as `units.w` are: float32, moved or of unit length.

    With `missing`, NaN becomes 0, and the second result tells which features were observed, bool `[B, D]`.
    """
    p = x.astype(jnp.float32) - units.shift[None]
    observed = ~jnp.isnan(p) if missing else None
    p = p if observed is None else jnp.where(observed, p, 0.0)
    return (normalize(p) if metric == "cosine" else p), observed


def scores(p: jax.Array, units: Units, metric: str, observed: jax.Array | None, precision: str) -> jax.Array:
    """What ranks the units for each point, `[K, B]`, lower nearer: half the squared distance but for a term of x.

    Units run along the rows, so that minima over them vectorise over points.

    Args:
        p: `points` of a tile, `[B, D]`.
        units: the units.
        metric: "manhattan" gives distances; "cosine" and "euclidean" as above.
        observed: bool `[B, D]`, the features that count; None: all.
        precision: of the matrix products.
    """
    product = lambda a, b: jnp.matmul(a, b.T, precision=precision)
    if metric == "manhattan":
        seen = jnp.ones_like(p, bool) if observed is None else observed
        apart = jnp.abs(units.w[:, None] - p[None])
        return jnp.sum(jnp.where(seen[None], apart, 0.0), axis=-1)
    if observed is None or metric == "cosine":
        return units.half_norms[:, None] - product(units.w, p)
    return product(0.5 * jnp.square(units.w), observed.astype(jnp.float32)) - product(units.w, p)


def lowest(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Index (int32, the lowest on a tie) and value of the minimum of each column of `[K, B]`."""
    k = values.shape[0]
    least = jnp.min(values, axis=0)
    # Not argmin: XLA's is several times slower on CPU than a minimum and a comparison.
    at = jnp.where(values == least[None], jnp.arange(k, dtype=jnp.int32)[:, None], k)
    return jnp.min(at, axis=0), least


def pair_distances(p: jax.Array, w: jax.Array, metric: str, observed: jax.Array | None) -> jax.Array:
    """Distances along the last axis, from differences: `[...]` of two `[..., D]`.

    Euclidean and Manhattan distances over part of the features are scaled up to all of them; the cosine distance
    is 1 - cosine similarity.
    """
    apart = p - w if observed is None or metric == "cosine" else jnp.where(observed, p - w, 0.0)
    size = jnp.abs(apart) if metric == "manhattan" else jnp.square(apart)
    total = jnp.sum(size, axis=-1) * _scale(metric, observed)
    return {"manhattan": total, "euclidean": jnp.sqrt(total), "cosine": 0.5 * total}[metric]


def _scale(metric: str, observed: jax.Array | None) -> jax.Array | float:
    """What distances over the observed features are multiplied with."""
    if observed is None or metric == "cosine":
        return 1.0
    return observed.shape[-1] / jnp.maximum(jnp.sum(observed, axis=-1), 1)


def tile_rows(n: int, k: int) -> int:
    """Rows in a tile of N rows against K units."""
    platform = "cpu" if jax.default_backend() == "cpu" else "default"
    return min(n, max(256, min(4096 if platform == "cpu" else 2**16, _TILE[platform] // k)))


def shares(n: int, k: int) -> int:
    """Into how many parts the search among K units divides N rows: the devices that can hold equal parts of them.

    1 where the rows are a single tile, which the compiler divides by itself, and where a part has so few rows for
    its units that the sums of all parts, if one device has them all, would take several times the memory of the rows.
    """
    parts = math.gcd(n, jax.device_count())
    return parts if tile_rows(n, k) < n and k * parts <= 4 * n else 1


def over_rows(f: Callable, k: int, *arrays: jax.Array | None, axis: int = 0) -> tuple[Any, Any]:
    """`f(rows, *arrays) -> (sums, values)` over tiles of `rows` of arrays `[N, ...]`; `values` has N rows too.

    A loop over tiles of the global batch is not divided by the compiler: every device would gather the batch and
    search all of it. So `f` gets parts of the arrays, one for each device, side by side (vmapped): no row leaves its
    device, and sums are added over devices once. With one device, `f` gets the arrays as they are.

    Args:
        f: of the rows in a tile and a part of the arrays; either result may be None.
        k: units that rows are compared with.
        arrays: of the rows, or None.
        axis: of the rows in `values`.
    """
    n = jax.tree.leaves(arrays)[0].shape[0]
    parts = shares(n, k)
    rows = tile_rows(n // parts, k * parts)
    if parts == 1:
        return f(rows, *arrays)
    split = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), arrays)
    sums, values = jax.vmap(lambda part: f(rows, *part), out_axes=(0, axis))(split)
    joined = jax.tree.map(lambda a: a.reshape(*a.shape[:axis], n, *a.shape[axis + 2 :]), values)
    return jax.tree.map(lambda a: a.sum(axis=0), sums), joined


def fold(
    f: Callable, carry: Any, n: int, rows: int, first: int | jax.Array = 0, last: int | None = None
) -> Any:
    """`carry = f(carry, start, fresh)` over tiles of `rows` of n rows, or over those from `first` to `last`.

    The last tile starts early enough to be whole; `fresh`, bool `[rows]`, is False for the rows that an earlier tile
    had already. A single tile takes no loop, so that the compiler may divide it over devices.
    """
    if n <= rows:
        return f(carry, 0, jnp.ones(n, bool))

    def body(i, carry):
        start = jnp.minimum(i * rows, n - rows)
        return f(carry, start, start + jnp.arange(rows) >= i * rows)

    return jax.lax.fori_loop(first, -(-n // rows) if last is None else last, body, carry)


def tile(x: jax.Array, start: jax.Array, rows: int) -> jax.Array:
    """`x[start : start + rows]`."""
    if rows == x.shape[0]:
        return x
    return jax.lax.dynamic_slice_in_dim(x, start, rows)


def put(x: jax.Array, values: jax.Array, start: jax.Array) -> jax.Array:
    """`x` with `values` from row `start` on."""
    if values.shape == x.shape:
        return values
    return jax.lax.dynamic_update_slice_in_dim(x, values, start, 0)


def add_at(total: jax.Array, index: jax.Array, rows: jax.Array) -> jax.Array:
    """`total [K, ...]` with each of `rows [B, ...]` added at its index; indices of K and beyond are left out.

    On CPU a scatter, which is serial but reads each row once; on accelerators a product with one-hot rows, which
    gives the same sum at every run, as atomic additions do not.
    """

    def scatter(total, index, rows):
        return total.at[index].add(rows, mode="drop")

    def product(total, index, rows):
        chosen = jax.nn.one_hot(index, total.shape[0], dtype=rows.dtype, axis=0)
        return total + jnp.matmul(chosen, rows, precision="highest")

    return jax.lax.platform_dependent(total, index, rows, cpu=scatter, default=product)


def find(
    x: jax.Array,
    codebook: jax.Array,
    *,
    metric: str = "euclidean",
    missing: bool = False,
    precision: str = "highest",
) -> tuple[jax.Array, jax.Array]:
    """The nearest unit of each row, and how far it is.

    Args:
        x: rows, `[N, D]`, of any real dtype.
        codebook: units, `[K, D]`.
        metric: "euclidean", "cosine" (1 - cosine similarity) or "manhattan".
        missing: NaN entries of x are features that were not observed: distances leave them out.
        precision: of the matrix products; rankings of float32 data need "highest" on accelerators.

    Returns:
        indices `[N]` int32, the lowest on a tie and K for a row with NaN that is not `missing`, and distances
        `[N]` float32, computed from differences.
    """
    units = prepare(codebook, metric)

    def search(rows, x):
        def body(carry, start, fresh):
            p, observed = points(tile(x, start, rows), units, metric, missing)
            index, _ = lowest(scores(p, units, metric, observed, precision))
            distance = pair_distances(p, units.w[index], metric, observed)
            return put(carry[0], index, start), put(carry[1], distance, start)

        n = x.shape[0]
        # zeros_like and not zeros: under shard_map the result varies over devices as x does.
        nothing = jnp.zeros_like(x, jnp.int32, (n,)), jnp.zeros_like(x, jnp.float32, (n,))
        return None, fold(body, nothing, n, rows)

    return over_rows(search, codebook.shape[0], x)[1]


class Totals(NamedTuple):
    """Sums over rows, by the nearest unit.

    Attributes:
        sums: of weight times row, relative to `prepare(units).shift`: `[K, D]`.
        counts: of weights, `[K]`; with `missing`, of observed entries, `[K, D]`.
        squared: sum over rows of weight times squared distance, from the expansion; twice the cosine distance.
        distance: sum over rows of weight times distance, likewise.
        weight: sum of all weights.
    """

    sums: jax.Array
    counts: jax.Array
    squared: jax.Array
    distance: jax.Array
    weight: jax.Array


def accumulate(
    x: jax.Array,
    codebook: jax.Array,
    *,
    weights: jax.Array | None = None,
    metric: str = "euclidean",
    missing: bool = False,
    precision: str = "highest",
) -> tuple[Totals, jax.Array]:
    """Finds the nearest unit of each row and sums the rows of each: one pass, and all that a batch update needs.

    Args:
        x, codebook, metric, missing, precision: as `find` has them.
        weights: of the rows, `[N]`; None: 1 each.

    Returns:
        the totals, and the indices `[N]`.
    """
    units, options = prepare(codebook, metric), (metric, missing, precision)
    part = lambda rows, x, weights: _accumulated(rows, x, weights, units, *options)
    return over_rows(part, codebook.shape[0], x, weights)


def _accumulated(
    rows: int,
    x: jax.Array,
    weights: jax.Array | None,
    units: Units,
    metric: str,
    missing: bool,
    precision: str,
) -> tuple[Totals, jax.Array]:
    """`accumulate` over tiles of `rows`."""
    (n, d), k = x.shape, units.w.shape[0]
    tiles, together = -(-n // rows), max(1, _GROUP * k // rows)

    def body(carry, start, fresh):
        totals, indices = carry
        p, observed = points(tile(x, start, rows), units, metric, missing)
        index, least = lowest(scores(p, units, metric, observed, precision))
        weight = (
            fresh.astype(jnp.float32) if weights is None else jnp.where(fresh, tile(weights, start, rows), 0)
        )
        counted = weight if observed is None else weight[:, None] * observed
        weighted = p if weights is None else weight[:, None] * p
        to = jnp.where(fresh, index, k)
        squared, distance = expanded(p, least, metric, observed)
        totals = Totals(
            add_at(totals.sums, to, weighted),
            add_at(totals.counts, to, counted),
            totals.squared + jnp.sum(weight * squared),
            totals.distance + jnp.sum(weight * distance),
            totals.weight + jnp.sum(weight),
        )
        return totals, put(indices, index, start)

    zero = lambda *shape: jnp.zeros_like(x, jnp.float32, shape)
    nothing = Totals(zero(k, d), zero(k, d) if missing else zero(k), zero(), zero(), zero())

    def group(g, carry):
        totals, indices = carry
        last = jnp.minimum((g + 1) * together, tiles)
        partial, indices = fold(body, (nothing, indices), n, rows, g * together, last)
        return jax.tree.map(jnp.add, totals, partial), indices

    start = (nothing, jnp.zeros_like(x, jnp.int32, (n,)))
    if tiles == 1:
        return fold(body, start, n, rows)
    return jax.lax.fori_loop(0, -(-tiles // together), group, start)


def expanded(
    p: jax.Array, values: jax.Array, metric: str, observed: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Squared distances and distances from scores of points `[B, D]`: each as `values`, `[B]` or `[K, B]`."""
    whole = lambda a: jnp.broadcast_to(a, values.shape)
    scale = whole(_scale(metric, observed))
    if metric == "manhattan":
        return jnp.square(values * scale), values * scale
    squared = jnp.maximum(2 * values + whole(jnp.sum(jnp.square(p), axis=-1)), 0) * scale
    return squared, 0.5 * squared if metric == "cosine" else jnp.sqrt(squared)


def table(
    x: jax.Array, codebook: jax.Array, *, metric: str = "euclidean", missing: bool = False
) -> jax.Array:
    """The distance of every row to every unit, float32 `[N, K]`; arguments as `find` has them."""
    units = prepare(codebook, metric)
    p, observed = points(x, units, metric, missing)
    return expanded(p, scores(p, units, metric, observed, "highest"), metric, observed)[1].T
