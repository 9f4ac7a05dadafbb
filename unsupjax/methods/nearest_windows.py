"""Distances to the windows of the training part: no parameters, and hard to beat."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.methods.base import Method, Wants
from unsupjax.methods.parts import subspace as subspaces
from unsupjax.numerics import nearest as units
from unsupjax.parallel.collectives import pmean

MOST_NUMBERS = 2**25  # in the memory


class NearestWindowsState(NamedTuple):
    """The state of nearest windows.

    Attributes:
        step, key: as of every method.
        known: of the training windows; arrays of JAX.
    """

    step: jax.Array
    key: jax.Array
    known: subspaces.Known


def nearest_windows(
    *,
    most: int = 20_000,
    subspace: float = 0.9,
    limit: float = 50.0,
    rows: np.ndarray | None = None,
    shape: tuple[int, ...],
    examples: int,
    axis_name: str | None = None,
) -> Method:
    r"""The distance of a window to the nearest one of the training part, and to a Gaussian fitted to all of them.

    The first is Euclidean, :math:`d = \|x - y\|`, to the windows kept in memory. A window that is itself in memory is
    compared with the others that share less than half of its steps, so that the training part has scores like any
    other. The second, where there are several channels, is the squared Mahalanobis length under probabilistic PCA,
    :math:`m = \sum_i p_i^2 / \lambda_i + \|r\|^2 / \sigma^2` with the components p and what they leave, r: it sees
    channels that no longer go together. Each is measured in its own quantile .99 over training windows, and they are
    added.

    `surprise` gives `[B, C]`, both divided over the channels by their shares of :math:`d^2` and of :math:`\|r\|^2`.
    `encode` gives the window itself, flattened. There is nothing to train: the first step says that it has converged.

    Args:
        most: windows in memory; where there are more, evenly spaced ones (of which nearly the same may then remain: the
            scores of the training part are too low). 2^25 numbers are kept at most.
        subspace: the share of the training windows' variance that the components explain; 0.0: the nearest one alone.
        limit: values, in deviations from a channel's mean, are brought into [-limit, limit], and so are both parts.
        rows: the training split as it is stored. Only training needs it.
        shape: (W, C), of a window.
        examples: N, in the training split.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    Raises:
        ValueError: an argument out of its range.

    Source: discords: Keogh, Lin and Fu, ICDM 2005, and the baselines of TSB-UAD; probabilistic PCA: Tipping and Bishop,
    JRSS B 61 (1999).
    """
    if most < 2 or limit <= 0 or not 0 <= subspace < 1:
        raise ValueError(f"{most=} must be at least 2, {limit=} above 0 and {subspace=} in [0, 1)")
    if len(shape) != 2:
        raise ValueError(f"it takes windows of time [W, C], and examples have the shape {shape}")
    width, channels = shape
    kept = min(most, max(MOST_NUMBERS // (width * channels), 2), examples)
    radius = max(int(width * kept / examples / 2), 1)
    several = subspace > 0 and channels > 1
    found = subspaces.known(rows, shape, kept, examples, limit, subspace if several else 0.0)

    def init(key, batch):
        del batch
        made = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), found())
        return NearestWindowsState(jnp.zeros((), jnp.int32), key, made)

    def flat(x):
        return jnp.clip(x, -limit, limit).reshape(len(x), -1)

    def nearest(known, q):
        half = 0.5 * jnp.sum(jnp.square(known.memory), axis=1)
        values = half[:, None] - jnp.matmul(known.memory, q.T, precision="highest")
        first, _ = units.lowest(values)
        itself = jnp.abs(q - known.memory[first]).max(axis=1) == 0

        def others():
            close = jnp.abs(jnp.arange(kept)[:, None] - first[None]) < radius
            index, least = units.lowest(jnp.where(itself[None] & close, jnp.inf, values))
            return jnp.where(jnp.isinf(least), first, index)  # nothing else is in memory

        return jax.lax.cond(jnp.any(itself), others, lambda: first)

    def by_channel(squares):
        return jnp.sum(squares.reshape(-1, width, channels), axis=1)

    def apart(known, q):
        return by_channel(jnp.square(q - known.memory[nearest(known, q)]))

    def beyond(known, q):
        y = q - known.centre[None]
        inside = jnp.matmul(y, known.axes.T, precision="highest")
        squares = by_channel(jnp.square(y - jnp.matmul(inside, known.axes, precision="highest")))
        total = jnp.sum(squares, axis=1)
        m = jnp.sum(jnp.square(inside) / known.variance[None], axis=1) + total / known.noise
        return squares / jnp.maximum(total, 1e-12)[:, None], m

    def surprise(state: NearestWindowsState, x: jax.Array):
        known, q = state.known, flat(x)
        squares = apart(known, q)
        total = jnp.sum(squares, axis=1, keepdims=True)
        d = jnp.minimum(jnp.sqrt(total) / known.usual[0], limit)
        parts = d * squares / jnp.maximum(total, 1e-12)
        if several:
            shares, m = beyond(known, q)
            parts = parts + shares * jnp.minimum(m / known.usual[1], limit)[:, None]
        return parts

    def step(state: NearestWindowsState, x: jax.Array):
        loss = pmean(jnp.sqrt(apart(state.known, flat(x)).sum(axis=1)).mean(), axis_name)
        return state._replace(step=state.step + 1), {"loss": loss, "converged": jnp.ones(())}

    def encode(state: NearestWindowsState, x: jax.Array):
        del state
        return flat(x)

    return Method(init, step, encode, surprise=surprise, wants=Wants(kinds=("windows",)))
