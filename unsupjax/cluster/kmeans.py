"""k-means: Lloyd's algorithm, exact, over tiles of rows and over devices; mini-batches; prediction."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from unsupjax.cluster.seeding import SEEDINGS
from unsupjax.errors import UserError
from unsupjax.numerics import checks, nearest
from unsupjax.parallel.collectives import all_gather, pmean, psum


class Fit(NamedTuple):
    """A clustering.

    Attributes:
        centers: float32 `[K, D]`; of unit length for spherical k-means.
        labels: int32 `[N]`, the nearest centre of each row, the lowest on a tie.
        inertia: sum over rows of weight times squared distance to the nearest centre, float32; spherical: of unit
            rows, which is twice the sum of 1 - cosine similarity.
        iterations: how many were run, int32.
    """

    centers: jax.Array
    labels: jax.Array
    inertia: jax.Array
    iterations: jax.Array


def fit(
    key: jax.Array,
    x: ArrayLike,
    k: int,
    *,
    init: str | ArrayLike = "k-means++",
    restarts: int = 10,
    iterations: int = 300,
    tolerance: float = 1e-4,
    weights: jax.Array | None = None,
    spherical: bool = False,
    precision: str = "highest",
    axis_name: str | None = None,
) -> Fit:
    r"""Minimises :math:`\sum_n w_n \min_k \|x_n - c_k\|^2` by Lloyd's algorithm; the best of several starts.

    Each iteration assigns every row to its nearest centre and moves each centre to the mean of its rows. A centre
    without rows is put on the row farthest from its own centre. It ends when no label changes, or when the
    squared movement of all centres is at most `tolerance` times the mean variance of the features. From the same
    start all this is what scikit-learn does, and gives its labels.

    Jitted; under `jit`, `vmap` and `shard_map` too. No `[N, K]` array is made: memory beyond x is O(N + K D).

    Args:
        key: typed PRNG key of the starts.
        x: rows, `[N, D]`, of any real dtype. Under `axis_name` this device's share of them.
        k: number of clusters, at most N.
        init: "k-means++" (greedy), "k-means||" (fewer passes; for large K or many devices), "random", or centres
            `[K, D]`, from which there is one start.
        restarts: number of starts.
        iterations: at most, of each.
        tolerance: see above; 0: until no label changes.
        weights: of the rows, `[N]`, not negative; None: 1 each.
        spherical: cluster the directions of rows; centres are means of unit rows, scaled to unit length.
        precision: of the distances, as `jax.lax.Precision` names it; "highest" is float32 everywhere.
        axis_name: the mapped device axis under `shard_map` or `pmap`; one sum of K D + K numbers crosses the
            devices in each iteration.

    Raises:
        UserError: x or init is no table of finite numbers that float32 holds, naming the first bad row (whose values
            are not seen under `jit`), or weights are none.
        ValueError: sizes that do not fit.

    Source: Lloyd, IEEE Trans. Information Theory 1982; spherical: Dhillon and Modha, Machine Learning 2001.
    """
    x = checks.device_rows(x, "kmeans")
    if k < 1 or (axis_name is None and k > len(x)):
        raise ValueError(f"k={k} clusters of {len(x)} rows: it must be between 1 and the number of rows")
    if restarts < 1 or iterations < 1:
        raise ValueError(f"{restarts=} and {iterations=} must be at least 1")
    given = not isinstance(init, str)
    if given and np.shape(init) != (k, x.shape[1]):
        raise UserError(f"init has the shape {np.shape(init)} and not {(k, x.shape[1])}")
    if not given and init not in SEEDINGS:
        raise ValueError(f"init={init!r} is unknown; choose one of {sorted(SEEDINGS)} or give centres [K, D]")
    starts = jnp.asarray(checks.device_rows(init, "kmeans: init"), jnp.float32) if given else None
    return _fit(
        key, x, starts, checks.weights(weights, len(x), "kmeans"), _threshold(tolerance), k=k,
        init="given" if given else init, restarts=1 if given else restarts, iterations=iterations,
        metric="cosine" if spherical else "euclidean", precision=precision, axis_name=axis_name,
    )  # fmt: skip


def _threshold(tolerance: float | jax.Array) -> jax.Array | None:
    """None for a tolerance that is known to be 0: then no variance needs to be computed."""
    known = isinstance(tolerance, int | float)
    return None if known and tolerance == 0 else jnp.asarray(tolerance, jnp.float32)


_STATIC = ("k", "init", "restarts", "iterations", "metric", "precision", "axis_name")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _fit(
    key, x, given, weights, tolerance, *, k, init, restarts, iterations, metric, precision, axis_name
) -> Fit:
    tolerance = 0.0 if tolerance is None else tolerance * _mean_variance(x, metric, axis_name)
    mass = jnp.ones_like(x, jnp.float32, (len(x),)) if weights is None else weights

    def start(i):
        if init == "given":
            return nearest.normalize(given) if metric == "cosine" else given
        centers = SEEDINGS[init](jax.random.fold_in(key, i), x, k, mass, metric, axis_name)
        return nearest.normalize(centers) if metric == "cosine" else centers

    def better(i, best):
        other = lloyd(x, start(i), weights, tolerance, iterations, metric, precision, axis_name)
        return jax.tree.map(lambda a, b: jnp.where(other.inertia < best.inertia, a, b), other, best)

    none = Fit(
        jnp.zeros((k, x.shape[1])),
        jnp.zeros_like(x, jnp.int32, (len(x),)),
        jnp.asarray(jnp.inf),
        jnp.asarray(0),
    )
    return jax.lax.fori_loop(0, restarts, better, none)


def lloyd(
    x: jax.Array,
    centers: jax.Array,
    weights: jax.Array | None,
    tolerance: jax.Array,
    iterations: int,
    metric: str,
    precision: str,
    axis_name: str | None,
) -> Fit:
    """Lloyd's iterations from `centers`; `tolerance` is of the squared movement of all centres."""

    def unfinished(carry):
        _, _, i, settled, moved = carry
        return (i < iterations) & ~settled & (moved > tolerance)

    def iterate(carry):
        centers, labels, i, _, _ = carry
        totals, found = nearest.accumulate(x, centers, weights=weights, metric=metric, precision=precision)
        totals = psum(totals, axis_name)
        sums, counts = reseeded(x, centers, weights, found, totals, metric, axis_name)
        moved_centers = means(centers, sums, counts, metric)
        changed = psum(jnp.sum(found != labels), axis_name)
        moved = jnp.sum(jnp.square(moved_centers - centers))
        return moved_centers, found, i + 1, changed == 0, moved

    nothing = jnp.full_like(x, -1, jnp.int32, (len(x),))
    begin = (centers, nothing, 0, jnp.asarray(False), jnp.asarray(jnp.inf, jnp.float32))
    centers, _, count, _, _ = jax.lax.while_loop(unfinished, iterate, begin)
    labels, distance = nearest.find(x, centers, metric=metric, precision=precision)
    squared = 2 * distance if metric == "cosine" else jnp.square(distance)
    inertia = psum(jnp.sum(squared if weights is None else weights * squared), axis_name)
    return Fit(centers, labels, inertia, jnp.asarray(count, jnp.int32))


