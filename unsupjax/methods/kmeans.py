"""k-means over a stream of batches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from unsupjax.cluster import kmeans as algorithm
from unsupjax.cluster.seeding import SEEDINGS
from unsupjax.methods.base import Method
from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.numerics import nearest
from unsupjax.parallel.collectives import psum

UPDATES = ("lloyd", "minibatch")


class Run(NamedTuple):
    """One of several independent runs from different starts.

    Attributes:
        centers: float32 `[K, ...]`, of the inputs' shape.
        totals: over the rows of the current epoch (Lloyd); over all batches, `counts` alone (mini-batch).
        inertia: mean squared distance over the last whole epoch (Lloyd) or the last batches; inf before.
        converged: no further step moves a centre.
    """

    centers: jax.Array
    totals: nearest.Totals
    inertia: jax.Array
    converged: jax.Array


class KMeansState(NamedTuple):
    """The state of k-means: `runs` has a leading axis of restarts; epoch and position of the next example."""

    step: jax.Array
    key: jax.Array
    runs: Run
    epoch: jax.Array
    seen: jax.Array


def kmeans(
    *,
    clusters: int = 10,
    update: str = "lloyd",
    restarts: int = 1,
    seeding: str = "k-means++",
    tolerance: float = 1e-4,
    spherical: bool = False,
    examples: int,
    axis_name: str | None = None,
) -> Method:
    """k-means whose every iteration is an epoch of batches, or one batch.

    With "lloyd" sums are collected over an epoch under fixed centres, and the centres move at its end: exactly
    Lloyd's algorithm on all examples, whatever the batch size, in memory or streamed. A cluster without examples
    takes one of the last batch's examples farthest from their centres. A run has converged when the squared movement
    of all centres is at most `tolerance` times the mean variance of the features. With "minibatch" each batch moves
    each centre to the mean of all examples that it was ever given (Sculley, WWW 2010).

    `init` draws the starting centres from the first batch. `encode` gives the Euclidean distances to all centres
    of the run of lowest inertia, `[B, K]`; `decode` the centre at the lowest of these.

    Args:
        clusters: K; at most the batch size.
        update: "lloyd" or "minibatch".
        restarts: independent runs side by side; the best one counts.
        seeding: "k-means++", "k-means||" or "random".
        tolerance: see above.
        spherical: cluster directions: centres and rows have unit length.
        examples: N, examples in an epoch.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument that is none of the choices; at `init`, more clusters than examples in a batch.
    """
    if update not in UPDATES:
        raise ValueError(f"update {update!r} is unknown; choose one of {UPDATES}")
    if seeding not in SEEDINGS:
        raise ValueError(f"seeding {seeding!r} is unknown; choose one of {sorted(SEEDINGS)}")
    if clusters < 1 or restarts < 1:
        raise ValueError(f"{clusters=} and {restarts=} must be at least 1")
    metric = "cosine" if spherical else "euclidean"

    def init(key, batch):
        rows = _flat(batch)
        if len(rows) < clusters:
            raise ValueError(f"{clusters} clusters need a batch_size of at least that, not {len(rows)}")
        seed = lambda key: SEEDINGS[seeding](key, rows, clusters, jnp.ones(len(rows)), metric, None)
        centers = jax.vmap(seed)(jax.random.split(key, restarts))
        centers = nearest.normalize(centers) if spherical else centers
        zeros = jnp.zeros
        totals = nearest.Totals(
            zeros(centers.shape), zeros(centers.shape[:2]), zeros(restarts), zeros(restarts), zeros(restarts)
        )
        centers = centers.reshape(restarts, clusters, *batch.shape[1:])
        runs = Run(centers, totals, jnp.full(restarts, jnp.inf, jnp.float32), zeros(restarts, bool))
        zero = jnp.zeros((), jnp.int32)
        return KMeansState(zero, key, runs, zero, zero)

    def collect(rows, centers, weights):
        totals, labels = nearest.accumulate(rows, centers, weights=weights, metric=metric)
        return psum(totals, axis_name), labels

    def lloyd(rows, now, ends, run):
        centers = run.centers.reshape(clusters, -1)
        part, labels = collect(rows, centers, now)
        totals = jax.tree.map(jnp.add, run.totals, part)

        def finish():
            sums, counts = algorithm.reseeded(rows, centers, now, labels, totals, metric, axis_name)
            moved = algorithm.means(centers, sums, counts, metric)
            still = jnp.sum(jnp.square(moved - centers)) <= tolerance * _mean_variance(
                centers, totals, metric
            )
            kept = jnp.where(run.converged, centers, moved)
            rest, _ = collect(rows, kept, 1 - now)
            inertia = totals.squared / totals.weight
            return Run(kept.reshape(run.centers.shape), rest, inertia, run.converged | still)

        return jax.lax.cond(ends, finish, lambda: run._replace(totals=totals)), part.squared / part.weight

    def minibatch(rows, now, ends, run):
        centers = run.centers.reshape(clusters, -1)
        part, _ = collect(rows, centers, None)
        counts = run.totals.counts + part.counts
        shift = nearest.prepare(centers, metric).shift
        away = part.sums - part.counts[:, None] * (centers - shift[None])
        moved = centers + away / jnp.where(counts > 0, counts, 1)[:, None]
        moved = nearest.normalize(moved) if spherical else moved
        loss = part.squared / part.weight
        recent = jnp.where(jnp.isinf(run.inertia), loss, 0.9 * run.inertia + 0.1 * loss)
        totals = run.totals._replace(counts=counts)
        return Run(moved.reshape(run.centers.shape), totals, recent, run.converged), loss

    def step(state: KMeansState, x: jax.Array):
        rows = _flat(x)
        at = place(state.epoch, state.seen, len(rows), examples, axis_name)
        now = of_epoch(at, len(rows), axis_name)
        one = lloyd if update == "lloyd" else minibatch
        runs, losses = jax.lax.map(lambda run: one(rows, now, at.ends, run), state.runs)
        state = KMeansState(state.step + 1, state.key, runs, at.following, at.seen)
        best = jnp.argmin(runs.inertia)
        return state, {"loss": losses[best], "converged": jnp.all(runs.converged).astype(jnp.float32)}

    def prototypes(state):
        return state.runs.centers[jnp.argmin(state.runs.inertia)]

    def encode(state, x):
        return nearest.table(_unit(x), _flat(prototypes(state)))

    def assign(state, x):
        return nearest.find(_unit(x), _flat(prototypes(state)))[0]

    def _unit(x):
        return nearest.normalize(_flat(x)) if spherical else _flat(x)

    def decode(state, z):
        return prototypes(state)[jnp.argmin(z, axis=1)]

    return Method(init, step, encode, decode, assign=assign, prototypes=prototypes)


def _flat(x: jax.Array) -> jax.Array:
    return jnp.asarray(x).reshape(len(x), -1)


def _mean_variance(centers: jax.Array, totals: nearest.Totals, metric: str) -> jax.Array:
    """The mean over features of the variance over all rows, from their totals under `centers`."""
    w = nearest.prepare(centers, metric).w
    counts = totals.counts[:, None]
    mean = totals.sums.sum(axis=0, keepdims=True) / totals.weight
    cross = jnp.sum((totals.sums - counts * w) * (w - mean))
    between = jnp.sum(counts * jnp.square(w - mean))
    return (totals.squared + 2 * cross + between) / (totals.weight * w.shape[1])
