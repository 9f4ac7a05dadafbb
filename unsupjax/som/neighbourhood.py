"""How strongly units of a grid are tied to each other, and how that narrows over training."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.som.grid import Grid, distances

NEIGHBOURHOODS = {  # weight of a unit at squared distance d2 from the best one, for a radius r
    "gaussian": lambda d2, r: jnp.exp(-0.5 * d2 / r**2),
    "bubble": lambda d2, r: (d2 <= r**2).astype(jnp.float32),
    "mexican_hat": lambda d2, r: (1 - 0.5 * d2 / r**2) * jnp.exp(-0.5 * d2 / r**2),
    "triangle": lambda d2, r: jnp.maximum(1 - jnp.sqrt(d2) / r, 0.0),
}

DECAYS: dict[str, Callable] = {  # value at progress p in [0, 1]: `start` at 0 and `end` at 1
    "linear": lambda start, end, p: start + (end - start) * p,
    "exponential": lambda start, end, p: start * (end / start) ** p,
    "inverse_time": lambda start, end, p: start / (1 + (start / end - 1) * p),
    # MiniSom's start / (1 + 2 p), which ends at a third of the start, moved to end at `end`.
    "asymptotic": lambda start, end, p: end + (start - end) * (1.5 / (1 + 2 * p) - 0.5),
}


def squared_distances(grid: Grid) -> jax.Array:
    """Squared distances between units, float32 `[K, K]`, in steps of the grid."""
    return jnp.asarray(np.square(distances(grid)), jnp.float32)


def is_separable(grid: Grid, neighbourhood: str) -> bool:
    """Whether the weights are an outer product over rows and columns, which `smooth` then uses."""
    return neighbourhood == "gaussian" and grid.topology == "rectangular"


def _axis_weights(n: int, toroidal: bool, radius: jax.Array) -> jax.Array:
    """Gaussian weights along one axis of n units, `[n, n]`."""
    apart = jnp.abs(jnp.arange(n)[:, None] - jnp.arange(n)[None])
    apart = jnp.minimum(apart, n - apart) if toroidal else apart
    return NEIGHBOURHOODS["gaussian"](jnp.square(apart.astype(jnp.float32)), radius)


def smooth(
    values: jax.Array, grid: Grid, neighbourhood: str, radius: jax.Array, apart: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    r"""Sums over all units, weighted by neighbourhood: :math:`\sum_j h_{ij} v_j`, and the same with :math:`|h_{ij}|`.

    A Gaussian on a rectangular grid or torus is an outer product over rows and columns, and costs
    K (H + W) D operations in place of K^2 D.

    Args:
        values: `[K, D]`.
        grid: where the units lie.
        neighbourhood: one of `NEIGHBOURHOODS`.
        radius: in steps of the grid.
        apart: `squared_distances(grid)`; None where `is_separable`.
    """
    if is_separable(grid, neighbourhood):
        rows = _axis_weights(grid.height, grid.toroidal, radius)
        columns = _axis_weights(grid.width, grid.toroidal, radius)
        board = values.reshape(grid.height, grid.width, -1)
        board = jnp.einsum("rh,hwd->rwd", rows, board, precision="highest")
        board = jnp.einsum("cw,rwd->rcd", columns, board, precision="highest")
        return board.reshape(values.shape), board.reshape(values.shape)
    weights = NEIGHBOURHOODS[neighbourhood](apart, radius)
    both = jnp.matmul(weights, values, precision="highest")
    if neighbourhood != "mexican_hat":
        return both, both
    return both, jnp.matmul(jnp.abs(weights), values, precision="highest")