def means(centers: jax.Array, sums: jax.Array, counts: jax.Array, metric: str = "euclidean") -> jax.Array:
    """New centres from the totals (`nearest.accumulate`) of the old; one without rows stays where it is."""
    shift = nearest.prepare(centers, metric).shift
    mean = sums / jnp.where(counts > 0, counts, 1)[:, None] + shift[None]
    kept = jnp.where(counts[:, None] > 0, mean, centers)
    return nearest.normalize(kept) if metric == "cosine" else kept


def _mean_variance(x, metric, axis_name):
    """The mean over features of the variance over rows."""
    rows = x.astype(jnp.float32)
    rows = nearest.normalize(rows) if metric == "cosine" else rows
    mean = pmean(rows.mean(axis=0), axis_name)
    return jnp.mean(pmean(jnp.square(rows - mean[None]).mean(axis=0), axis_name))


def reseeded(
    x: jax.Array,
    centers: jax.Array,
    weights: jax.Array | None,
    labels: jax.Array,
    totals: nearest.Totals,
    metric: str,
    axis_name: str | None,
) -> tuple[jax.Array, jax.Array]:
    """The sums and counts of `totals`, each empty cluster having been given one of the rows of x; see `_reseed`."""
    return jax.lax.cond(
        jnp.any(totals.counts <= 0),
        lambda: _reseed(x, centers, weights, labels, totals, metric, axis_name),
        lambda: (totals.sums, totals.counts),
    )


