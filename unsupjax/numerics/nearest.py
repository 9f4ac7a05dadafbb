"""The nearest of K units for each of N rows, and sums over the rows that share one: the core of k-means and of maps.

Everything runs over tiles of rows, so that no `[N, K]` array ever stands in memory; and where there are several
devices, over equal parts of the rows side by side (`over_rows`), so that each device searches its own. Distances of a
tile are one matrix product,

    1/2 ||x - w||^2 = 1/2 ||w||^2 - w . x + 1/2 ||x||^2,

of which the last term changes no ranking and is left out. In float32 the expansion cancels where data lies far from
zero, and then picks wrong units; so rows and units are first moved by about the median of the units. That keeps it
exact for all rows but those that lie far from the median and close to a unit, as beside a far outlier or in one of
two far groups. Which those are the error bound tells, and they are compared again by differences.

The bound: with rounding errors of relative size g (`_roundoff`), the computed value of a unit at distance d from x is
off by at most g (1/2 ||w||^2 + ||w|| ||x||), and since ||w|| <= ||x|| + d by at most g (5/2 ||x||^2 + 3/2 d^2). So the
nearest unit is among those whose value exceeds the least, of a unit at distance d, by at most

    g (5 ||x||^2 + 3 d^2),

and where ||x|| <= 8 d (`_FAR`) whichever is chosen has a squared distance within 323 g of the least, relatively. Other
rows with one such unit have found it; those with several are compared again.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.numerics.differences import squared_distances

METRICS = ("euclidean", "cosine", "manhattan")
_TILE = {"cpu": 2**19, "default": 2**25}  # distances in a tile: on CPU what the second-level cache holds
_GROUP = 8  # rows for each unit that are summed before their sum joins the total: float32 sums of millions stay exact
_FAR = 8.0**2  # squared norm over squared distance beyond which the expansion is not trusted
_DIRECT = 8  # features, at most, of which differences take no longer than the expansion
_PAIRS = 4  # units in doubt, at most, that are compared with a row one by one
_AGAIN = 128  # rows that are compared by differences together


class Units(NamedTuple):
    """K units, ready to be compared with rows.

    Attributes:
        codebook: as it is, float32, or of unit length (cosine), `[K, D]`.
        w: the codebook moved by `-shift`, `[K, D]`.
        half_norms: 1/2 ||w||^2, `[K]`; 1/2 for the cosine.
        shift: `[D]`; zero but for Euclidean distances.
    """

    codebook: jax.Array
    w: jax.Array
    half_norms: jax.Array
    shift: jax.Array


class Points(NamedTuple):
    """Rows, ready to be compared with units.

    Attributes:
        x: as they are, float32, or of unit length (cosine), `[B, D]`.
        moved: x moved by `-shift`, `[B, D]`.
        observed: the features that count, bool `[B, D]`, zero in x and `moved` where they do not; None: all.
    """

    x: jax.Array
    moved: jax.Array
    observed: jax.Array | None


def normalize(x: jax.Array) -> jax.Array:
    """Rows of unit length; zeros stay zeros."""
    size = jnp.max(jnp.abs(x), axis=-1, keepdims=True)  # squares would overflow, or vanish
    x = x / jnp.where(size > 0, size, 1)
    length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
    return x / jnp.where(length > 0, length, 1)


def prepare(units: jax.Array, metric: str) -> Units:
    """The `Units` of a codebook `[K, D]`."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; choose one of {METRICS}")
    codebook = jnp.asarray(units, jnp.float32)
    codebook = normalize(codebook) if metric == "cosine" else codebook
    shift = center(codebook) if metric == "euclidean" else jnp.zeros_like(codebook[0])
    w = codebook - shift[None]
    half_norms = jnp.full_like(w[:, 0], 0.5) if metric == "cosine" else 0.5 * jnp.sum(jnp.square(w), axis=1)
    return Units(codebook, w, half_norms, shift)


