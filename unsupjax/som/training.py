"""Training a self-organizing map: the batch map, and Kohonen's rule on examples or mini-batches."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from unsupjax.numerics import checks, nearest
from unsupjax.parallel.collectives import psum
from unsupjax.som.grid import Grid
from unsupjax.som.map import METRICS, Map
from unsupjax.som.neighbourhood import DECAYS, NEIGHBOURHOODS, is_separable, smooth, squared_distances
from unsupjax.som.start import STARTS


class Fit(NamedTuple):
    """A trained map.

    Attributes:
        map: the `Map`.
        errors: quantization error (mean distance of rows to their best unit) during each epoch, `[epochs]`; for the
            batch map that of the codebook at the epoch's start.
    """

    map: Map
    errors: jax.Array


class Rule(NamedTuple):
    """How a codebook learns; see `fit`."""

    grid: Grid
    neighbourhood: str
    metric: str
    missing: bool
    precision: str
    axis_name: str | None


def fit(
    key: jax.Array,
    x: ArrayLike,
    grid: Grid,
    *,
    epochs: int = 10,
    batch_size: int = 0,
    init: str | ArrayLike = "pca",
    neighbourhood: str = "gaussian",
    start_radius: float = 0.0,
    end_radius: float = 1.0,
    decay: str = "linear",
    start_rate: float = 0.5,
    end_rate: float = 0.01,
    metric: str = "euclidean",
    missing: bool = False,
    weights: jax.Array | None = None,
    precision: str = "highest",
    axis_name: str | None = None,
) -> Fit:
    r"""Trains a self-organizing map on rows.

    The batch map (`batch_size=0`) takes all rows at once: with b(n) the best unit of row n, and h the neighbourhood,

    .. math:: w_i = \sum_n h_{i, b(n)} x_n \Big/ \sum_n h_{i, b(n)}

    It has no learning rate, no order of rows, and gives the same map on any number of devices. With a `batch_size`
    rows come in shuffled mini-batches and :math:`w_i \mathrel{+}= \eta \sum_n h_{i, b(n)} (x_n - w_i) / \max(1,
    \sum_n |h_{i, b(n)}|)`: for one row Kohonen's rule, for many a step of size eta towards the batch map. The
    Mexican hat, whose weights are negative outside its radius, is normalised by their magnitudes in the same way.
    Units out of reach of all rows stay where they are.

    Jitted; under `jit` and `shard_map` too.

    Args:
        key: typed PRNG key of the start and the order of rows.
        x: rows, `[N, D]`, of any real dtype. Under `axis_name` this device's share of them.
        grid: the units.
        epochs: passes over x.
        batch_size: 0, or rows in a mini-batch; under `axis_name` on each device.
        init: "pca" (a plane through the mean along the two principal directions, one standard deviation either
            way), "samples" (random rows), "uniform" (within the range of each feature), or a codebook `[K, D]`.
        neighbourhood: "gaussian" exp(-d^2 / 2 r^2), "bubble" d <= r, "mexican_hat" (1 - d^2 / 2 r^2) exp(-d^2 / 2
            r^2), "triangle" max(0, 1 - d / r), d being the distance on the grid and r the radius.
        start_radius: radius in the first epoch, in steps of the grid; 0: half its longer side.
        end_radius: radius in the last epoch; above 0.
        decay: of radius and rate from start to end, which both are reached: "linear", "exponential",
            "inverse_time" or "asymptotic".
        start_rate, end_rate: the learning rate eta of mini-batches; the batch map has none.
        metric: "euclidean", "cosine" or "manhattan"; updates are means under all of them.
        missing: NaN entries of x were not observed; distances and updates leave them out.
        weights: of the rows in updates, `[N]`; None: 1 each.
        precision: of distances; "highest" is float32 everywhere.
        axis_name: the mapped device axis; K D + K numbers cross the devices in each update.

    Raises:
        UserError: x or init is no table of finite numbers that float32 holds, naming the first bad row (whose values
            are not seen under `jit`), or weights are none.
        ValueError: an argument that is none of the choices, or does not fit.

    Source: Kohonen, "Self-Organizing Maps", Springer 2001.
    """
    x = checks.device_rows(x, "som", missing)
    start_radius = start_radius or max(grid.height, grid.width) / 2
    check(grid, neighbourhood, start_radius, end_radius, decay, metric)
    if epochs < 1 or batch_size < 0:
        raise ValueError(f"{epochs=} must be at least 1 and {batch_size=} at least 0")
    given = not isinstance(init, str)
    if given and np.shape(init) != (grid.units, x.shape[1]):
        raise ValueError(f"init has the shape {np.shape(init)} and not {(grid.units, x.shape[1])}")
    if not given and init not in STARTS:
        raise ValueError(
            f"init={init!r} is unknown; choose one of {sorted(STARTS)} or give a codebook [K, D]"
        )
    rule = Rule(grid, neighbourhood, metric, missing, precision, axis_name)
    apart = None if is_separable(grid, neighbourhood) else squared_distances(grid)
    scales = tuple(jnp.asarray(v, jnp.float32) for v in (start_radius, end_radius, start_rate, end_rate))
    weights = checks.weights(weights, len(x), "som")
    given_start = lambda: jnp.asarray(checks.device_rows(init, "som: init"), jnp.float32)
    start = given_start() if given else _start(key, x, init, grid, missing, axis_name)
    train = functools.partial(_online, batch_size=min(batch_size, len(x))) if batch_size else _batch
    codebook, errors = train(key, x, start, weights, apart, scales, rule=rule, epochs=epochs, decay=decay)
    return Fit(Map(codebook, grid, metric), errors)


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _start(key, x, init, grid, missing, axis_name):
    return STARTS[init](key, x, grid, missing, axis_name)


def check(
    grid: Grid, neighbourhood: str, start_radius: float, end_radius: float, decay: str, metric: str
) -> None:
    """Raises ValueError for a choice that does not exist or radii that cannot be."""
    tables = {"neighbourhood": NEIGHBOURHOODS, "decay": DECAYS, "metric": METRICS}
    given = {"neighbourhood": neighbourhood, "decay": decay, "metric": metric}
    for name, table in tables.items():
        if given[name] not in table:
            raise ValueError(f"{name}={given[name]!r} is unknown; choose one of {sorted(table)}")
    if not 0 < end_radius <= start_radius:
        raise ValueError(f"{start_radius=} must be at least {end_radius=}, and both above 0")


def batch_update(
    codebook: jax.Array, totals: nearest.Totals, radius: jax.Array, apart: jax.Array | None, rule: Rule
) -> jax.Array:
    """The batch map's new codebook, from the totals over all rows (`nearest.accumulate`) under the old one."""
    pull, reach = _pull(codebook, totals, radius, apart, rule)
    return codebook + pull / jnp.where(reach > 0, reach, 1)