def _reseed(x, centers, weights, labels, totals, metric, axis_name) -> tuple[jax.Array, jax.Array]:
    """Sums and counts with each empty cluster given one of the rows farthest from their centres, as scikit-learn.

    Where all rows lie on their centres there are fewer distinct rows than clusters, and nothing is moved.
    """
    units, k = nearest.prepare(centers, metric), len(centers)
    distance, rows, owners, mass = _farthest(x, units, weights, labels, k, metric, axis_name)
    empty = totals.counts <= 0
    wanted = (jnp.arange(k) < jnp.sum(empty)) & (distance > 0)
    taken = jnp.where(wanted, mass, 0.0)
    sums = totals.sums.at[owners].add(-taken[:, None] * rows)
    counts = totals.counts.at[owners].add(-taken)
    give = jnp.cumsum(empty) - 1
    filled = empty & wanted[give]
    sums = jnp.where(filled[:, None], taken[give][:, None] * rows[give], sums)
    return sums, jnp.where(filled, taken[give], counts)


def _farthest(x, units, weights, labels, k, metric, axis_name):
    """The k rows farthest from their own centres: distances, prepared rows, labels and weights."""

    def to_own(rows, x, labels):
        def body(out, start, fresh):
            p = nearest.points(nearest.tile(x, start, rows), units.shift, metric, False)
            own = units.codebook[nearest.tile(labels, start, rows)]
            return nearest.put(out, nearest.pair_distances(p, own, metric), start)

        return None, nearest.fold(body, jnp.zeros_like(x, jnp.float32, (len(x),)), len(x), rows)

    _, distance = nearest.over_rows(to_own, k, x, labels)
    mass = jnp.ones_like(distance) if weights is None else weights
    values, index = jax.lax.top_k(jnp.where(mass > 0, distance, -1.0), min(k, len(x)))
    gather = lambda a: all_gather(a, axis_name)
    values = gather(values)
    p = nearest.points(x[index], units.shift, metric, False).moved
    p, own, mass = gather(p), gather(labels[index]), gather(mass[index])
    if len(values) < k:
        raise ValueError(f"k={k} clusters of {len(values)} rows")
    values, first = jax.lax.top_k(values, k)
    return values, p[first], own[first], mass[first]


def predict(centers: ArrayLike, x: ArrayLike, *, spherical: bool = False) -> jax.Array:
    """The nearest centre of each row: int32 `[N]`, the lowest on a tie. Jitted.

    Args:
        centers: `[K, D]`.
        x: rows, `[N, D]`.
        spherical: by angle.

    Raises:
        UserError: x or centers are no finite table, or differ in features.
    """
    x, centers = checks.comparable(x, centers, "predict")
    return _find(x, centers, "cosine" if spherical else "euclidean")[0]


def score(centers: ArrayLike, x: ArrayLike, *, spherical: bool = False) -> jax.Array:
    """The inertia of rows `[N, D]` under centres `[K, D]`, float32 scalar, as in `Fit`. Jitted; raises as `predict`."""
    x, centers = checks.comparable(x, centers, "score")
    distance = _find(x, centers, "cosine" if spherical else "euclidean")[1]
    return jnp.sum(2 * distance if spherical else jnp.square(distance))


_find = jax.jit(lambda x, centers, metric: nearest.find(x, centers, metric=metric), static_argnums=2)


def transform(centers: ArrayLike, x: ArrayLike) -> jax.Array:
    """Euclidean distances of rows `[N, D]` to all centres: float32 `[N, K]`. Jitted; raises as `predict`."""
    return _table(*checks.comparable(x, centers, "transform"))


_table = jax.jit(nearest.table)