def center(units: jax.Array) -> jax.Array:
    """About the median of the units, `[D]`, rounded to a multiple of a power of two near their median spread.

    Integers thus stay integers, and rows that lie exactly between two units do so still. Up to a fifth of the units
    may lie anywhere.
    """
    middle = _remedian(units)
    spread = _remedian(jnp.abs(units - middle[None]))
    step = jnp.exp2(jnp.floor(jnp.log2(jnp.where(spread > 0, spread, 1))))
    return jnp.where(spread > 0, step * jnp.round(middle / step), middle)


def _remedian(x: jax.Array) -> jax.Array:
    """About the median of each column: of 81 rows, medians of three of medians of three, which need no sorting.

    Source: Rousseeuw and Bassett, "The remedian", JASA 1990.
    """

    def of_three(_, x):
        a, b, c = x.reshape(3, 27, -1)
        return jnp.repeat(jnp.maximum(jnp.minimum(a, b), jnp.minimum(jnp.maximum(a, b), c)), 3, axis=0)

    # A loop, whose body the compiler does not repeat in all that uses the result.
    return jax.lax.fori_loop(0, 4, of_three, x[np.arange(81) * len(x) // 81])[0]


def points(x: jax.Array, shift: jax.Array, metric: str, missing: bool) -> Points:
    """Rows `[B, D]` of any real dtype as `Points` moved by `-shift`; with `missing`, NaN was not observed."""
    x = jnp.asarray(x, jnp.float32)
    observed = ~jnp.isnan(x) if missing else None
    seen = lambda a: a if observed is None else jnp.where(observed, a, 0.0)
    if metric == "cosine":
        x = normalize(seen(x))
        return Points(x, x, observed)
    return Points(seen(x), seen(x - shift[None]), observed)


def scores(points: Points, units: Units, metric: str, precision: str) -> jax.Array:
    """What ranks the units for each point, `[K, B]`, lower nearer: half the squared distance but for `row_terms`.

    Units run along the rows, so that minima over them vectorise over points. Values are those of the expansion;
    `sure_scores` and `closest` look again where it does not rank well enough.

    Args:
        points, units: to be compared.
        metric: "manhattan" gives distances; "cosine" and "euclidean" as above.
        precision: of the matrix products.
    """
    product = lambda a, b: jnp.matmul(a, b.T, precision=precision)
    if metric == "manhattan":
        apart = jnp.abs(units.w[:, None] - points.moved[None])
        apart = apart if points.observed is None else jnp.where(points.observed[None], apart, 0.0)
        return jnp.sum(apart, axis=-1)
    if points.observed is None or metric == "cosine":
        return units.half_norms[:, None] - product(units.w, points.moved)
    half_norms = product(0.5 * jnp.square(units.w), points.observed.astype(jnp.float32))
    return half_norms - product(units.w, points.moved)


def row_terms(points: Points, metric: str) -> jax.Array:
    """What makes `scores` half squared distances: 1/2 ||x||^2, `[B]`."""
    if metric == "euclidean":
        return 0.5 * jnp.sum(jnp.square(points.moved), axis=-1)
    return jnp.full_like(points.moved[:, 0], 0.5 if metric == "cosine" else 0.0)


def closest(
    given: Callable[[], Points], units: Units, metric: str, precision: str
) -> tuple[jax.Array, jax.Array]:
    """The nearest unit of each point, int32 `[B]`, the lowest on a tie, and half its squared distance, `[B]`.

    "manhattan" gives the distance. What was observed is all that counts, and is not scaled up. The points are given
    by a function, so that the second look takes its own: what it needs is then not written where it is not taken.
    """
    points = given()
    values = scores(points, units, metric, precision)
    index, least = lowest(values)
    if metric == "manhattan":
        return index, least
    terms = row_terms(points, metric)
    half = jnp.maximum(least + terms, 0)
    far = terms > _FAR * half

    def again():
        points = given()
        limit = least + _roundoff(points.x.shape[1]) * (10 * terms + 6 * half)
        several = jnp.sum(values <= limit[None], axis=0) > 1
        settled = _settled(index, far & several, points, units, metric)
        return settled, 0.5 * _squares(points.x, units.codebook[settled], metric, points.observed)

    return _where_needed(jnp.any(far), again, (index, half))


def sure_scores(points: Points, units: Units, metric: str, far: float = _FAR) -> tuple[jax.Array, jax.Array]:
    """`scores` and `row_terms` whose sums are right for all units: from differences where a point is far.

    Far is a squared norm over the squared distance above `far`: a sum is right to about `far` roundings.
    """
    b = len(points.x)
    exact = lambda x, observed: _half_squares(x, observed, units, metric)
    values, terms = scores(points, units, metric, "highest"), row_terms(points, metric)
    if metric == "manhattan":
        return values, terms
    in_doubt = lambda: terms[None] > far * jnp.maximum(values + terms[None], 0)

    def again():
        half, doubt = jnp.maximum(values + terms[None], 0), in_doubt()
        few = jnp.sum(doubt, axis=0) <= _PAIRS

        def pairs(state):  # of each row the unit that is nearest of those in doubt
            half, doubt = state
            index, least = lowest(jnp.where(doubt, half, jnp.inf))
            found = 0.5 * _squares(points.x, units.codebook[index], metric, points.observed)
            row = jnp.where(least < jnp.inf, jnp.arange(b), b)
            half = half.at[index, row].set(found, mode="drop")
            return half, doubt.at[index, row].set(False, mode="drop")

        def rows(state):  # of some rows all units
            half, left = state
            at, x, observed = _some_rows(left, points)
            return half.at[:, at].set(exact(x, observed), mode="drop"), left.at[at].set(False, mode="drop")

        going = lambda state: jnp.any(state[1])
        half, _ = jax.lax.while_loop(going, pairs, (half, doubt & few[None]))
        half, _ = jax.lax.while_loop(going, rows, (half, ~few))
        return half, jnp.zeros_like(terms)

    return _where_needed(jnp.any(in_doubt()), again, (values, terms))


def _some_rows(chosen: jax.Array, points: Points) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Some of the rows that are chosen, bool `[B]`: where they are, B where they are fewer, and what they hold."""
    b = len(chosen)
    (rows,) = jnp.nonzero(chosen, size=min(_AGAIN, b), fill_value=b)
    take = lambda a: None if a is None else jnp.take(a, rows, axis=0, mode="clip")
    return rows, take(points.x), take(points.observed)


def _settled(index: jax.Array, doubt: jax.Array, points: Points, units: Units, metric: str) -> jax.Array:
    """The index of the nearest unit of each point, `[B]`, found anew for points in doubt, bool `[B]`."""

    def some(state):
        index, doubt = state
        rows, x, observed = _some_rows(doubt, points)
        found, _ = lowest(_half_squares(x, observed, units, metric))
        return index.at[rows].set(found, mode="drop"), doubt.at[rows].set(False, mode="drop")

    return jax.lax.while_loop(lambda state: jnp.any(state[1]), some, (index, doubt))[0]


def _half_squares(x: jax.Array, observed: jax.Array | None, units: Units, metric: str) -> jax.Array:
    """Half the squared distances of rows `[B, D]` to all units, from differences, `[K, B]`."""
    if metric == "cosine":
        apart = _without_direction(units.codebook)[:, None] + _without_direction(x)[None]
        return 0.5 * (squared_distances(units.codebook.T, x.T) + apart)
    x = x if observed is None else jnp.where(observed, x, jnp.nan)
    return 0.5 * squared_distances(units.codebook.T, x.T, missing=observed is not None)


def _where_needed(needed: jax.Array, f: Callable, otherwise: Any) -> Any:
    """`f()` if it is needed, else `otherwise`; a loop and not a `cond`, which under `vmap` always computes both."""
    once = lambda state: (jnp.zeros_like(state[0]), f())
    return jax.lax.while_loop(lambda state: state[0], once, (needed, otherwise))[1]


def _roundoff(d: int) -> float:
    """The bound on the relative rounding error of a sum of D products in float32.

    D u for few of them; for many 6 sqrt(D) u, which is exceeded once in 10^7 sums.

    Source: Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 2019.
    """
    return (min(d, 6 * math.sqrt(d)) + 4) * 2.0**-24


def lowest(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Index (int32, the lowest on a tie) and value of the minimum of each column of `[K, B]`."""
    k = values.shape[0]
    least = jnp.min(values, axis=0)
    # Not argmin: XLA's is several times slower on CPU than a minimum and a comparison. Short integers, where they reach
    # to K, take half the memory of what is compared.
    dtype = jnp.int16 if k < 2**15 else jnp.int32
    at = jnp.where(values == least[None], jnp.arange(k, dtype=dtype)[:, None], jnp.asarray(k, dtype))
    return jnp.min(at, axis=0).astype(jnp.int32), least


def pair_distances(points: Points, w: jax.Array, metric: str) -> jax.Array:
    """Distances `[B]` of points to units w of a codebook, one for each, `[B, D]`, from differences.

    Euclidean and Manhattan distances over part of the features are scaled up to all of them; the cosine distance
    is 1 - cosine similarity, and 1 where one of both is zero.
    """
    total = _squares(points.x, w, metric, points.observed) * _scale(metric, points.observed)
    return {"manhattan": total, "euclidean": jnp.sqrt(total), "cosine": 0.5 * total}[metric]


def _squares(x: jax.Array, w: jax.Array, metric: str, observed: jax.Array | None) -> jax.Array:
    """Squared distances (Manhattan: distances) of what was observed."""
    apart = x - w if observed is None or metric == "cosine" else jnp.where(observed, x - w, 0.0)
    total = jnp.sum(jnp.abs(apart) if metric == "manhattan" else jnp.square(apart), axis=-1)
    return total + _without_direction(x) + _without_direction(w) if metric == "cosine" else total


def _without_direction(x: jax.Array) -> jax.Array:
    """What two unit rows are apart, squared, if one has no direction: 1 for each zero row beside 1 of the other."""
    return jnp.all(x == 0, axis=-1).astype(jnp.float32)


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
            given = lambda: points(tile(x, start, rows), units.shift, metric, missing)
            index, _ = closest(given, units, metric, precision)
            p = given()
            distance = pair_distances(p, units.codebook[index], metric)
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
        squared: sum over rows of weight times squared distance; twice the cosine distance.
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
        given = lambda: points(tile(x, start, rows), units.shift, metric, missing)
        index, half = closest(given, units, metric, precision)
        p = given()
        weight = (
            fresh.astype(jnp.float32) if weights is None else jnp.where(fresh, tile(weights, start, rows), 0)
        )
        counted = weight if p.observed is None else weight[:, None] * p.observed
        weighted = p.moved if weights is None else weight[:, None] * p.moved
        to = jnp.where(fresh, index, k)
        squared, distance = both_distances(half, metric, p.observed)
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


def both_distances(half: jax.Array, metric: str, observed: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Squared distances and distances from half the squared ones (Manhattan: distances), `[B]` or `[K, B]`."""
    half = half * jnp.broadcast_to(_scale(metric, observed), half.shape)
    if metric == "manhattan":
        return jnp.square(half), half
    return 2 * half, half if metric == "cosine" else jnp.sqrt(2 * half)


def to_all(points: Points, units: Units, metric: str, far: float = _FAR) -> tuple[jax.Array, jax.Array]:
    """Squared distances and distances of points to all units, each `[K, B]`; `far` as `sure_scores` has it."""
    values, terms = sure_scores(points, units, metric, far)
    return both_distances(jnp.maximum(values + terms[None], 0), metric, points.observed)


def table(
    x: jax.Array, codebook: jax.Array, *, metric: str = "euclidean", missing: bool = False
) -> jax.Array:
    """The distance of every row to every unit, float32 `[N, K]`; arguments as `find` has them."""
    units = prepare(codebook, metric)
    few = metric != "manhattan" and x.shape[1] <= _DIRECT

    def all_of(rows, x):
        def body(carry, start, fresh):
            p = points(tile(x, start, rows), units.shift, metric, missing)
            if few:
                half = _half_squares(p.x, p.observed, units, metric)
                return put(carry, both_distances(half, metric, p.observed)[1].T, start)
            return put(carry, to_all(p, units, metric)[1].T, start)

        shape = x.shape[0], codebook.shape[0]
        return None, fold(body, jnp.zeros_like(x, jnp.float32, shape), x.shape[0], rows)

    return over_rows(all_of, codebook.shape[0], x)[1]