def online_update(
    codebook: jax.Array,
    totals: nearest.Totals,
    radius: jax.Array,
    rate: jax.Array,
    apart: jax.Array | None,
    rule: Rule,
) -> jax.Array:
    """The codebook moved by a learning rate towards the rows of a mini-batch, from their totals under it."""
    pull, reach = _pull(codebook, totals, radius, apart, rule)
    return codebook + rate * pull / jnp.maximum(reach, 1)


def _pull(codebook, totals, radius, apart, rule) -> tuple[jax.Array, jax.Array]:
    """Sums over rows of h (x - w) and of |h|."""
    counts = totals.counts if rule.missing else totals.counts[:, None]
    both = jnp.concatenate([totals.sums, counts], axis=1)
    signed, magnitude = smooth(both, rule.grid, rule.neighbourhood, radius, apart)
    d = codebook.shape[1]
    w = codebook - nearest.prepare(codebook, rule.metric).shift[None]
    return signed[:, :d] - w * signed[:, d:], magnitude[:, d:]


def collect(x: jax.Array, codebook: jax.Array, weights: jax.Array | None, rule: Rule) -> nearest.Totals:
    """The totals of rows under a codebook, over all devices."""
    totals, _ = nearest.accumulate(
        x,
        codebook,
        weights=weights,
        metric=rule.metric,
        missing=rule.missing,
        precision=rule.precision,
    )
    return psum(totals, rule.axis_name)


_STATIC = ("rule", "epochs", "decay")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _batch(key, x, codebook, weights, apart, scales, *, rule, epochs, decay):
    start, end, _, _ = scales

    def epoch(codebook, t):
        radius = DECAYS[decay](start, end, t / max(epochs - 1, 1))
        totals = collect(x, codebook, weights, rule)
        return batch_update(codebook, totals, radius, apart, rule), totals.distance / totals.weight

    return jax.lax.scan(epoch, codebook, jnp.arange(epochs))


@functools.partial(jax.jit, static_argnames=(*_STATIC, "batch_size"))
def _online(key, x, codebook, weights, apart, scales, *, rule, epochs, decay, batch_size):
    start, end, start_rate, end_rate = scales
    n = len(x)
    steps = -(-n // batch_size)
    mass = jnp.ones_like(x, jnp.float32, (n,)) if weights is None else weights

    def epoch(codebook, e):
        order = jax.random.permutation(jax.random.fold_in(key, e), n)

        def step(i, carry):
            codebook, distance, weight = carry
            at = i * batch_size + jnp.arange(batch_size)
            rows = order[at % n]
            totals = collect(x[rows], codebook, jnp.where(at < n, mass[rows], 0), rule)
            progress = (e * steps + i) / max(epochs * steps - 1, 1)
            radius, rate = (DECAYS[decay](*ends, progress) for ends in ((start, end), (start_rate, end_rate)))
            codebook = online_update(codebook, totals, radius, rate, apart, rule)
            return codebook, distance + totals.distance, weight + totals.weight

        zero = jnp.zeros((), jnp.float32)
        codebook, distance, weight = jax.lax.fori_loop(0, steps, step, (codebook, zero, zero))
        return codebook, distance / weight

    return jax.lax.scan(epoch, codebook, jnp.arange(epochs))
