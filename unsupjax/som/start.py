"""Where a map starts: on the principal plane, on random rows, or uniformly within the data."""

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.numerics.principal import mean_row, principal
from unsupjax.parallel.collectives import all_gather, example_keys
from unsupjax.som.grid import Grid, positions

_SUBSPACE = 8  # directions that are sought, of which the first two are used: they converge faster for it


def pca(key: jax.Array, x: jax.Array, grid: Grid, missing: bool, axis_name: str | None) -> jax.Array:
    """The grid laid on the plane of the two principal directions, `[K, D]`.

    It reaches one standard deviation to either side of the mean, the longer side of the grid along the first.
    Missing entries count as the mean of their feature.
    """
    mean, directions, variances = principal(key, x, _SUBSPACE, missing=missing, axis_name=axis_name)
    along = positions(grid)
    low, high = along.min(axis=0), along.max(axis=0)
    along = 2 * (along - low) / np.where(high > low, high - low, 1) - np.where(high > low, 1.0, 0.0)
    along = (along if grid.height > grid.width else along[:, ::-1])[:, : directions.shape[1]]
    spread = jnp.asarray(along, jnp.float32) * jnp.sqrt(variances[:2])[None]
    return mean[None] + jnp.matmul(spread, directions[:, :2].T, precision="highest")


def samples(key: jax.Array, x: jax.Array, grid: Grid, missing: bool, axis_name: str | None) -> jax.Array:
    """Random rows of x, `[K, D]`, none twice while there are enough; missing entries are those of the mean."""
    k, n = grid.units, x.shape[0]
    mean = mean_row(x, jnp.ones_like(x, jnp.float32, (n,)), missing, axis_name)
    filled = jnp.where(jnp.isnan(x), mean[None], x) if missing else x
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
