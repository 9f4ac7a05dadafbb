"""Where a map starts: on the principal plane, on random rows, or uniformly within the data."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import nearest
from unsupjax.collectives import all_gather, example_keys, psum
from unsupjax.som.grid import Grid, positions

_DIRECTIONS, _PASSES = 8, 8  # of the subspace iteration, whose first two directions are kept


def pca(key: jax.Array, x: jax.Array, grid: Grid, missing: bool, axis_name: str | None) -> jax.Array:
    """The grid laid on the plane of the two principal directions, `[K, D]`.

    It reaches one standard deviation to either side of the mean, the longer side of the grid along the first.
    Directions come from a subspace iteration over tiles of rows; missing entries count as the mean.
    """
    rows = jnp.where(jnp.isnan(x), 0, x) if missing else x
    seen = psum(jnp.sum(~jnp.isnan(x), axis=0), axis_name)
    mean = psum(jnp.sum(rows.astype(jnp.float32), axis=0), axis_name) / jnp.maximum(seen, 1)
    directions, variances = _principal(key, x, mean, missing, axis_name)
    along = positions(grid)
    low, high = along.min(axis=0), along.max(axis=0)
    along = 2 * (along - low) / np.where(high > low, high - low, 1) - np.where(high > low, 1.0, 0.0)
    along = along if grid.height > grid.width else along[:, ::-1]
    spread = jnp.asarray(along, jnp.float32) * jnp.sqrt(variances)[None]
    return mean[None] + jnp.matmul(spread, directions.T, precision="highest")


def _principal(key, x, mean, missing, axis_name) -> tuple[jax.Array, jax.Array]:
    """The first two principal directions `[D, 2]`, of fixed sign, and the variances along them `[2]`."""
    (n, d), q = x.shape, min(x.shape[1], _DIRECTIONS)
    rows = nearest.tile_rows(n, 128)
    units = nearest.Units(mean[None], jnp.zeros(1), mean)
    product = lambda a, b: jnp.matmul(a, b, precision="highest")

    def covariance(basis):
        def body(total, start, fresh):
            p, _ = nearest.points(nearest.tile(x, start, rows), units, "euclidean", missing)
            p = jnp.where(fresh[:, None], p, 0.0)
            return total + product(p.T, product(p, basis))

        total = nearest.fold(body, jnp.zeros_like(x, jnp.float32, (d, q)), n, rows)
        return psum(total, axis_name) / psum(jnp.asarray(n, jnp.float32), axis_name)

    def improve(_, basis):
        return jnp.linalg.qr(covariance(basis))[0]

    basis = jnp.linalg.qr(jax.random.normal(key, (d, q)))[0]
    basis = jax.lax.fori_loop(0, _PASSES, improve, basis)
    small = product(basis.T, covariance(basis))
    values, vectors = jnp.linalg.eigh((small + small.T) / 2)
    # eigh ascends; a second direction of no variance stands in where there is one feature.
    values = jnp.maximum(jnp.pad(values[::-1][:2], (0, 2 - min(q, 2))), 0)
    directions = jnp.pad(product(basis, vectors)[:, ::-1][:, :2], ((0, 0), (0, 2 - min(q, 2))))
    largest = jnp.take_along_axis(directions, jnp.argmax(jnp.abs(directions), axis=0)[None], axis=0)
    return directions * jnp.where(largest < 0, -1.0, 1.0), values


def samples(key: jax.Array, x: jax.Array, grid: Grid, missing: bool, axis_name: str | None) -> jax.Array:
    """Random rows of x, `[K, D]`, none twice while there are enough; missing entries are those of the mean."""
    k, n = grid.units, x.shape[0]
    filled = jnp.where(jnp.isnan(x), jnp.nanmean(x, axis=0, keepdims=True), x) if missing else x
    noise = jax.vmap(jax.random.uniform)(example_keys(key, n, axis_name))
    values, index = jax.lax.top_k(noise, min(k, n))
    rows = all_gather(filled[index].astype(jnp.float32), axis_name)
    order = jax.lax.top_k(all_gather(values, axis_name), min(k, len(rows)))[1]
    return rows[order[jnp.arange(k) % len(order)]]


def uniform(key: jax.Array, x: jax.Array, grid: Grid, missing: bool, axis_name: str | None) -> jax.Array:
    """Uniform draws between the least and the greatest value of each feature, `[K, D]`."""
    seen = ~jnp.isnan(x)
    low = jnp.min(x, axis=0, where=seen, initial=jnp.inf)
    high = jnp.max(x, axis=0, where=seen, initial=-jnp.inf)
    low = all_gather(low[None], axis_name).min(axis=0).astype(jnp.float32)
    high = all_gather(high[None], axis_name).max(axis=0).astype(jnp.float32)
    return low[None] + (high - low)[None] * jax.random.uniform(key, (grid.units, x.shape[1]))


STARTS = {"pca": pca, "samples": samples, "uniform": uniform}
