"""Where k-means starts: k-means++, k-means||, random rows."""

import math

import jax
import jax.numpy as jnp

from unsupjax.numerics import nearest
from unsupjax.parallel.collectives import all_gather, example_keys, psum

_TILE = 1024
ROUNDS = 5  # of k-means||; Bahmani et al. find no gain beyond

_FAR = 2.0**12  # of `nearest.to_all`: weights of a draw need three digits


def draw(key: jax.Array, x: jax.Array, mass: jax.Array, n: int, axis_name: str | None) -> jax.Array:
    """n rows of x drawn with replacement in proportion to `mass` `[N]`, over all devices: float32 `[n, D]`.

    The inverse of the cumulative mass, first over tiles of rows and then within one.
    """
    tiles = -(-len(mass) // _TILE)
    by_tile = jnp.pad(mass, (0, tiles * _TILE - len(mass))).reshape(tiles, _TILE)
    upto = jnp.cumsum(by_tile.sum(axis=1))
    of_device = all_gather(upto[-1:], axis_name)
    total = of_device.sum()
    u = jnp.minimum(jax.random.uniform(key, (n,)), 1 - 1e-6) * total
    device = 0 if axis_name is None else jax.lax.axis_index(axis_name)
    before = jnp.cumsum(of_device) - of_device
    owner = jnp.searchsorted(before, u, side="right") - 1
    u = u - before[device]
    t = jnp.clip(jnp.searchsorted(upto, u, side="right"), 0, tiles - 1)
    rest = u - (upto[t] - by_tile[t].sum(axis=1))
    within = jax.vmap(lambda m, r: jnp.searchsorted(jnp.cumsum(m), r, side="right"))(by_tile[t], rest)
    index = jnp.clip(t * _TILE + jnp.minimum(within, _TILE - 1), 0, len(mass) - 1)
    mine = owner == device
    return psum(jnp.where(mine[:, None], x[index].astype(jnp.float32), 0.0), axis_name)


def squared_to(x: jax.Array, candidates: jax.Array, metric: str) -> jax.Array:
    """Squared distances of all rows to a few candidates, `[L, N]`; of unit rows where the metric is cosine."""
    units = nearest.prepare(candidates, metric)

    def of_rows(rows, x):
        def body(out, start, fresh):
            p = nearest.points(nearest.tile(x, start, rows), units.shift, metric, False)
            squared, _ = nearest.to_all(p, units, metric, _FAR)
            return jax.lax.dynamic_update_slice_in_dim(out, squared, start, 1)

        n = x.shape[0]
        return None, nearest.fold(body, jnp.zeros_like(x, jnp.float32, (len(candidates), n)), n, rows)

    return nearest.over_rows(of_rows, len(candidates), x, axis=1)[1]


def plus_plus(
    key: jax.Array, x: jax.Array, k: int, weights: jax.Array, metric: str, axis_name: str | None
) -> jax.Array:
    """Greedy k-means++: `[K, D]`.

    Each next centre is, of 2 + log K rows drawn in proportion to weight times squared distance from the centres so
    far, the one that leaves the least potential (Arthur and Vassilvitskii, SODA 2007, with the trials of their
    conclusion, as scikit-learn has them).
    """
    trials = 2 + int(math.log(k))
    first = draw(jax.random.fold_in(key, 0), x, weights, 1, axis_name)
    centers = jnp.zeros((k, x.shape[1]), jnp.float32).at[0].set(first[0])

    def add(i, carry):
        centers, closest = carry
        candidates = draw(jax.random.fold_in(key, i), x, weights * closest, trials, axis_name)
        left = jnp.minimum(closest[None], squared_to(x, candidates, metric))
        potentials = psum(jnp.sum(weights[None] * left, axis=1), axis_name)
        best = jnp.argmin(potentials)
        return centers.at[i].set(candidates[best]), left[best]

    return jax.lax.fori_loop(1, k, add, (centers, squared_to(x, first, metric)[0]))[0]


def parallel(
    key: jax.Array, x: jax.Array, k: int, weights: jax.Array, metric: str, axis_name: str | None
) -> jax.Array:
    """k-means||: `[K, D]`, in few passes over the data where k-means++ takes K.

    Five rounds draw 2 K rows each, in proportion to weight times squared distance from all drawn before;
    k-means++ on these rows, weighted by how many rows of the data each is nearest to, gives the centres
    (Bahmani et al., VLDB 2012; each round draws exactly 2 K rows instead of 2 K on average).
    """
    first = draw(jax.random.fold_in(key, 0), x, weights, 1, axis_name)

    def add(closest, i):
        drawn = draw(jax.random.fold_in(key, i), x, weights * closest, 2 * k, axis_name)
        _, distance = nearest.find(x, drawn, metric=metric)
        return jnp.minimum(closest, 2 * distance if metric == "cosine" else jnp.square(distance)), drawn

    _, drawn = jax.lax.scan(add, squared_to(x, first, metric)[0], jnp.arange(1, ROUNDS + 1))
    candidates = jnp.concatenate([first, drawn.reshape(-1, x.shape[1])])
    totals, _ = nearest.accumulate(x, candidates, weights=weights, metric=metric)
    last = jax.random.fold_in(key, ROUNDS + 1)
    return plus_plus(last, candidates, k, psum(totals.counts, axis_name), metric, None)


def random_rows(
    key: jax.Array, x: jax.Array, k: int, weights: jax.Array, metric: str, axis_name: str | None
) -> jax.Array:
    """K rows of x drawn without replacement, in proportion to weight: `[K, D]` (Gumbel's top-k)."""
    noise = jax.vmap(jax.random.gumbel)(example_keys(key, len(x), axis_name))
    mine, index = jax.lax.top_k(jnp.log(weights) + noise, min(k, len(x)))
    rows, values = all_gather(x[index].astype(jnp.float32), axis_name), all_gather(mine, axis_name)
    return rows[jax.lax.top_k(values, k)[1]]


SEEDINGS = {"k-means++": plus_plus, "k-means||": parallel, "random": random_rows}
