"""Principal directions, over tiles of rows and over devices."""

import jax
import jax.numpy as jnp

from unsupjax.numerics import nearest
from unsupjax.parallel.collectives import psum


def principal(
    key: jax.Array,
    x: jax.Array,
    q: int,
    *,
    passes: int = 8,
    weights: jax.Array | None = None,
    missing: bool = False,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean of rows, about the first q principal directions, and the variances along them.

    Subspace iteration on the covariance, which is never formed: each pass costs 4 N D q operations. The entry of
    largest magnitude of each direction is positive.

    Args:
        key: typed PRNG key of the first subspace.
        x: rows, `[N, D]`. Under `axis_name` this device's share of them.
        q: number of directions; D where that is less.
        passes: the error shrinks in each by the ratio of the variances on both sides of the q-th.
        weights: of the rows, `[N]`; None: 1 each.
        missing: NaN entries count as the mean of their feature.
        axis_name: the mapped device axis.

    Returns:
        `[D]`, `[D, q]` and `[q]`, descending.

    Source: Halko, Martinsson and Tropp, SIAM Review 2011.
    """
    (n, d), q = x.shape, min(q, x.shape[1])
    mass = jnp.ones_like(x, jnp.float32, (n,)) if weights is None else weights.astype(jnp.float32)
    product = lambda a, b: jnp.matmul(a, b, precision="highest")
    mean = mean_row(x, mass, missing, axis_name)

    def covariance(basis):
        def of_rows(rows, x, mass):
            def body(total, start, fresh):
                p = nearest.points(nearest.tile(x, start, rows), mean, "euclidean", missing).moved
                weighted = jnp.where(fresh, nearest.tile(mass, start, rows), 0.0)[:, None] * p
                return total + product(weighted.T, product(p, basis))

            return nearest.fold(body, jnp.zeros_like(x, jnp.float32, (d, q)), x.shape[0], rows), None

        total, _ = nearest.over_rows(of_rows, 128, x, mass)  # as many rows in a tile as for 128 units
        return psum(total, axis_name) / psum(mass.sum(), axis_name)

    basis = jnp.linalg.qr(jax.random.normal(key, (d, q)))[0]
    basis = jax.lax.fori_loop(0, passes, lambda _, b: jnp.linalg.qr(covariance(b))[0], basis)
    small = product(basis.T, covariance(basis))
    values, vectors = jnp.linalg.eigh((small + small.T) / 2)
    directions = product(basis, vectors)[:, ::-1]
    largest = jnp.take_along_axis(directions, jnp.argmax(jnp.abs(directions), axis=0)[None], axis=0)
    return mean, directions * jnp.where(largest < 0, -1.0, 1.0), jnp.maximum(values[::-1], 0)


def mean_row(x: jax.Array, mass: jax.Array, missing: bool, axis_name: str | None) -> jax.Array:
    """The mean `[D]` of rows `[N, D]` weighted by `mass` `[N]`, over all devices; `missing`: of what is not NaN."""
    seen = ~jnp.isnan(x) if missing else jnp.ones_like(x, bool)
    rows = jnp.where(seen, x, 0).astype(jnp.float32)
    total = jnp.sum(mass[:, None] * rows, axis=0)
    return psum(total, axis_name) / jnp.maximum(psum(jnp.sum(mass[:, None] * seen, axis=0), axis_name), 1e-30)
