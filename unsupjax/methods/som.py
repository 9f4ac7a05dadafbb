"""The self-organizing map over a stream of batches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from unsupjax.methods.base import Method, Wants
from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.numerics import nearest
from unsupjax.parallel.collectives import device_count
from unsupjax.som import Grid, Map
from unsupjax.som.neighbourhood import DECAYS, is_separable, squared_distances
from unsupjax.som.start import STARTS
from unsupjax.som.training import Rule, batch_update, check, collect, online_update

UPDATES = ("batch", "online")


class SOMState(NamedTuple):
    """The state of a self-organizing map.

    Attributes:
        codebook: float32 `[K, ...]`, of the inputs' shape.
        totals: over the rows of the current epoch.
        epoch, seen: epoch of the next example, and its position within that.
    """

    step: jax.Array
    key: jax.Array
    codebook: jax.Array
    totals: nearest.Totals
    epoch: jax.Array
    seen: jax.Array


def som(
    *,
    height: int = 10,
    width: int = 10,
    topology: str = "rectangular",
    toroidal: bool = False,
    update: str = "batch",
    start: str = "pca",
    neighbourhood: str = "gaussian",
    start_radius: float = 0.0,
    end_radius: float = 1.0,
    decay: str = "linear",
    start_rate: float = 0.5,
    end_rate: float = 0.01,
    metric: str = "euclidean",
    missing: bool = False,
    examples: int,
    total_steps: int,
    axis_name: str | None = None,
) -> Method:
    """A self-organizing map; `unsupjax.som.fit` on a stream of batches.

    With "batch" sums are collected over an epoch under a fixed codebook, which moves at its end: the batch map of
    all examples, whatever the batch size, in memory or streamed. With "online" each batch moves it by a learning
    rate. Radius and rate go from start to end over the run; the last whole epoch (the last step) has the end radius.

    `init` starts from the first batch. `encode` gives the distances to all units, `[B, K]`, `assign` the best
    matching unit, and `decode` the codebook at the lowest distance, so that the quantization error is an
    error of reconstruction, which can score anomalies.

    Args:
        height, width, topology, toroidal: of the grid; see `unsupjax.som.Grid`.
        update: "batch" or "online".
        start: where the codebook starts: "pca", "samples" or "uniform".
        neighbourhood, start_radius, end_radius, decay, start_rate, end_rate, metric, missing: see `unsupjax.som.fit`.
        examples: N, examples in an epoch.
        total_steps: length of the run.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument that is none of the choices.

    Source: Kohonen, "Self-Organizing Maps", Springer 2001.
    """
    grid = Grid(height, width, topology, toroidal)
    start_radius = start_radius or max(height, width) / 2
    check(grid, neighbourhood, start_radius, end_radius, decay, metric)
    if update not in UPDATES or start not in STARTS:
        raise ValueError(f"{update=} must be one of {UPDATES} and {start=} one of {tuple(sorted(STARTS))}")
    rule = Rule(grid, neighbourhood, metric, missing, "highest", axis_name)
    apart = lambda: None if is_separable(grid, neighbourhood) else squared_distances(grid)
    radius_at = lambda progress: DECAYS[decay](start_radius, end_radius, progress)
    flat = lambda x: jnp.asarray(x).reshape(len(x), -1)

    def init(key, batch):
        codebook = STARTS[start](key, flat(batch), grid, missing, None)
        d, zeros = codebook.shape[1], jnp.zeros
        counts = zeros((grid.units, d)) if missing else zeros(grid.units)
        totals = nearest.Totals(zeros((grid.units, d)), counts, zeros(()), zeros(()), zeros(()))
        zero = zeros((), jnp.int32)
        return SOMState(zero, key, codebook.reshape(grid.units, *batch.shape[1:]), totals, zero, zero)

    def batch_map(state, rows):
        epochs = max(total_steps * len(rows) * device_count(axis_name) // examples, 1)
        radius = radius_at(jnp.minimum(state.epoch, epochs - 1) / max(epochs - 1, 1))
        at = place(state.epoch, state.seen, len(rows), examples, axis_name)
        now = of_epoch(at, len(rows), axis_name)
        old = flat(state.codebook)
        part = collect(rows, old, now, rule)
        totals = jax.tree.map(jnp.add, state.totals, part)

        def finish():
            moved = batch_update(old, totals, radius, apart(), rule)
            return moved, collect(rows, moved, 1 - now, rule)

        codebook, totals = jax.lax.cond(at.ends, finish, lambda: (old, totals))
        after = state._replace(codebook=codebook, totals=totals, epoch=at.following, seen=at.seen)
        return after, part, radius

    def online(state, rows):
        progress = state.step / max(total_steps - 1, 1)
        radius, rate = radius_at(progress), DECAYS[decay](start_rate, end_rate, progress)
        part = collect(rows, flat(state.codebook), None, rule)
        codebook = online_update(flat(state.codebook), part, radius, rate, apart(), rule)
        return state._replace(codebook=codebook), part, radius

    def step(state: SOMState, x: jax.Array):
        advance = batch_map if update == "batch" else online
        after, part, radius = advance(state, flat(x))
        after = after._replace(step=state.step + 1, codebook=after.codebook.reshape(state.codebook.shape))
        return after, {"loss": part.distance / part.weight, "radius": jnp.asarray(radius, jnp.float32)}

    def encode(state, x):
        return nearest.table(flat(x), flat(state.codebook), metric=metric, missing=missing)

    def assign(state, x):
        return nearest.find(flat(x), flat(state.codebook), metric=metric, missing=missing)[0]

    def decode(state, z):
        return state.codebook[jnp.argmin(z, axis=1)]

    def on_grid(state, x):
        return Map(flat(state.codebook), grid, metric), flat(x)

    prototypes = lambda state: state.codebook
    return Method(
        init,
        step,
        encode,
        decode,
        assign=assign,
        prototypes=prototypes,
        map=on_grid,
        wants=Wants(missing=missing),
    )
