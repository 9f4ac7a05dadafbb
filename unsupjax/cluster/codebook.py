"""One codebook for quantisation: k-means that starts well in many dimensions and leaves no code without rows."""

import jax
import jax.numpy as jnp

from unsupjax.cluster import kmeans
from unsupjax.numerics import nearest
from unsupjax.numerics.principal import principal
from unsupjax.parallel.collectives import psum

_DIRECTIONS = 32  # of the start
_PASSES = 4  # of the search for them
_ROUNDS = 32  # of reviving codes; one or two do unless many rows coincide


def learn(
    key: jax.Array,
    x: jax.Array,
    k: int,
    *,
    init: str,
    restarts: int,
    iterations: int,
    tolerance: float,
    weights: jax.Array | None,
    axis_name: str | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Centres `[K, D]` of rows, labels under them `[N]`, and the mean squared distance.

    With more than 32 features k-means runs twice: along the 32 principal directions, and from the centres found
    there along all. In many dimensions the nearest of K random rows is, for most rows, one of the few that lie near
    the mean; Lloyd's iterations from there keep a huge cluster and many of a single row, as they do with
    what is left over after some levels of residual quantisation.

    Args:
        key: typed PRNG key.
        x: float32 `[N, D]`.
        k: number of centres.
        init, restarts, iterations, tolerance, weights, axis_name: as in `kmeans.fit`; restarts are those of the
            first run.
    """
    options = dict(iterations=iterations, tolerance=tolerance, weights=weights, axis_name=axis_name)
    if x.shape[1] > _DIRECTIONS:
        mean, directions, _ = principal(
            jax.random.fold_in(key, 1), x, _DIRECTIONS, passes=_PASSES, weights=weights, axis_name=axis_name
        )
        along = jnp.matmul(x - mean[None], directions, precision="highest")
        first = kmeans.fit(key, along, k, init=init, restarts=restarts, **options)
        start = mean[None] + jnp.matmul(first.centers, directions.T, precision="highest")
        fitted = kmeans.fit(key, x, k, init=start, **options)
    else:
        fitted = kmeans.fit(key, x, k, init=init, restarts=restarts, **options)
    return revived(x, fitted.centers, weights, axis_name)


def revived(
    x: jax.Array, centers: jax.Array, weights: jax.Array | None, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Centres of which those without rows have been put on rows, the labels under them, and the mean error.

    Each round puts the codes without rows on the rows farthest from their own centres, so that no row's distance
    grows. It can leave codes without rows, where such rows coincide or were another code's last; so rounds follow
    until none is left or the error no longer falls, as where there are fewer distinct rows than codes.

    Args:
        x: float32 `[N, D]`.
        centers: `[K, D]`.
        weights, axis_name: as in `kmeans.fit`.
    """

    def assign(centers):
        totals, labels = nearest.accumulate(x, centers, weights=weights)
        return psum(totals, axis_name), labels

    def unfinished(state):
        _, totals, _, previous, i = state
        return jnp.any(totals.counts <= 0) & (totals.squared < previous) & (i < _ROUNDS)

    def revive(state):
        centers, totals, labels, _, i = state
        sums, counts = kmeans.reseeded(x, centers, weights, labels, totals, "euclidean", axis_name)
        rows = kmeans.means(centers, sums, counts)
        centers = jnp.where(totals.counts[:, None] > 0, centers, rows)
        return centers, *assign(centers), totals.squared, i + 1

    start = (centers, *assign(centers), jnp.full_like(centers, jnp.inf, shape=()), 0)
    centers, totals, labels, _, _ = jax.lax.while_loop(unfinished, revive, start)
    squared = jnp.sum(jnp.square(x - centers[labels]), axis=1)  # the expansion's would cancel far from zero
    total = psum(jnp.sum(squared if weights is None else weights * squared), axis_name)
    return centers, labels, total / totals.weight
