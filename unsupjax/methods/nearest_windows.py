"""Distances to the nearest windows of the training part: no parameters, and hard to beat."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.methods.base import Method, Wants

MOST_NUMBERS = 2**25  # in the memory


class NearestWindowsState(NamedTuple):
    """The state of nearest windows.

    Attributes:
        step, key: as of every method.
        memory: training windows in the order of time, float32 `[M, W * C]`.
        half_norms: of each half its squared length, `[M]`.
    """

    step: jax.Array
    key: jax.Array
    memory: jax.Array
    half_norms: jax.Array


def nearest_windows(
    *,
    most: int = 20_000,
    limit: float = 50.0,
    rows: np.ndarray | None = None,
    shape: tuple[int, ...],
    examples: int,
) -> Method:
    r"""The Euclidean distance of a window to the nearest one of the training part, which is kept whole.

    `surprise` gives `[B, C]`, the distance :math:`d = \|x - y\|` divided over the channels by their shares of
    :math:`d^2`. A window that is itself in memory is compared with the others that share less than half of its steps,
    so that the training part has scores like any other. `encode` gives the nearest window, flattened, and `decode`
    makes it a window again.

    There is nothing to train: the first step says that it has converged.

    Args:
        most: M, windows that are kept; where there are more, evenly spaced ones (of which nearly the same may then
            remain: the scores of the training part are too low). 2^25 numbers are kept at most.
        limit: values, in deviations from a channel's mean, are brought into [-limit, limit].
        rows: the training split as it is stored. Only training needs it.
        shape: (W, C), of a window.
        examples: N, in the training split.

    Raises:
        ValueError: an argument out of its range.

    Source: discords: Keogh, Lin and Fu, ICDM 2005; against a clean part: Mercer, Alaee, Abdoli, Singh, Murillo and
    Keogh, "Matrix Profile XXIII: contrast profile", ICDM 2021, and the baselines of TSB-UAD.
    """
    if most < 2 or limit <= 0:
        raise ValueError(f"{most=} must be at least 2 and {limit=} above 0")
    if len(shape) != 2:
        raise ValueError(f"it takes windows of time [W, C], and examples have the shape {shape}")
    width, channels = shape
    kept = min(most, max(MOST_NUMBERS // (width * channels), 2), examples)
    spacing = examples / kept

    def flat(x):
        return jnp.clip(x, -limit, limit).reshape(len(x), -1)

    def init(key, batch):
        if rows is None:
            memory = jnp.zeros((kept, width * channels))
        else:
            at = (np.arange(kept) * spacing).astype(np.int64)
            memory = flat(jnp.asarray(rows[at], jnp.float32))
        half = 0.5 * jnp.sum(jnp.square(memory), axis=1)
        return NearestWindowsState(jnp.zeros((), jnp.int32), key, memory, half)

    def nearest(state, x):
        q = flat(x)
        values = state.half_norms[None] - jnp.matmul(q, state.memory.T, precision="highest")
        first = jnp.argmin(values, axis=1)
        itself = jnp.abs(q - state.memory[first]).max(axis=1) == 0
        radius = max(int(width / 2 / spacing), 1)
        close = jnp.abs(jnp.arange(kept)[None] - first[:, None]) < radius
        values = jnp.where(itself[:, None] & close, jnp.inf, values)
        index = jnp.argmin(values, axis=1)
        alone = jnp.isinf(values[jnp.arange(len(x)), index])  # nothing else is in memory
        return jnp.where(alone, first, index)

    def apart(state, x):
        difference = flat(x) - state.memory[nearest(state, x)]
        return jnp.sum(jnp.square(difference).reshape(len(x), width, channels), axis=1)

    def surprise(state, x):
        squares = apart(state, x)
        total = jnp.sum(squares, axis=1, keepdims=True)
        return squares / jnp.sqrt(jnp.maximum(total, 1e-12))

    def step(state, x):
        loss = jnp.sqrt(apart(state, x).sum(axis=1)).mean()
        return state._replace(step=state.step + 1), {"loss": loss, "converged": jnp.ones(())}

    def encode(state, x):
        return state.memory[nearest(state, x)]

    def decode(state, z):
        return z.reshape(len(z), width, channels)

    return Method(init, step, encode, decode, surprise=surprise, wants=Wants(kinds=("windows",)))
